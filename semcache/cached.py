"""A reranker behind a cache: asks the reranker only what the cache does not know."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from secrets import token_bytes
from time import monotonic, sleep
from typing import Any, Self

from semcache.audit.auditor import Auditor
from semcache.audit.forced import ForcedWatch
from semcache.audit.repairer import Repairer
from semcache.batching.reranker import AsyncBatchReranker
from semcache.cache import RedisSemanticCache
from semcache.degradation.cascade import Cascade, cascade_of
from semcache.degradation.monitor import LatencyMonitor
from semcache.documents import TextOf, reader_of
from semcache.embedders.checked import given_vectors
from semcache.errors import ConfigurationError
from semcache.flow.calls import Calls
from semcache.flow.hints import one_per_query, with_hints
from semcache.flow.lease import NewLease, lease_of
from semcache.flow.outcome import Outcome, ranking, reranked, saved_time_s
from semcache.flow.policy import FlowPolicy
from semcache.flow.requests import Request, checked_request, checked_requests, deadline_after
from semcache.flow.rerank import Flow, rerank
from semcache.flow.run import arun, arun_many, run, run_many, written_later
from semcache.flow.singleflight import AsyncSingleFlight, SingleFlight
from semcache.flow.steps import EndLease, Lease
from semcache.flow.waiting import LeaseCalls
from semcache.identity.identity import Identity
from semcache.identity.ladder import IdentifiedLadder, primary_of
from semcache.identity.subjects import RerankerSubject
from semcache.observers.counters import Counters
from semcache.observers.dispatch import checked_observers
from semcache.protocols import AsyncStore, FloatArray, Guard, Ladder, Observer, Store
from semcache.ranking import Ranking
from semcache.rerankers.single import as_ladder
from semcache.runtime.budget import TimeBudget
from semcache.runtime.countdown import Countdown
from semcache.runtime.threads import in_own_thread
from semcache.settings import FROM_SETTINGS, FromSettings

# Warming takes a log in pieces: large enough to fill batches, small enough to be interrupted without losing much.
_WARM_CHUNK = 32
# What the background does is only a help, so that closing waits for the piece under way alone, and not long.
_BACKGROUND_S = 5.0
_TOKEN_BYTES = 16
"""No two leases have the same token."""


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
        # Read once: a ladder asks rung by rung for it, and every ranking carries it.
        self._name = self.ladder.name
        self.counters: Counters = Counters() if counters is None else counters
        # Nothing that the backend or a background thread holds may lead back to this object. Applications drop it
        # without closing it, and it has to be freed then.
        backend = cache.backend
        prune = backend.policy.prune
        cascade = None if prune is None else cascade_of(self.ladder, prune.cascade)
        self.cache: RedisSemanticCache = cache.for_reranker(
            self.ladder.name,
            observers=(self.counters, *observers),
            read=None if text is None else reader_of(text),
            guard=guard,
            # A ladder of the caller's own need not say.
            is_remote=bool(getattr(self.ladder, "is_remote", False)),
        )
        self.identity: Identity = _identity_of(self.ladder, self.cache, reranker)
        self.identity.start()
        backend.users.join(self, self.cache, self.counters)
        identified = IdentifiedLadder(self.ladder, self.identity)
        self._calls, self._async_calls = _calls_of(self.cache, identified, cascade)
        self._lease_s = _lease_s(backend.knobs.lease_s, self.ladder)
        knobs = backend.reuse_knobs
        self.audit: Auditor = Auditor(
            self.cache,
            identified,
            audit_rate=knobs.audit_rate,
            quality_budget=knobs.quality_budget,
            cascade=cascade,
        )
        # A ladder of the caller's own need not have it.
        following: Callable[[Callable[[], Any]], None] = getattr(self.ladder, "follow_learned", lambda _: None)
        following(partial(getattr, self.audit.pruning, "surrogate"))
        self.forced: ForcedWatch = ForcedWatch(self.cache, self.ladder)
        self.repairs: Repairer = Repairer(self.cache, identified, is_on=repair)
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
        documents: Sequence[Any],
        top_k: int = 5,
        *,
        tenant: str = "",
        deadline_s: float | None = None,
        retrieval_scores: Sequence[float] | None = None,
        document_vectors: FloatArray | None = None,
        min_score: float | None = None,
    ) -> Ranking[Any]:
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
        request = checked_request(query, documents, top_k, tenant, self.cache.read)
        request = self._with_hints(request, retrieval_scores, document_vectors, min_score)
        deadline = deadline_after(started, deadline_s)
        budget = self._calls.budget(deadline)
        outcome = self._flights.do(
            _key(request, deadline_s), lambda: run(self._leased(request), self._calls, deadline, started, budget)
        )
        return self._answered(request, documents, outcome, started, budget)

    async def arerank(
        self,
        query: str,
        documents: Sequence[Any],
        top_k: int = 5,
        *,
        tenant: str = "",
        deadline_s: float | None = None,
        retrieval_scores: Sequence[float] | None = None,
        document_vectors: FloatArray | None = None,
        min_score: float | None = None,
    ) -> Ranking[Any]:
        """``rerank`` for an event loop."""
        started = monotonic()
        request = checked_request(query, documents, top_k, tenant, self.cache.read)
        request = self._with_hints(request, retrieval_scores, document_vectors, min_score)
        deadline = deadline_after(started, deadline_s)
        budget = self._async_calls.budget(deadline)
        outcome = await self._async_flights.do(
            _key(request, deadline_s), lambda: arun(self._leased(request), self._async_calls, deadline, started, budget)
        )
        return self._answered(request, documents, outcome, started, budget)

    def rerank_many(
        self,
        queries: Sequence[str],
        documents_list: Sequence[Sequence[Any]],
        top_k: int = 5,
        *,
        tenant: str = "",
        retrieval_scores: Sequence[Sequence[float] | None] | None = None,
        document_vectors: Sequence[FloatArray | None] | None = None,
        min_score: float | None = None,
    ) -> list[Ranking[Any]]:
        """One ranking per query, in order; looked up and embedded together, scored in common batches.

        ``retrieval_scores`` and ``document_vectors`` have those of each query, or None for one that has none.

        Example:
            >>> rankings = reranker.rerank_many(["red apples", "cold wind"], [documents, other_documents], top_k=3)
        """
        started = monotonic()
        requests = checked_requests(queries, documents_list, top_k, tenant, self.cache.read)
        requests = self._all_with_hints(requests, retrieval_scores, document_vectors, min_score)
        distinct = {_key(request, None): request for request in requests}
        outcomes = run_many(map(self._flow, distinct.values()), self._calls)
        return self._all_answered(requests, documents_list, dict(zip(distinct, outcomes, strict=True)), started)

    async def arerank_many(
        self,
        queries: Sequence[str],
        documents_list: Sequence[Sequence[Any]],
        top_k: int = 5,
        *,
        tenant: str = "",
        retrieval_scores: Sequence[Sequence[float] | None] | None = None,
        document_vectors: Sequence[FloatArray | None] | None = None,
        min_score: float | None = None,
    ) -> list[Ranking[Any]]:
        """``rerank_many`` for an event loop."""
        started = monotonic()
        requests = checked_requests(queries, documents_list, top_k, tenant, self.cache.read)
        requests = self._all_with_hints(requests, retrieval_scores, document_vectors, min_score)
        distinct = {_key(request, None): request for request in requests}
        outcomes = await arun_many(map(self._flow, distinct.values()), self._async_calls)
        return self._all_answered(requests, documents_list, dict(zip(distinct, outcomes, strict=True)), started)

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
        # A ladder of the caller's own need not have it.
        warming: Callable[[], None] = getattr(self.ladder, "warmup", lambda: None)
        warming()
        self.identity.verify()
        return {**took, "rerankers": monotonic() - started}

    async def awarmup(self) -> dict[str, float]:
        """``warmup`` for the running event loop."""
        took = await self.cache.awarmup()
        started = monotonic()
        warming: Callable[[], Awaitable[None]] | None = getattr(self.ladder, "awarmup", None)
        if warming is not None:
            await warming()
        await self.identity.averify()
        return {**took, "rerankers": monotonic() - started}

    def warm(self, requests: Iterable[tuple[str, Sequence[Any]]], *, tenant: str = "") -> int:
        """Score every (query, documents) of a log that is not known exactly yet. Returns the number of pairs scored.

        Example:
            >>> reranker.warm((line["query"], line["documents"]) for line in log)
        """
        return sum(
            outcome.asked for flows in self._warming(requests, tenant) for outcome in run_many(flows, self._calls)
        )

    async def awarm(self, requests: Iterable[tuple[str, Sequence[Any]]], *, tenant: str = "") -> int:
        """``warm`` for an event loop."""
        scored = 0
        for flows in self._warming(requests, tenant):
            scored += sum(outcome.asked for outcome in await arun_many(flows, self._async_calls))
        return scored

    def _warming(self, requests: Iterable[tuple[str, Sequence[Any]]], tenant: str) -> Iterator[list[Flow]]:
        log = iter(requests)
        while chunk := list(islice(log, _WARM_CHUNK)):
            checked = [checked_request(query, documents, 1, tenant, self.cache.read) for query, documents in chunk]
            policy = self.cache.policy(tenant).asking_all()
            yield [self._flow(request, policy) for request in checked]

    def _leased(self, request: Request) -> Flow:
        """The flow of one request, which computes nothing that another process computes already.

        Lists of requests are computed by each process for itself: they would wait for each other in turn.
        """
        # What other processes will not read need not be waited for.
        is_shared = self._lease_s > 0 and not self.cache.is_private
        return self._flow(request, new_lease=self._new_lease if is_shared else None)

    def _new_lease(self, request: Request) -> Lease:
        return lease_of(request, self._lease_s, token_bytes(_TOKEN_BYTES), self._give_up)

    def _give_up(self, lease: Lease) -> None:
        """Let other processes compute what a cancelled request does not."""
        if self._calls.write_later is not None:
            self._calls.write_later(EndLease(lease))

    def _flow(self, request: Request, policy: FlowPolicy | None = None, new_lease: NewLease | None = None) -> Flow:
        # A generator: the policy is read when the flow begins, and the audit considers only flows that came to an end.
        policy = self.cache.policy(request.tenant) if policy is None else policy
        self.forced.keep_up()
        cache = self.cache
        listwise, is_remote = cache.listwise, cache.is_remote
        outcome = yield from rerank(
            request, policy, self._name, listwise=listwise, is_remote=is_remote, new_lease=new_lease
        )
        # What other processes will not read need not be watched.
        if not self.cache.is_private:
            self.audit.consider(request, outcome)
        self.repairs.consider(request, outcome)
        return outcome

    def _all_answered(
        self,
        requests: Sequence[Request],
        documents_list: Sequence[Sequence[Any]],
        outcomes: dict[Any, Outcome],
        started: float,
    ) -> list[Ranking[Any]]:
        return [
            self._answered(request, documents, outcomes[_key(request, None)], started)
            for request, documents in zip(requests, documents_list, strict=True)
        ]

    def _answered(
        self,
        request: Request,
        documents: Sequence[Any],
        outcome: Outcome,
        started: float,
        budget: TimeBudget | None = None,
    ) -> Ranking[Any]:
        """The ranking for one caller. Callers that shared one computation each have their documents and their event."""
        redis_s = None if budget is None else budget.spent_s
        saved_s = saved_time_s(outcome, self.counters.call_cost(self._name))
        captures = self.cache.captures_queries
        duration_s = monotonic() - started
        self.cache.on_event(reranked(request, outcome, duration_s, redis_s, saved_s, captures_query=captures))
        return ranking(request, documents, outcome)

    def _with_hints(
        self,
        request: Request,
        retrieval_scores: Sequence[float] | None,
        document_vectors: FloatArray | None,
        min_score: float | None,
    ) -> Request:
        if retrieval_scores is None and document_vectors is None and min_score is None:
            return request
        if document_vectors is not None:
            dims = self.cache.backend.embedder.dims
            document_vectors = given_vectors(document_vectors, len(request.text_positions), dims)
        return with_hints(request, retrieval_scores, document_vectors, min_score)

    def _all_with_hints(
        self,
        requests: list[Request],
        retrieval_scores: Sequence[Sequence[float] | None] | None,
        document_vectors: Sequence[FloatArray | None] | None,
        min_score: float | None,
    ) -> list[Request]:
        all_scores = one_per_query(retrieval_scores, len(requests), "retrieval_scores")
        all_vectors = one_per_query(document_vectors, len(requests), "document_vectors")
        return [
            self._with_hints(request, scores, vectors, min_score)
            for request, scores, vectors in zip(requests, all_scores, all_vectors, strict=True)
        ]

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
        return {
            **self.counters.snapshot(),
            "quality": self.audit.snapshot(),
            "repairs": self.repairs.snapshot(),
            "forced": self.forced.snapshot(),
        }

    def close(self, timeout_s: float | None = None) -> None:
        """Close the ladder, and a cache that is used nowhere else: one that the caller still holds stays open.

        Requests that are under way or wait are answered first. After ``timeout_s`` seconds those that are left fail,
        and a warning of the logger says how many; None waits as long as calls of the reranker come to their end. A
        ladder of the caller's own gets the seconds that are left as an argument of its ``close``, if there is a
        timeout. Can be repeated.
        """
        countdown = Countdown(timeout_s)
        # In this order: an audit under way asks the ladder and writes to the cache.
        for background in (self.forced, self.repairs, self.audit):
            background.close(countdown.left_s(_BACKGROUND_S))
        closing: Callable[..., None] = getattr(self.ladder, "close", lambda *_: None)
        closing(*_left(timeout_s, countdown))
        if self.cache.backend.users.leave(self):
            self.cache.backend.close()

    async def aclose(self, timeout_s: float | None = None) -> None:
        """``close`` for the running event loop's connections too."""
        countdown = Countdown(timeout_s)
        # Not in the loop's own threads, which the application may need for itself, or keep busy.
        for background in (self.forced, self.repairs, self.audit):
            await in_own_thread(partial(background.close, countdown.left_s(_BACKGROUND_S)), "semcache-closing")
        closing: Callable[..., Awaitable[None]] | None = getattr(self.ladder, "aclose", None)
        if closing is not None:
            await closing(*_left(timeout_s, countdown))
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


