"""The cache by itself: look up what is known, remember true scores, and forget them."""

from collections.abc import Generator, Sequence
from copy import copy
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Self

from semcache.backend import Backend
from semcache.documents import Reader, TextOf, reader_of
from semcache.embedders.adapt import adapt_embedder
from semcache.embedders.checked import given_vector
from semcache.embedders.sentence_transformers import SentenceTransformerEmbedder
from semcache.entries.entry import Neighbour
from semcache.errors import ConfigurationError, InvalidInputError, StoreError, StoreUnavailableError
from semcache.events import CacheFailed, Event
from semcache.flow.drive import Calls, ScoreDocuments, arun, run
from semcache.flow.requests import (
    Request,
    by_position,
    caller_positions,
    check_tenant,
    check_threshold,
    check_ttl,
    checked_request,
    forgotten,
    records,
)
from semcache.flow.rerank import FindFlow, FlowPolicy, Found, find, remember
from semcache.flow.results import find_order, places
from semcache.flow.reuse import ReusePolicy
from semcache.flow.steps import FindNeighbours, Step
from semcache.guards import CueGuard
from semcache.observers import notify
from semcache.protocols import AsyncStore, Embedder, FloatArray, Guard, Observer, Store
from semcache.ranking import Status
from semcache.redis.client.connection import DEFAULT_URL, RedisConnection, server_of
from semcache.settings import Reuse as ReuseKnobs
from semcache.settings import Settings


@dataclass(frozen=True, slots=True)
class Lookup:
    """What the cache knows about a request.

    ``scores`` has one score per document of the caller, None where unknown. ``status`` is EXACT or SEMANTIC when every
    score is known, PARTIAL when this query is known but not every document, None for a miss. ``similarity`` is the
    cosine of the nearest entry that may be reused.
    """

    scores: tuple[float | None, ...]
    status: Status | None
    similarity: float | None


