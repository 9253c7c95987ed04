"""A reranker behind a cache: asks the reranker only what the cache does not know."""

from collections.abc import Iterable, Sequence
from functools import partial
from time import monotonic
from typing import Any, Self, TypeVar

from semcache.audit.auditor import Auditor
from semcache.audit.background import BackgroundWork
from semcache.audit.forced import ForcedWatch
from semcache.audit.repairer import Repairer
from semcache.cache import RedisSemanticCache
from semcache.degradation.cascade import cascade_of
from semcache.documents import TextOf, reader_of
from semcache.errors import ConfigurationError
from semcache.flow.drive import is_unfinished
from semcache.flow.outcome import Outcome, pairs_scored
from semcache.flow.requests import checked_request, checked_requests, deadline_after
from semcache.flow.run import arun, arun_many, run, run_many
from semcache.flow.singleflight import AsyncSingleFlight, SingleFlight, flight_key
from semcache.identity.identity import Identity
from semcache.identity.ladder import IdentifiedLadder
from semcache.observers.counters import Counters
from semcache.observers.dispatch import checked_observers
from semcache.protocols import FloatArray, Guard, Ladder, Observer
from semcache.ranking import Ranking
from semcache.rerankers.single import as_ladder
from semcache.reranking.answers import Answers
from semcache.reranking.calls import calls_of
from semcache.reranking.flows import Flows
from semcache.reranking.hints import all_hinted, hinted
from semcache.reranking.identity import identity_of
from semcache.reranking.leases import leases_of
from semcache.runtime.countdown import Countdown
from semcache.runtime.threads import in_own_thread
from semcache.settings import FROM_SETTINGS, FromSettings

D = TypeVar("D")


