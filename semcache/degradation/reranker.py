"""DegradableReranker: answers with the primary while it is healthy and free, else with the next rung of its ladder."""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from math import inf
from time import monotonic
from typing import Any, Self, TypeVar

from semcache.degradation.breaker import BreakerPolicy
from semcache.degradation.cascade import Cascade
from semcache.degradation.fallback_chain import FallbackChain, acall_rung, call_rung
from semcache.degradation.idle import IdlePrimary
from semcache.degradation.ladder import RungDefaults, as_rung, build_rungs, ladder_rungs
from semcache.degradation.monitor import LatencyMonitor
from semcache.degradation.tally import Tally
from semcache.documents import TextOf, reader_of
from semcache.flow.drive import adrive, drive
from semcache.flow.hints import with_min_score
from semcache.flow.outcome import answered, ranking
from semcache.flow.requests import checked_request, time_left_after
from semcache.observers import OutageLog, notify
from semcache.protocols import Clock, Observer, Reranker, Scored
from semcache.pruning.surrogate import Surrogate
from semcache.ranking import Ranking
from semcache.rerankers.kind import Kind
from semcache.rerankers.learned import LearnedReranker
from semcache.rerankers.retrieval_order import RetrievalOrder
from semcache.runtime.countdown import Countdown
from semcache.settings import Batching

D = TypeVar("D")

# Others then wait for a quarter of the threshold at most, and 80 % of it may be waited for; large enough to be merged.
_UNHURRIED_SHARE = 0.25
_ADMISSION_FACTOR = Batching().admission_factor