class RedisSemanticCache:
    """Scores of one reranker, remembered in Redis by query and found again by meaning.

    ``redis_url`` may be ``"embedded"``. ``redis_client`` stands in its place: a redis-py client or connection pool, for
    threads or for event loops, whose address and login are taken; it is neither used nor closed. ``embedding_model`` is
    a hub name or folder, or anything ``adapt_embedder`` takes. ``similarity_threshold`` is the cosine in [-1, 1] from
    which another query's scores are served unasked. ``ttl`` is in seconds; None means no expiry. ``reranker`` names
    what computes the scores: caches of different names share nothing. ``text`` says what of a document is scored: a
    function that gives its text, or names of fields, which are joined by line breaks; None takes the text that
    ``semcache.documents.text_of`` finds. All other knobs come from ``settings`` (environment and YAML unless given).

    No method waits for Redis longer than its timeouts, and none raises because of it: a step that fails finds nothing,
    and observers are told. A Redis that answers but cannot be used (no search module, wrong password) raises
    StoreError here, in the constructor.
    """

    def __init__(
        self,
        redis_url: str = DEFAULT_URL,
        embedding_model: str | object = "all-MiniLM-L6-v2",
        similarity_threshold: float = 0.95,
        ttl: float | None = 3600,
        *,
        redis_client: object | None = None,
        reranker: str = "default",
        guard: Guard | None = CueGuard(),  # noqa: B008 - has no state
        text: TextOf | None = None,
        settings: Settings | None = None,
        observers: Sequence[Observer] = (),
    ) -> None:
        check_arguments(redis_url, redis_client, embedding_model, similarity_threshold, ttl)
        settings = settings or Settings()
        self.read = reader_of(text)
        observers = tuple(observers)
        policy = FlowPolicy(
            reuse_policy(settings.reuse, similarity_threshold), guard, max_query_chars=settings.cache.max_query_chars
        )
        embedder = embedder_of(embedding_model, settings)
        connection = RedisConnection.of(server_of(redis_url, redis_client), settings.redis, partial(notify, observers))
        self.backend = Backend(connection, embedder, policy, settings.cache, ttl, observers, settings.reuse)
        self._serve(reranker, listwise=False)
        try:
            self.store.check()
        except StoreUnavailableError as error:  # may come back at any time; until then answers go on without a cache
            self.on_event(CacheFailed("Connect", str(error)))
        except StoreError:
            self.backend.close()
            raise

    @classmethod
    def from_settings(
        cls,
        settings: Settings | None = None,
        *,
        redis_client: object | None = None,
        observers: Sequence[Observer] = (),
    ) -> Self:
        """A cache with everything from the environment and YAML; ``redis_client`` replaces the url given there."""
        settings = settings or Settings()
        return cls(
            settings.redis.url.get_secret_value() if redis_client is None else DEFAULT_URL,
            settings.embedder.model,
            settings.reuse.trust_threshold,
            settings.cache.ttl_s,
            redis_client=redis_client,
            settings=settings,
            observers=observers,
        )

    def of(
        self,
        reranker: str,
        *,
        listwise: bool = False,
        observers: Sequence[Observer] = (),
        read: Reader | None = None,
    ) -> Self:
        """The cache of another reranker's scores, over the same connection and embedder.

        ``observers`` are told what happens to requests over it, and those of this cache's constructor are told as well.
        ``read`` gives the text of a document (None: as in this cache).
        """
        # A copy has every field that the constructor sets, also the ones that a later version or a subclass adds.
        other = copy(self)
        other.read = read or self.read
        other._serve(reranker, listwise=listwise, observers=observers)
        return other

    def _serve(self, reranker: str, *, listwise: bool, observers: Sequence[Observer] = ()) -> None:
        self.reranker = reranker
        self.listwise = listwise
        self.store, self.async_store = self.backend.stores(reranker, listwise=listwise)
        # An observer may have been given to the cache and to a reranker over it, and is told once.
        ours = self.backend.observers
        self._observers = (*ours, *(observer for observer in observers if observer not in ours))

    def on_event(self, event: Event) -> None:
        """Tell the observers of the whole cache and those given to ``of``."""
        notify(self._observers, event)

    def policy(self) -> FlowPolicy:
        """What the flow may do with this reranker's scores now."""
        return self.backend.policy_for(self.reranker)

    def calls(self, score: ScoreDocuments | None = None, k: int | None = None) -> Calls[Store]:
        """How a driver carries out the steps of a flow over this cache; ``k`` neighbours (None: as set up)."""
        neighbours = self.backend.knobs.neighbours if k is None else k
        return Calls(self.store, self.backend.embed, score, neighbours, self.on_event)

    def async_calls(self, score: ScoreDocuments | None = None, k: int | None = None) -> Calls[AsyncStore]:
        """``calls`` for an asynchronous driver."""
        neighbours = self.backend.knobs.neighbours if k is None else k
        return Calls(self.async_store, self.backend.aembed, score, neighbours, self.on_event)

    def lookup(
        self, query: str, documents: Sequence[Any], *, vector: FloatArray | None = None, tenant: str = ""
    ) -> Lookup:
        """What is known about these documents for this query; no reranker is asked.

        ``vector`` is the query's unit vector, if the caller has it already.
        """
        request = checked_request(query, documents, 1, tenant, self.read)
        return _lookup(request, run(self._find(request, vector), self.calls()))

    async def alookup(
        self, query: str, documents: Sequence[Any], *, vector: FloatArray | None = None, tenant: str = ""
    ) -> Lookup:
        """``lookup`` for an event loop."""
        request = checked_request(query, documents, 1, tenant, self.read)
        return _lookup(request, await arun(self._find(request, vector), self.async_calls()))

    def _find(self, request: Request, vector: FloatArray | None) -> FindFlow:
        return find(request, self.policy(), self.reranker, listwise=self.listwise, vector=self._checked(vector))

    def remember(
        self,
        query: str,
        documents: Sequence[Any],
        scores: Sequence[float],
        *,
        vector: FloatArray | None = None,
        tenant: str = "",
        ttl: float | None = None,
    ) -> bool:
        """Store the scores that the reranker computed for this query and these documents; whether they were stored.

        ``ttl`` in seconds overrides the cache's. Never pass scores of another query, or of another reranker.
        """
        return run(self._remember(query, documents, scores, vector, tenant, ttl), self.calls())

    async def aremember(
        self,
        query: str,
        documents: Sequence[Any],
        scores: Sequence[float],
        *,
        vector: FloatArray | None = None,
        tenant: str = "",
        ttl: float | None = None,
    ) -> bool:
        """``remember`` for an event loop."""
        return await arun(self._remember(query, documents, scores, vector, tenant, ttl), self.async_calls())

    def _remember(
        self,
        query: str,
        documents: Sequence[Any],
        scores: Sequence[float],
        vector: FloatArray | None,
        tenant: str,
        ttl: float | None,
    ) -> Generator[Step, Any, bool]:
        request = checked_request(query, documents, 1, tenant, self.read)
        if ttl is not None:
            check_ttl(ttl)
        return remember(request, self.policy(), records(request, scores), self._checked(vector), ttl)

    def neighbours(self, vector: FloatArray, k: int = 4, *, tenant: str = "") -> list[Neighbour]:
        """The k nearest entries, nearest first; fewer where there are fewer, none when Redis cannot be asked."""
        return list(run(self._neighbours(vector, tenant), self.calls(k=k)))

    async def aneighbours(self, vector: FloatArray, k: int = 4, *, tenant: str = "") -> list[Neighbour]:
        """``neighbours`` for an event loop."""
        return list(await arun(self._neighbours(vector, tenant), self.async_calls(k=k)))

    def _neighbours(self, vector: FloatArray | None, tenant: str) -> Generator[Step, Any, Sequence[Neighbour]]:
        check_tenant(tenant)
        unit = self._checked(vector)
        if unit is None:
            raise InvalidInputError("vector is None; pass the unit vector of a query")
        return (yield FindNeighbours(tenant, unit))  # type: ignore[no-any-return]

    def _checked(self, vector: FloatArray | None) -> FloatArray | None:
        return None if vector is None else given_vector(vector, self.backend.embedder.dims)

    def forget(
        self, *, query: str | None = None, document: str | bytes | object = None, tenant: str | None = None
    ) -> int:
        """Remove what is remembered of a query, of a document (its text or its fingerprint), or of a tenant.

        ``query`` and ``document`` are those of ``tenant``, the default tenant unless given; a document without a tenant
        is forgotten everywhere. Gives the number of entries touched. Raises StoreUnavailableError when Redis cannot be
        asked, since something that had to be forgotten is then still there.
        """
        return self.store.forget(tenant, **forgotten(query, document, tenant, self.read))

    async def aforget(
        self, *, query: str | None = None, document: str | bytes | object = None, tenant: str | None = None
    ) -> int:
        """``forget`` for an event loop."""
        return await self.async_store.forget(tenant, **forgotten(query, document, tenant, self.read))

    def clear(self) -> int:
        """Remove every entry of this namespace, reranker and embedder, of all tenants; gives their number."""
        return self.store.clear()

    async def aclear(self) -> int:
        """``clear`` for an event loop."""
        return await self.async_store.clear()

    def get(self, query: str, documents: Sequence[Any]) -> list[Any] | None:
        """The caller's documents in the order that ``set`` remembered for this query or a trusted one, or None.

        None unless every document is known. A remembered list that was shorter than its candidates is served only
        when all of it is among ``documents``.
        """
        request = checked_request(query, documents, 1, read=self.read)
        order = run(find_order(request, self.policy()), self._results().calls())
        if order is None:
            return None
        documents = by_position(documents)
        return [documents[index] for index in caller_positions(request.places, order)]

    def set(self, query: str, documents: Sequence[Any], results: Sequence[Any]) -> None:
        """Remember that a reranker chose ``results``, best first, out of ``documents``."""
        request = checked_request(query, documents, 1, read=self.read)
        run(remember(request, self.policy(), places(request, results, self.read)), self._results().calls())

    def _results(self) -> Self:
        # Stored are positions in an order, which must not mix with scores.
        return self.of(f"{self.reranker} (results)", listwise=True, observers=self._observers)

    def close(self) -> None:
        """Close the connections, and the embedded server if this was its last user."""
        self.backend.close()

    async def aclose(self) -> None:
        """``close`` for the running event loop's connections too."""
        await self.backend.aclose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.reranker!r} in {self.backend.connection.where}>"