class CachedReranker:
    """A reranker whose scores are remembered in ``cache``. Safe to use from several threads and event loops.

    ``reranker`` is anything that ``semcache.rerankers.adapt`` takes, a sentence-transformers CrossEncoder included, or
    a DegradableReranker. Equal requests in flight share one computation.

    ``text`` says what of a document is scored and remembered: a function that gives its text, or names of fields, such
    as ``("title", "body")``, which are joined by line breaks; None takes the text as the cache does.

    ``guard`` ("facts", "strict", "off", or one of your own) keeps similar queries apart that ask something else; unless
    one is given, the cache's does. Scores are shared by name: ``name``, ``version`` and ``probe`` say whose scores they
    are, as for ``adapt``.

    ``observers`` are told what happens to requests of this reranker; the observers of the cache are told that, too.
    ``counters`` count its requests and the failures of their cache steps; None makes a Counters of its own. Rerankers
    that are made per request may share one Counters, and need not be closed. ``eager`` calls ``warmup`` at once.
    With ``repair`` what a lower rung of a DegradableReranker answered is scored by its primary later, in spare time, so
    that a repetition is answered exactly.

    Example:
        >>> cache = RedisSemanticCache("redis://localhost:6379")
        >>> with CachedReranker(CrossEncoder("cross-encoder/ms-marco-MiniLM-L-12-v2"), cache) as reranker:
        ...     ranking = reranker.rerank("how far is the moon", documents, top_k=5)
    """

    def __init__(
        self,
        reranker: object,
        cache: RedisSemanticCache,
        *,
        guard: Guard | str | FromSettings | None = FROM_SETTINGS,
        text: TextOf | None = None,
        name: str | None = None,
        version: str | None = None,
        probe: bool = True,
        observers: Sequence[Observer] = (),
        counters: Counters | None = None,
        repair: bool = True,
        eager: bool = False,
    ) -> None:
        if not isinstance(cache, RedisSemanticCache):
            # The type alone: a url may hold a password.
            raise ConfigurationError(f"cache is a {type(cache).__name__}; pass a RedisSemanticCache")
        observers = checked_observers(observers)
        self._given = reranker
        self.ladder: Ladder = as_ladder(reranker, name=name, version=version, probe=probe)
        self.counters: Counters = Counters() if counters is None else counters
        # Nothing that the backend or a background thread holds may lead back to this object. Applications drop it
        # without closing it, and it has to be freed then.
        prune = cache.backend.policy.prune
        cascade = None if prune is None else cascade_of(self.ladder, prune.cascade)
        self._scoped = scoped = cache.scoped.of(
            self.ladder.name,
            observers=(self.counters, *observers),
            read=None if text is None else reader_of(text),
            guard=guard,
            # A ladder of the caller's own need not say.
            is_remote=bool(getattr(self.ladder, "is_remote", False)),
        )
        self.cache: RedisSemanticCache = cache.over(scoped)
        self.identity: Identity = identity_of(self.ladder, scoped, reranker)
        self.identity.start()
        cache.backend.users.join(self, scoped, self.counters)
        self._identified = IdentifiedLadder(self.ladder, self.identity)
        leases = leases_of(scoped, self.ladder)
        self._calls, self._async_calls = calls_of(scoped, self._identified, cascade, leases)
        self._background = BackgroundWork(scoped, self.ladder, self._identified, cascade=cascade, repair=repair)
        self.audit: Auditor = self._background.audit
        self.forced: ForcedWatch = self._background.forced
        self.repairs: Repairer = self._background.repairs
        self._flows = Flows(scoped, self.ladder, self._background, leases)
        self._answers = Answers(scoped, self.counters, self.ladder.name)
        self._flights: SingleFlight[Outcome] = SingleFlight()
        self._async_flights: AsyncSingleFlight[Outcome] = AsyncSingleFlight()
        if eager:
            try:
                self.warmup()
            except BaseException:  # also an interrupt: threads and connections would stay
                self.close()
                raise

    def rerank(
        self,
        query: str,
        documents: Sequence[D],
        top_k: int = 5,
        *,
        tenant: str = "",
        deadline_s: float | None = None,
        retrieval_scores: Sequence[float] | None = None,
        document_vectors: FloatArray | None = None,
        min_score: float | None = None,
    ) -> Ranking[D]:
        """The best ``top_k`` of the caller's own documents, best first.

        Nothing is read or written across a ``tenant``. ``deadline_s`` is in seconds from now and covers everything,
        models that are still loading included. At most half of it goes into embedding the query; if that takes longer,
        near queries are not looked for. A reranker with fallbacks answers in time, by a lower rung if it must; another
        one raises DeadlineExceededError. Raises InvalidInputError before any work is done, and what the reranker
        raises.

        Three arguments let more documents be skipped (setting ``prune``). ``retrieval_scores`` are the retriever's, one
        finite number per document; without them, those that LangChain, LlamaIndex and Haystack leave in documents are
        taken. ``document_vectors`` are of the cache's embedder, one row per document. ``min_score``, in the units of
        the reranker's scores, leaves documents below it out of the ranking, and those that cannot reach it unasked.

        Example:
            >>> ranking = reranker.rerank("how far is the moon", documents, top_k=5, tenant="shop-a", deadline_s=1.5)
            >>> ranking[0], ranking.scores[0], ranking.status
        """
        started = monotonic()
        request = checked_request(query, documents, top_k, tenant, self._scoped.read)
        request = hinted(request, self._scoped, retrieval_scores, document_vectors, min_score)
        deadline = deadline_after(started, deadline_s)
        budget = self._calls.budget(deadline)
        flow = self._flows.leased(request)
        outcome = self._flights.do(
            flight_key(request, deadline_s), lambda: run(flow, self._calls, deadline, started, budget)
        )
        return self._answers.ranking(request, documents, outcome, started, budget, is_shared=is_unfinished(flow))

    async def arerank(
        self,
        query: str,
        documents: Sequence[D],
        top_k: int = 5,
        *,
        tenant: str = "",
        deadline_s: float | None = None,
        retrieval_scores: Sequence[float] | None = None,
        document_vectors: FloatArray | None = None,
        min_score: float | None = None,
    ) -> Ranking[D]:
        """``rerank`` for an event loop."""
        started = monotonic()
        request = checked_request(query, documents, top_k, tenant, self._scoped.read)
        request = hinted(request, self._scoped, retrieval_scores, document_vectors, min_score)
        deadline = deadline_after(started, deadline_s)
        budget = self._async_calls.budget(deadline)
        flow = self._flows.leased(request)
        outcome = await self._async_flights.do(
            flight_key(request, deadline_s), lambda: arun(flow, self._async_calls, deadline, started, budget)
        )
        return self._answers.ranking(request, documents, outcome, started, budget, is_shared=is_unfinished(flow))

    def rerank_many(
        self,
        queries: Sequence[str],
        documents_list: Sequence[Sequence[D]],
        top_k: int = 5,
        *,
        tenant: str = "",
        retrieval_scores: Sequence[Sequence[float] | None] | None = None,
        document_vectors: Sequence[FloatArray | None] | None = None,
        min_score: float | None = None,
    ) -> list[Ranking[D]]:
        """One ranking per query, in order; looked up and embedded together, scored in common batches.

        ``retrieval_scores`` and ``document_vectors`` have those of each query, or None for one that has none.

        Example:
            >>> rankings = reranker.rerank_many(["red apples", "cold wind"], [documents, other_documents], top_k=3)
        """
        started = monotonic()
        requests = checked_requests(queries, documents_list, top_k, tenant, self._scoped.read)
        requests = all_hinted(requests, self._scoped, retrieval_scores, document_vectors, min_score)
        distinct = {flight_key(request): request for request in requests}
        outcomes = run_many(map(self._flows.of, distinct.values()), self._calls)
        return self._answers.rankings(requests, documents_list, dict(zip(distinct, outcomes, strict=True)), started)

    async def arerank_many(
        self,
        queries: Sequence[str],
        documents_list: Sequence[Sequence[D]],
        top_k: int = 5,
        *,
        tenant: str = "",
        retrieval_scores: Sequence[Sequence[float] | None] | None = None,
        document_vectors: Sequence[FloatArray | None] | None = None,
        min_score: float | None = None,
    ) -> list[Ranking[D]]:
        """``rerank_many`` for an event loop."""
        started = monotonic()
        requests = checked_requests(queries, documents_list, top_k, tenant, self._scoped.read)
        requests = all_hinted(requests, self._scoped, retrieval_scores, document_vectors, min_score)
        distinct = {flight_key(request): request for request in requests}
        outcomes = await arun_many(map(self._flows.of, distinct.values()), self._async_calls)
        return self._answers.rankings(requests, documents_list, dict(zip(distinct, outcomes, strict=True)), started)

    def warmup(self) -> dict[str, float]:
        """Do now what the first request would wait for. Returns the seconds it took: redis, embedder, rerankers.

        That is to connect and to make the index, and to load the embedder and the rerankers, each by a call about an
        invented text. Other than a request it raises what fails. Call it before a server takes requests, and in each
        of its processes if it forks them.

        Example:
            >>> pipeline.warmup()
            {'redis': 0.01, 'embedder': 0.4, 'rerankers': 0.9}
        """
        took = self.cache.warmup()
        started = monotonic()
        self._identified.warmup()
        return {**took, "rerankers": monotonic() - started}

    async def awarmup(self) -> dict[str, float]:
        """``warmup`` for the running event loop."""
        took = await self.cache.awarmup()
        started = monotonic()
        await self._identified.awarmup()
        return {**took, "rerankers": monotonic() - started}

    def warm(self, requests: Iterable[tuple[str, Sequence[object]]], *, tenant: str = "") -> int:
        """Score every (query, documents) of a log that is not known exactly yet. Returns the number of pairs scored.

        What a lower rung has answered, since the primary could not, is not remembered, and does not count.

        Example:
            >>> reranker.warm((line["query"], line["documents"]) for line in log)
        """
        return sum(pairs_scored(run_many(flows, self._calls)) for flows in self._flows.of_log(requests, tenant))

    async def awarm(self, requests: Iterable[tuple[str, Sequence[object]]], *, tenant: str = "") -> int:
        """``warm`` for an event loop."""
        scored = 0
        for flows in self._flows.of_log(requests, tenant):
            scored += pairs_scored(await arun_many(flows, self._async_calls))
        return scored

    @property
    def reranker(self) -> Any:
        """The reranker as it was given to the constructor."""
        return self._given

    @property
    def stats(self) -> dict[str, Any]:
        """The counts of ``get_stats`` alone, as a copy: ``cache_hits``, ``cache_misses``, ``hit_rate`` and others."""
        return self.counters.snapshot()

    def get_stats(self) -> dict[str, Any]:
        """Counts since the start: ``cache_hits``, ``cache_misses``, ``hit_rate`` ("66.67%"), and many more.

        ``quality`` is what reuses were seen to cost, by band of similarity, and the trust threshold in force.
        """
        return {**self.counters.snapshot(), **self._background.snapshot()}

    def close(self, timeout_s: float | None = None) -> None:
        """Close the ladder, and a cache that is used nowhere else: one that the caller still holds stays open.

        Requests that are under way or wait are answered first. After ``timeout_s`` seconds those that are left fail,
        and a warning of the logger says how many; None waits as long as calls of the reranker come to their end. A
        ladder of the caller's own gets the seconds that are left as an argument of its ``close``, if there is a
        timeout. Can be repeated.
        """
        countdown = Countdown(timeout_s)
        # In this order: an audit under way asks the ladder and writes to the cache.
        self._background.close(countdown)
        self._identified.close(None if timeout_s is None else countdown.left_s(timeout_s))
        if self.cache.backend.users.leave(self):
            self.cache.backend.close()

    async def aclose(self, timeout_s: float | None = None) -> None:
        """``close`` for the running event loop's connections too."""
        countdown = Countdown(timeout_s)
        # Not in the loop's own threads, which the application may need for itself, or keep busy.
        await in_own_thread(partial(self._background.close, countdown), "semcache-closing")
        await self._identified.aclose(None if timeout_s is None else countdown.left_s(timeout_s))
        if self.cache.backend.users.leave(self):
            await self.cache.backend.aclose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.ladder!r} behind {self.cache!r}>"
