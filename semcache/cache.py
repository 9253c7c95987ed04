"""The cache by itself: look up what is known, remember true scores, and forget them."""

from collections.abc import Generator, Sequence
from copy import copy
from math import inf
from time import monotonic
from typing import Any, Self, TypeVar

from semcache.arguments import cache_arguments
from semcache.backend import Backend
from semcache.causes import cause_of
from semcache.documents import Reader, TextOf, reader_of
from semcache.embedders.checked import given_vector
from semcache.entries.entry import Neighbour
from semcache.errors import ConfigurationError, InvalidInputError, TransientStoreError, described
from semcache.events import CacheFailed
from semcache.flow.outcome import Lookup, lookup
from semcache.flow.requests import (
    Request,
    check_count,
    check_tenant,
    check_ttl,
    checked_forget,
    checked_request,
    records,
)
from semcache.flow.rerank import remember
from semcache.flow.run import arun, run
from semcache.flow.steps import FindNeighbours, Step
from semcache.migration.migrator import Migrator
from semcache.observers import OutageLog, checked_observers
from semcache.protocols import FloatArray, Guard, Observer
from semcache.redis.async_store import AsyncRedisStore
from semcache.redis.store import RedisStore
from semcache.result_lists import ResultLists
from semcache.scoped_cache import ScopedCache
from semcache.settings import FROM_SETTINGS, FromSettings, Settings, settings_of

D = TypeVar("D")