def _lookup(request: Request, found: Found) -> Lookup:
    scores: Sequence[float | None]
    status: Status | None
    if found.outcome is not None:
        scores, status, similarity = found.outcome.scores or (), found.outcome.status, found.outcome.similarity
    else:
        known = found.exact or {}
        scores = list(map(known.get, request.fingerprints))
        status = Status.PARTIAL if found.exact else None
        similarity = found.neighbours[0].similarity if found.neighbours else None
    if not isinstance(request.places, range):  # a text came twice
        scores = list(map(scores.__getitem__, request.places))
    return Lookup(tuple(scores), status, similarity)


def check_arguments(
    redis_url: object,
    redis_client: object,
    embedding_model: object,
    threshold: object,
    ttl: object,
    ttl_name: str = "ttl",
) -> None:
    """Raise ConfigurationError for an argument of the constructor that cannot be used; loads and opens nothing."""
    server_of(redis_url, redis_client)
    check_threshold(threshold)
    check_ttl(ttl, ttl_name)
    if embedding_model is None or (isinstance(embedding_model, str) and not embedding_model.strip()):
        raise ConfigurationError(
            f"embedding_model is {embedding_model!r}; give the name of a model, such as all-MiniLM-L6-v2, a folder, or "
            "an embedder"
        )


def embedder_of(model: object, settings: Settings) -> Embedder:
    """The model of this name or folder with the backend of the settings; any other embedder by ``adapt_embedder``."""
    if isinstance(model, str | Path):
        return SentenceTransformerEmbedder(model, settings.embedder.backend)
    return adapt_embedder(model)


def reuse_policy(knobs: ReuseKnobs, trust_threshold: float) -> ReusePolicy:
    """How near queries are reused according to the settings, trusted from ``trust_threshold`` on."""
    return ReusePolicy(
        trust_threshold=trust_threshold,
        # A caller who trusts at less than the reuse threshold leaves nothing to verify.
        reuse_threshold=min(knobs.reuse_threshold, trust_threshold),
        confidence=knobs.confidence,
        max_rounds=knobs.max_rounds,
        max_pairs_share=knobs.max_pairs_share,
        drift_limit=knobs.drift_limit,
    )