class DegradableReranker:
    """Always answers, with the best rung that can: ``primary_reranker``, ``fallback_reranker``, further ``rungs``, and
    last the order of the retriever, without scores.

    A rung is left alone while its circuit breaker is open, and while it is busy and the wait would be long. Breaker and
    monitor see the time that a rung's model spends on a call, not the wait for it. Each rung has its own: ``monitor``
    is the primary's, and those below have one like it. Rerankers are anything that ``semcache.rerankers.adapt`` takes,
    or a LadderRung, which gives one of them options of its own. An AsyncBatchReranker keeps its own queue, and the
    caller who made it closes it. A fallback of None means the retriever's order at once.

    A request without a deadline is answered within the monitor's threshold: then, or ``timeout_s`` seconds after it was
    sent to the primary, the next rung is asked (see LadderRung). While a rung is busy, such a request waits for it only
    if wait and service take at most ``max_wait_s`` seconds as far as is known, by default ``admission_factor`` (above
    0, at most 1) of the threshold; a threshold per pair is multiplied by the pairs of a full call for that. A request
    with a deadline waits for as long as that leaves the rungs below enough time; with an infinite one, as long as it
    takes.

    ``text`` says what of a document ``rerank`` scores: a function that gives its text, or names of fields; None takes
    the text that ``semcache.documents.text_of`` finds. ``breaker`` says when a rung is left alone and tried again,
    ``rng`` gives numbers in [0, 1) for its jitter, and ``on_event`` is called with every event. ``name``, ``version``,
    ``probe`` and ``concurrency`` are the primary's, as for ``adapt``. Raises ConfigurationError for a factor out of
    range.

    ``rerank`` gives documents; ``score`` and ``ascore`` make it the ladder of a pipeline. Safe between threads. Close
    it, or use ``with``.

    Example:
        with DegradableReranker(cross_encoder, None, LatencyMonitor(p95_threshold=1.0)) as reranker:
            best = reranker.rerank("a query", documents, top_k=5)
            best.reason  # None, or why the primary did not answer: open, busy, deadline, error
    """

    def __init__(
        self,
        primary_reranker: Any,
        fallback_reranker: Any,
        monitor: LatencyMonitor,
        *,
        breaker: BreakerPolicy | None = None,
        rungs: Sequence[Any] = (),
        admission_factor: float = _ADMISSION_FACTOR,
        max_wait_s: float | None = None,
        timeout_s: float | None = None,
        concurrency: int | None = None,
        text: TextOf | None = None,
        name: str | None = None,
        version: str | None = None,
        probe: bool = True,
        clock: Clock = monotonic,
        rng: Callable[[], float] = random.random,
        on_event: Observer | None = None,
    ) -> None:
        # As given, under the names that users of the class replaced here read.
        self.primary_reranker: Any = as_rung(primary_reranker).reranker
        self.fallback_reranker: Any = as_rung(fallback_reranker).reranker
        self._read = reader_of(text)
        self._clock = clock
        defaults = RungDefaults(monitor, breaker or BreakerPolicy(), admission_factor, max_wait_s, clock, rng, on_event)
        asked = ladder_rungs(
            primary_reranker, fallback_reranker, rungs, name=name, version=version, probe=probe, concurrency=concurrency
        )
        if timeout_s is not None:
            asked[0] = replace(asked[0], timeout_s=timeout_s)
        self._tally = Tally(clock)
        observers = (self._tally, OutageLog(asked[0].reranker.name, clock=clock))
        self._notify = partial(notify, observers if on_event is None else (*observers, on_event))
        # Batchers made here are closed here; those of an AsyncBatchReranker belong to the caller.
        built, self._own = build_rungs(asked, defaults, self._notify)
        self._primary, self._breaker = built[0].batcher, built[0].breaker
        self.monitor: LatencyMonitor = self._breaker.monitor
        self._chain = FallbackChain(tuple(built), clock, self._notify)
        self._idle = IdlePrimary(built[0], self._tally, clock)

    @property
    def name(self) -> str:
        """The primary's name."""
        return self._primary.name

    @property
    def primary(self) -> Reranker:
        """The reranker that answers while it is healthy and free."""
        return self._primary.primary

    @property
    def listwise(self) -> bool:
        """True if the primary's scores are comparable only within one call."""
        return self._primary.reranker.listwise

    @property
    def is_remote(self) -> bool:
        """True if the primary waits for a service, so that each call costs a round trip."""
        return self._primary.kind.kind is Kind.REMOTE

    def rerank(
        self,
        query: str,
        documents: Sequence[D],
        top_k: int = 5,
        *,
        deadline_s: float | None = None,
        min_score: float | None = None,
    ) -> Ranking[D]:
        """The best ``top_k`` documents, best first, within ``deadline_s`` seconds if given.

        ``min_score``, in the units of the primary's scores, leaves documents below it out, unless a lower rung
        answered. What lets a CachedReranker skip documents (``retrieval_scores``, ``document_vectors``) has no use
        here. Raises InvalidInputError, and QueueFullError by a rung that is told to reject what it has no room for.
        """
        request = with_min_score(checked_request(query, documents, top_k, read=self._read), min_score)
        scored = self.score(request.query, request.texts, range(len(request.texts)), deadline_s=deadline_s)
        return ranking(request, documents, answered(request, scored))

    async def arerank(
        self,
        query: str,
        documents: Sequence[D],
        top_k: int = 5,
        *,
        deadline_s: float | None = None,
        min_score: float | None = None,
    ) -> Ranking[D]:
        """``rerank`` without blocking the event loop."""
        request = with_min_score(checked_request(query, documents, top_k, read=self._read), min_score)
        scored = await self.ascore(request.query, request.texts, range(len(request.texts)), deadline_s=deadline_s)
        return ranking(request, documents, answered(request, scored))

    def score(
        self,
        query: str,
        documents: Sequence[str],
        ask: Sequence[int],
        *,
        deadline_s: float | None = None,
        spent_s: float = 0.0,
    ) -> Scored:
        """The primary's scores of the documents at the positions ``ask``, or a lower rung's of all, and the reason.

        ``spent_s`` is how many seconds the request has taken already: without a deadline it is waited for so much
        shorter. Raises what ``rerank`` raises.
        """
        deadline = time_left_after(self._clock(), deadline_s)
        return self._counted(drive(self._chain.calls(query, documents, ask, deadline, spent_s), call_rung))

    async def ascore(
        self,
        query: str,
        documents: Sequence[str],
        ask: Sequence[int],
        *,
        deadline_s: float | None = None,
        spent_s: float = 0.0,
    ) -> Scored:
        """``score`` without blocking the event loop."""
        deadline = time_left_after(self._clock(), deadline_s)
        return self._counted(await adrive(self._chain.calls(query, documents, ask, deadline, spent_s), acall_rung))

    def score_when_idle(self, query: str, documents: Sequence[str], ask: Sequence[int]) -> Scored:
        """As for ``IdlePrimary.score``: the primary's scores if it is healthy and idle, for work in the background."""
        return self._idle.score(query, documents, ask)

    async def ascore_when_idle(self, query: str, documents: Sequence[str], ask: Sequence[int]) -> Scored:
        """``score_when_idle`` on the running event loop, also for an asynchronous primary."""
        return await self._idle.ascore(query, documents, ask)

    def pairs_at_once(self) -> int:
        """How many pairs work that is in no hurry may send at once, so that requests of others do not wait for long.

        As many as the primary scores in a quarter of the threshold. Such work should set a deadline of infinity.
        """
        return self._chain.rungs[0].pairs_within(_UNHURRIED_SHARE)

    def cascade(self, reranker: str) -> Cascade:
        """The rung of that name as one that scores all documents before the primary is asked (setting prune.cascade).

        Raises ConfigurationError if it cannot be that.
        """
        return Cascade(self._chain, reranker)

    def follow_learned(self, surrogate: Callable[[], Surrogate | None]) -> None:
        """Let rungs of kind learned order by what this gives; None while too little is known."""
        for rung in self._chain.rungs:
            if isinstance(rung.batcher.reranker, LearnedReranker):
                rung.batcher.reranker.follow(surrogate)

    def warmup(self) -> None:
        """Load the models of all rungs, each by scoring one invented pair. Raises what they raise.

        The breaker and the monitor do not see these calls.
        """
        for rung in self._chain.rungs:
            rung.batcher.warmup()

    async def awarmup(self) -> None:
        """``warmup`` without blocking the event loop."""
        for rung in self._chain.rungs:
            await rung.batcher.awarmup()

    def force_open(self, reason: str = "", *, reranker: str | None = None) -> None:
        """Keep all calls from the primary until ``reset``; ``reason`` is shown with the state.

        ``reranker`` names another rung. Raises ConfigurationError if there is none of that name.
        """
        self._chain.breaker_of(reranker).force_open(reason)

    def disable(self, reason: str = "", *, reranker: str | None = None) -> None:
        """Let the breaker admit every call until ``reset``; a busy primary is still not waited for.

        The arguments are those of ``force_open``.
        """
        self._chain.breaker_of(reranker).disable(reason)

    def reset(self, reason: str = "", *, reranker: str | None = None) -> None:
        """Close the breaker, with an empty window. The arguments are those of ``force_open``."""
        self._chain.breaker_of(reranker).reset(reason)

    @property
    def rerankers(self) -> tuple[str, ...]:
        """The names of the rungs, best first; the last one is the retriever's order."""
        return (*(rung.name for rung in self._chain.rungs), RetrievalOrder.name)

    def get_stats(self) -> dict[str, Any]:
        """Counts and states for display.

        ``degraded``: requests are being degraded now, see the property; ``degraded_reason`` is the most frequent
        reason, ``degraded_share`` the share of the latest answers. ``state`` is the breaker's. ``p95_latency``: the
        primary's p95 so far, such as "0.123s"; ``p95_s``: the same in seconds, None until there are enough samples to
        judge it. ``answers``: number of answers by the name of the reranker that gave them. ``reasons``: number of
        degraded answers by reason. ``last_error``: by reranker, with ``seconds_ago``. ``waiting_pairs`` and
        ``abandoned``: the primary's queue, see Batcher. ``rungs``: state, reason of the last change with its cause,
        p95, samples and queue of every rung, from best to cheapest. ``batching``: kind, outcomes, waits, batches and
        service times of the primary, see ``Batcher.get_stats``.
        """
        reason = self._degraded_for()
        return {
            "degraded": reason is not None,
            "degraded_reason": reason,
            "p95_latency": f"{self.monitor.get_p95():.3f}s",
            "samples": self.monitor.samples,
            "p95_s": self.monitor.p95_if_enough(),
            "state": self._breaker.state.value,
            **self._tally.snapshot(),
            "waiting_pairs": self._primary.waiting_pairs,
            "abandoned": self._primary.abandoned,
            "rungs": [rung.snapshot() for rung in self._chain.rungs],
            "batching": self._primary.get_stats(),
        }

    @property
    def degraded(self) -> bool:
        """True while requests are being degraded.

        That is while the breaker keeps calls from the primary, or when more than 5 % of the latest answers came from
        another rung, because the primary was busy, late or failed: of at most 100 answers, and of 30 seconds.
        """
        return self._degraded_for() is not None

    def _degraded_for(self) -> str | None:
        # The breaker first: without traffic it stays open, and there are no answers to judge by.
        return "open" if self._breaker.is_degraded else self._tally.degraded_for()

    def close(self, timeout_s: float | None = None) -> None:
        """Score what waits, then end the workers of the batchers made here. Can be repeated.

        After ``timeout_s`` seconds in all, what is left is given up, see ``Batcher.close``.
        """
        countdown = Countdown(timeout_s)
        for batcher in self._own:
            batcher.close(countdown.left_s(inf))

    async def aclose(self, timeout_s: float | None = None) -> None:
        """``close`` without blocking the event loop."""
        countdown = Countdown(timeout_s)
        for batcher in self._own:
            await batcher.aclose(countdown.left_s(inf))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        rungs = ", ".join(map(str, self._chain.rungs))
        return f"<DegradableReranker {self._breaker.state}: {rungs}, {RetrievalOrder.name}>"

    def _counted(self, scored: Scored) -> Scored:
        """The answer as it is, after it was counted and observers were told what follows from it."""
        for event in self._tally.count(scored):
            self._notify(event)
        return scored