class RedisSemanticCache:
    """Scores of one reranker, remembered in Redis by query and found again by exact query or by meaning.

    ``redis_url`` may be ``"embedded"``. ``redis_client`` stands in its place: a redis-py client or connection pool, for
    threads or for event loops, whose address and login are taken; it is neither used nor closed. ``embedding_model`` is
    a hub name or folder, or anything ``adapt_embedder`` takes. ``similarity_threshold`` is the cosine in [-1, 1] from
    which another query's scores are served unasked, unless ``guard`` ("facts", "strict", "off", or a guard of your own)
    sees that it asks something else. ``ttl`` is in seconds; None means no expiry. ``reranker`` names
    the model that computes the scores: caches of different names share nothing. ``text`` says what of a document is
    scored: a function that gives its text, or names of fields, which are joined by line breaks; None means
    ``semcache.documents.text_of``. ``migrate_from`` is the embedder that entries were written with before (a model or
    an embedder; None: no migration): they are read, too, and ``migrator`` moves them. ``observers`` are told every
    event over this cache, those of rerankers over it included. ``eager`` calls ``warmup`` at once. An argument that is
    not given comes from ``settings`` (environment and YAML unless given), which have all other knobs too.

    No method waits for Redis longer than its timeouts. Only ``forget`` and ``clear`` raise when Redis cannot be asked;
    in all others a step that fails finds nothing, and is an event. A Redis that answers but cannot be used (no
    search module or scripts, missing rights, a replica, cluster mode) raises StoreError in the constructor, which tries
    every command that requests need. One that is away, full or busy raises nothing: it is used as soon as it can be.

    Example:
        >>> with RedisSemanticCache("redis://localhost:6379", ttl=600) as cache:
        ...     cache.remember("how far is the moon", ["384,400 km", "a red car"], scores=[9.2, -4.0])
        ...     cache.lookup("how far is the moon", ["a red car"]).scores
        (-4.0,)
    """

    def __init__(
        self,
        redis_url: str | FromSettings = FROM_SETTINGS,
        embedding_model: str | object = FROM_SETTINGS,
        similarity_threshold: float | FromSettings = FROM_SETTINGS,
        ttl: float | FromSettings | None = FROM_SETTINGS,
        *,
        redis_client: object | None = None,
        reranker: str = "default",
        guard: Guard | str | FromSettings | None = FROM_SETTINGS,
        text: TextOf | None = None,
        migrate_from: object = FROM_SETTINGS,
        settings: Settings | None = None,
        observers: Sequence[Observer] = (),
        eager: bool = False,
    ) -> None:
        settings = settings_of(settings)
        arguments = cache_arguments(settings, redis_url, redis_client, embedding_model, similarity_threshold, ttl)
        if not isinstance(reranker, str) or not reranker.strip():
            raise ConfigurationError(f"reranker is {described(reranker)}; give the name of what computes the scores")
        read = reader_of(text)
        observers = (OutageLog(), *checked_observers(observers))
        self.backend: Backend = Backend.opened(
            arguments, settings, observers, redis_client=redis_client, guard=guard, migrate_from=migrate_from
        )
        try:
            self.backend.users.belong_to(self)
            self._owns_backend = True
            captures_queries = settings.telemetry.capture_queries
            self.scoped: ScopedCache = ScopedCache(self.backend, reranker, read=read, captures_queries=captures_queries)
            self.store.check()
            if eager:
                self.warmup()
        except TransientStoreError as error:
            if eager:
                self.backend.connection.close()
                raise
            # It may be usable again at any time, and until then answers go on without a cache. An error here would
            # take down every application that restarts meanwhile.
            self.scoped.on_event(CacheFailed("Connect", cause_of(error)))
        except BaseException:  # also an interrupt: an embedded server would run on
            self.backend.connection.close()
            raise

    @classmethod
    def from_settings(
        cls, settings: Settings | None = None, *, embedder: object = FROM_SETTINGS, **options: Any
    ) -> Self:
        """A cache with everything from ``settings``, or from the environment and YAML.

        ``embedder`` replaces the model that the settings name; ``options`` are arguments of the constructor.
        """
        return cls(embedding_model=embedder, settings=settings, **options)

    def of(
        self,
        reranker: str,
        *,
        listwise: bool = False,
        observers: Sequence[Observer] = (),
        read: Reader | None = None,
    ) -> Self:
        """The cache of another reranker's scores, over the same connection and embedder.

        ``reranker`` is the name of a reranker that is in use over this cache, a name that ``remember`` was given scores
        under, or a scope (``cached.cache.reranker``). A ``listwise`` reranker's scores are places in an order, which
        replace each other as a whole. ``observers`` are told what happens to requests over the new cache, beside the
        observers of this one's constructor. ``read`` gives the text of a document (None: as in this cache). Raises
        ConfigurationError for a name of several rerankers in use that are not the same.
        """
        scope = self.backend.scopes.of(reranker)
        return self.over(self.scoped.of(scope, listwise=listwise, observers=observers, read=read))

    def over(self, scoped: ScopedCache) -> Self:
        """The cache of these scores, over the same connection and embedder. It closes nothing."""
        # A copy has every field that the constructor sets, also the ones that a later version or a subclass adds.
        other = copy(self)
        other._owns_backend = False
        other.scoped = scoped
        return other

    @property
    def reranker(self) -> str:
        """The name that the scores are kept under: the scope of the reranker."""
        return self.scoped.reranker

    @property
    def store(self) -> RedisStore:
        """The store of the scores, for threads."""
        return self.scoped.store

    @property
    def async_store(self) -> AsyncRedisStore:
        """The store of the scores, for event loops."""
        return self.scoped.async_store

    @property
    def similarity_threshold(self) -> float:
        """The cosine from which another query's scores are served unasked, as set up; an audit may ask for more."""
        reuse = self.backend.policy.reuse
        return inf if reuse is None else reuse.trust_threshold

    @property
    def ttl(self) -> float | None:
        """Seconds that a new entry lives; None for no expiry."""
        return self.backend.ttl_s

    def warmup(self) -> dict[str, float]:
        """Connect, make the index and load the embedder now, which the first request would wait for.

        Returns the seconds it took: ``{"redis": 0.01, "embedder": 0.4}``. Other than a request it raises what fails:
        StoreUnavailableError while Redis is away, EmbedderError, or what loading the model raises.
        """
        started = monotonic()
        self.store.check()
        connected = monotonic()
        self.backend.embed(["a query"])
        return {"redis": connected - started, "embedder": monotonic() - connected}

    async def awarmup(self) -> dict[str, float]:
        """``warmup`` for the running event loop."""
        started = monotonic()
        await self.async_store.check()
        connected = monotonic()
        await self.backend.aembed(["a query"])
        return {"redis": connected - started, "embedder": monotonic() - connected}

    def lookup(
        self, query: str, documents: Sequence[object], *, vector: FloatArray | None = None, tenant: str = ""
    ) -> Lookup:
        """The known scores of these documents for this query; no reranker is asked.

        ``vector`` is the query's unit vector, if the caller has it already.
        """
        request = checked_request(query, documents, 1, tenant, self.scoped.read)
        calls = self.scoped.calls(budget_s=self.scoped.budget_s)
        return lookup(request, run(self.scoped.find(request, self._checked(vector)), calls))

    async def alookup(
        self, query: str, documents: Sequence[object], *, vector: FloatArray | None = None, tenant: str = ""
    ) -> Lookup:
        """``lookup`` for an event loop."""
        request = checked_request(query, documents, 1, tenant, self.scoped.read)
        calls = self.scoped.async_calls(budget_s=self.scoped.budget_s)
        return lookup(request, await arun(self.scoped.find(request, self._checked(vector)), calls))

    def remember(
        self,
        query: str,
        documents: Sequence[object],
        scores: Sequence[float],
        *,
        vector: FloatArray | None = None,
        tenant: str = "",
        ttl: float | None = None,
    ) -> bool:
        """Store the scores that the reranker computed for this query, one per document. True if they were stored.

        ``ttl`` in seconds replaces the cache's for a new entry. Never pass scores of another query or reranker.
        """
        request = checked_request(query, documents, 1, tenant, self.scoped.read)
        return run(self._remember(request, scores, vector, ttl), self.scoped.calls())

    async def aremember(
        self,
        query: str,
        documents: Sequence[object],
        scores: Sequence[float],
        *,
        vector: FloatArray | None = None,
        tenant: str = "",
        ttl: float | None = None,
    ) -> bool:
        """``remember`` for an event loop."""
        request = checked_request(query, documents, 1, tenant, self.scoped.read)
        return await arun(self._remember(request, scores, vector, ttl), self.scoped.async_calls())

    def _remember(
        self, request: Request, scores: Sequence[float], vector: FloatArray | None, ttl: float | None
    ) -> Generator[Step, Any, bool]:
        check_ttl(ttl)
        return remember(request, self.scoped.policy(), records(request, scores), self._checked(vector), ttl)

    def neighbours(self, vector: FloatArray, k: int = 4, *, tenant: str = "") -> list[Neighbour]:
        """At most k entries near a unit vector of shape ``(dims,)``, nearest first; none when Redis cannot be asked."""
        check_count("k", k, InvalidInputError)
        return list(run(self._neighbours(vector, tenant), self.scoped.calls(k=int(k), budget_s=self.scoped.budget_s)))

    async def aneighbours(self, vector: FloatArray, k: int = 4, *, tenant: str = "") -> list[Neighbour]:
        """``neighbours`` for an event loop."""
        check_count("k", k, InvalidInputError)
        calls = self.scoped.async_calls(k=int(k), budget_s=self.scoped.budget_s)
        return list(await arun(self._neighbours(vector, tenant), calls))

    def _neighbours(self, vector: FloatArray | None, tenant: str) -> Generator[Step, Any, Sequence[Neighbour]]:
        check_tenant(tenant)
        unit = self._checked(vector)
        if unit is None:
            raise InvalidInputError("vector is None; pass the unit vector of a query")
        near: Sequence[Neighbour] = yield FindNeighbours(tenant, unit)
        return near

    def _checked(self, vector: FloatArray | None) -> FloatArray | None:
        return None if vector is None else given_vector(vector, self.backend.embedder.dims)

    def forget(
        self, *, query: str | None = None, document: str | bytes | object = None, tenant: str | None = None
    ) -> int:
        """Remove what is remembered of a query, of a document (its text or its fingerprint), or of a tenant.

        A query without a tenant is the default tenant's; a document without a tenant is forgotten in all of them.
        Lists of ``set`` are forgotten, too, and so are the scores of the one reranker over this cache. Returns the
        number of entries touched. Raises StoreUnavailableError when Redis cannot be asked; what had to be
        forgotten may then still be there.

        Example:
            >>> cache.forget(document="a text that was withdrawn"), cache.forget(tenant="shop-a")
        """
        fingerprint = checked_forget(query, document, tenant, self.scoped.read)
        self.backend.settle_writes()
        return sum(cache.store.forget(tenant, query=query, document=fingerprint) for cache in self.scoped.everywhere())

    async def aforget(
        self, *, query: str | None = None, document: str | bytes | object = None, tenant: str | None = None
    ) -> int:
        """``forget`` for an event loop."""
        fingerprint = checked_forget(query, document, tenant, self.scoped.read)
        await self.backend.asettle_writes()
        touched = 0
        for cache in self.scoped.everywhere():
            touched += await cache.async_store.forget(tenant, query=query, document=fingerprint)
        return touched

    def clear(self) -> int:
        """Remove every entry of this namespace, reranker and embedder, of all tenants. Returns their number."""
        self.backend.settle_writes()
        return self.store.clear()

    async def aclear(self) -> int:
        """``clear`` for an event loop."""
        await self.backend.asettle_writes()
        return await self.async_store.clear()

    def migrator(self) -> Migrator:
        """Moves what was remembered with the former embedder into the scope of the present one.

        That of this cache, of its lists, and of the one reranker over it. Raises ConfigurationError without a migration
        (setting ``migration.from_model``, or ``migrate_from``).

        Example:
            >>> cache.migrator().run(progress=print)
        """
        return self.backend.migrator([cache.store for cache in self.scoped.everywhere()])

    def get(self, query: str, documents: Sequence[D]) -> list[D] | None:
        """The caller's documents in the order of ``set`` for this query or a trusted one; None unless all are known.

        A remembered list that was shorter than its candidates is served only when all of it is among ``documents``.
        Without such a list, the scores that the one reranker over this cache remembered give the order.
        """
        return ResultLists(self.scoped).get(query, documents)

    async def aget(self, query: str, documents: Sequence[D]) -> list[D] | None:
        """``get`` for an event loop."""
        return await ResultLists(self.scoped).aget(query, documents)

    def set(self, query: str, documents: Sequence[object], results: Sequence[object]) -> None:
        """Remember that a reranker chose ``results``, best first, out of ``documents``."""
        ResultLists(self.scoped).set(query, documents, results)

    async def aset(self, query: str, documents: Sequence[object], results: Sequence[object]) -> None:
        """``set`` for an event loop."""
        await ResultLists(self.scoped).aset(query, documents, results)

    def close(self) -> None:
        """Close the connections, and the embedded server if this was its last user. Can be repeated.

        A cache that ``of`` made has opened nothing, and closes nothing.
        """
        if self._owns_backend:
            self.backend.close()

    async def aclose(self) -> None:
        """``close`` for the running event loop's connections too."""
        if self._owns_backend:
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