def _identity_of(ladder: Ladder, cache: RedisSemanticCache, given: object) -> Identity:
    """The identity of the reranker whose scores a ladder gives; ``given`` is the reranker that the user holds."""
    primary = primary_of(ladder)
    return Identity(
        # That inside of a batcher: the probes are no part of its traffic, and belong to no batch.
        RerankerSubject(primary.primary if isinstance(primary, AsyncBatchReranker) else primary),
        cache.backend.variants,
        on_event=cache.on_event,
        on_moved=partial(_move, cache, ladder),
        settled=cache.backend.settled,
        holder=given,
    )


def _calls_of(
    cache: RedisSemanticCache, ladder: IdentifiedLadder, cascade: Cascade | None
) -> tuple[Calls[Store], Calls[AsyncStore]]:
    """Performs the steps of requests over this cache and ladder: for threads, and for event loops."""
    backend = cache.backend
    leases, aleases = (
        LeaseCalls(store.claim_lease, store.look_at_lease, store.end_lease, pause, cache.on_event)
        for store, pause in ((cache.store, sleep), (cache.async_store, asyncio.sleep))
    )
    options: dict[str, Any] = {
        "budget_s": backend.connection.budget_s,
        "pairs_at_once": ladder.pairs_at_once,
        "write_later": written_later(replace(cache.calls(), leases=leases), backend.writes.submit),
    }
    cheap, acheap = (None, None) if cascade is None else (cascade.score, cascade.ascore)
    return (
        replace(cache.calls(ladder.score), score_cheaply=cheap, leases=leases, **options),
        replace(cache.async_calls(ladder.ascore), score_cheaply=acheap, leases=aleases, **options),
    )


def _lease_s(lease_s: float, ladder: Ladder) -> float:
    """How long a lease may last: half of the time in which the primary has to answer at most.

    A process that takes longer answers by a lower rung, so that the others would wait in vain.
    """
    monitor = getattr(ladder, "monitor", None)
    return min(lease_s, monitor.p95_threshold / 2) if isinstance(monitor, LatencyMonitor) else lease_s


def _move(cache: RedisSemanticCache, ladder: Ladder, scope: str, is_private: bool) -> None:
    """Serve another scope of the same ladder from now on."""
    cache.move(scope, listwise=ladder.listwise, is_private=is_private)


def _left(timeout_s: float | None, countdown: Countdown) -> tuple[float, ...]:
    """The argument of a ladder's ``close``: none without a timeout, which ladders of callers need not know."""
    return () if timeout_s is None else (countdown.left_s(timeout_s),)


def _key(request: Request, deadline_s: float | None) -> tuple[Any, ...]:
    # With the deadline, since a caller without one must not get the answer of a fallback that was in a hurry.
    # With the least score, which changes the answer; scores of a retriever and vectors only change how it is found.
    return request.tenant, request.query, request.fingerprints, request.top_k, request.min_score, deadline_s
