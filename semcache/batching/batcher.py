"""Batcher: a model on its own worker thread, which scores the requests that wait together."""

from asyncio import CancelledError
from collections.abc import Sequence
from concurrent.futures import Future
from functools import partial
from time import monotonic
from typing import Any, Self
from weakref import finalize

import numpy as np

from semcache.batching.admission import Load
from semcache.batching.awaited import AwaitedCalls
from semcache.batching.jobs import NEVER_RUN, OnServed, Served
from semcache.batching.limits import DEFAULT_WORKERS, DEFAULTS, Limits, checked_workers
from semcache.batching.process_pool import ProcessPool
from semcache.batching.queue import BatchQueue
from semcache.batching.statistics import BatchingStatistics, outcome_of
from semcache.batching.threaded import ThreadedCalls
from semcache.batching.turns import Turns
from semcache.batching.worker import ModelWorker
from semcache.errors import SemcacheError
from semcache.protocols import Clock, FloatArray, Observer, Pair, Reranker
from semcache.rerankers.awaiting import is_awaited
from semcache.rerankers.kind import CallKind, Kind, call_kind, has_one_query_per_call
from semcache.rerankers.rate_limit import RateLimit
from semcache.runtime.countdown import Countdown
from semcache.runtime.threads import in_own_thread
from semcache.settings.reranker_sections import OnFull, Workers

# 1,000 pairs of a cross-encoder take this long on two CPU cores. Supervisors mostly kill a process that takes longer to
# end.
_STUCK_AFTER_S = 30.0

_WARMUP: Sequence[Pair] = [("a query", "a document")]


class Batcher:
    """Scores pairs with one model, from any number of threads and tasks.

    Of a **compute-bound** reranker, such as a local model, one call runs at a time, on a worker thread of its own.
    Work-conserving: an idle model starts at once, with one request; while it is busy, requests wait, and the next call
    takes them together in order of arrival, equal pairs of a tenant once. If a call fails, its requests are tried in
    halves, so that only those fail which cannot be scored. Requests of a listwise reranker are never merged. A request
    is split only where a limit is set for a single call (``Limits``).

    Of a **remote** one, which waits for a service, several calls run at once: as many as ``concurrency`` says, or the
    reranker by an attribute of that name. A blocking one gets as many worker threads, when they are needed. An
    asynchronous one, with ``ascore_pairs``, needs none: each request is awaited in the event loop of its caller.
    Requests are merged where one call takes several queries. Which kind a reranker is stands in ``kind``, see
    ``semcache.rerankers.kind``; a function of unknown kind counts as compute-bound.

    ``requests_per_minute`` and ``pairs_per_minute`` are what a service allows; a request that they would let begin only
    after its deadline is refused at once. Without them an attribute ``rate_limit`` of the reranker says it. A reranker
    whose service may ask for a pause takes a listener by a method ``on_pause``, which is to be called with the seconds.
    The bounds are explained at ``Limits``.

    ``workers="processes"`` makes the calls in processes instead of threads, as many as ``concurrency`` says: for models
    in Python code, of which the threads of one process run one at a time. See ``ProcessPool`` for what that needs.

    Example:
        with Batcher(OnnxCrossEncoder("path/of/the/model")) as batcher:
            scores = batcher.score([("a query", "a document"), ("a query", "another document")])
    """

    def __init__(
        self,
        reranker: Reranker,
        *,
        concurrency: int | None = None,
        requests_per_minute: float | None = None,
        pairs_per_minute: float | None = None,
        max_requests: int = DEFAULTS.max_requests,
        max_batch_pairs: int = DEFAULTS.max_batch_pairs,
        max_batch_s: float = DEFAULTS.max_batch_s,
        max_queue_pairs: int = DEFAULTS.max_queue_pairs,
        max_pairs_per_call: int | None = None,
        max_wait_s: float = DEFAULTS.max_wait_s,
        on_full: OnFull = DEFAULTS.on_full,
        tenant_share: float = DEFAULTS.tenant_share,
        workers: Workers = DEFAULT_WORKERS,
        clock: Clock = monotonic,
        on_event: Observer | None = None,
    ) -> None:
        limits = Limits(
            max_requests,
            max_batch_pairs,
            max_batch_s,
            max_queue_pairs,
            max_pairs_per_call,
            max_wait_s,
            on_full,
            tenant_share,
        )
        self.kind: CallKind = call_kind(reranker, concurrency)
        split = limits.splitting(reranker)
        self._processes: ProcessPool | None = None
        if checked_workers(workers) == "processes":
            # It computes, however many of its calls run at once.
            self.kind = CallKind(Kind.COMPUTE_BOUND, self.kind.concurrency)
            split = self._processes = ProcessPool(split, self.kind.concurrency)
        rate_limit = _rate_limit_of(reranker, split, requests_per_minute, pairs_per_minute, clock)
        self.reranker = reranker
        # As it is called: in parts, where a service takes only so many pairs.
        self.primary = split
        self.max_batch_pairs = max_batch_pairs
        self.on_full = on_full
        self._clock = clock
        self._statistics = BatchingStatistics()
        observers = (self._statistics,) if on_event is None else (self._statistics, on_event)
        calls = self.kind.concurrency
        self._calls: AwaitedCalls | ThreadedCalls
        if is_awaited(split):
            line = Turns(limits, calls, rate_limit, clock)
            self._calls = AwaitedCalls(split, line, calls, clock, observers, self._statistics)
        else:
            queue = BatchQueue(limits, calls, rate_limit, clock, one_query=has_one_query_per_call(reranker))
            worker = ModelWorker(split, queue, clock, observers, self._statistics)
            end_call = None if self._processes is None else self._processes.end_call
            self._calls = ThreadedCalls(reranker.name, queue, worker, calls, clock, end_call)
            # The threads hold the queue, not the batcher, so that a batcher dropped without close() is collected and
            # ends them. Not at exit: runtime/threads.py closes all queues then, without draining them.
            finalize(self, queue.close, drain=True).atexit = False

    def submit(
        self, pairs: Sequence[Pair], *, deadline: float | None = None, on_served: OnServed | None = None
    ) -> Future[FloatArray]:
        """A future of one float32 per pair. Cancelling it while it waits takes it out of the queue.

        ``deadline`` is a time of the clock: a request that is still waiting then is not scored, and fails with
        DeadlineExceededError when its turn comes; ``score`` and ``ascore`` raise it on time. ``on_served`` is called
        exactly once, before the future is done, with what the model did for this request, even if the caller has given
        up. It must not raise. Raises QueueFullError, and SemcacheError after ``close``.
        """
        if not pairs:
            future: Future[FloatArray] = Future()
            future.set_result(_nothing(on_served))
            return future
        try:
            future = self._calls.submit(pairs, deadline, on_served or _unheard)
        except SemcacheError as error:
            self._statistics.count(outcome_of(error))
            raise
        future.add_done_callback(self._count)
        return future

    def score(
        self, pairs: Sequence[Pair], *, deadline: float | None = None, on_served: OnServed | None = None
    ) -> FloatArray:
        """``submit``, and wait for it until the deadline. Raises what the reranker raised, or DeadlineExceededError."""
        if not pairs:
            return _nothing(on_served)
        with self._statistics.outcome():
            return self._calls.score(pairs, deadline, on_served or _unheard)

    async def ascore(
        self, pairs: Sequence[Pair], *, deadline: float | None = None, on_served: OnServed | None = None
    ) -> FloatArray:
        """``score`` without blocking the event loop. Cancelling it does not affect other callers."""
        if not pairs:
            return _nothing(on_served)
        with self._statistics.outcome():
            return await self._calls.ascore(pairs, deadline, on_served or _unheard)

    def warmup(self) -> None:
        """Score one invented pair, so that the model is loaded. What that takes does not count as its speed.

        Raises what the reranker raises.
        """
        self.score(_WARMUP)
        self._calls.forget_service()

    async def awarmup(self) -> None:
        """``warmup`` without blocking the event loop."""
        await self.ascore(_WARMUP)
        self._calls.forget_service()

    def load(self) -> Load:
        """The work that a new request would find before it, for deciding whether it should wait at all."""
        return self._calls.load()

    @property
    def name(self) -> str:
        """The reranker's name."""
        return self.reranker.name

    @property
    def busy(self) -> bool:
        """True if a new request would have to wait for a running one."""
        return self._calls.load().busy

    @property
    def waiting_pairs(self) -> int:
        """Number of (query, document) pairs that wait, those inside the model not counted."""
        return self._calls.waiting_pairs

    @property
    def abandoned(self) -> int:
        """Number of callers whose deadline passed while their request was in the model, which still works on it.

        A deadline frees the caller, not the worker thread: no thread can interrupt a call of a model.
        """
        return self._calls.abandoned

    def give_up(self, running_s: float) -> int:
        """Wait no longer for calls that have been under way for ``running_s`` seconds; gives their number.

        Their callers fail with RerankerHungError. A thread that is in such a call is left to it, as no thread can be
        ended from outside, and another one takes its place; the model must bear that both may use it at once. A call
        that is awaited is cancelled, and a worker process is ended.
        """
        return self._calls.give_up(running_s)

    def get_stats(self) -> dict[str, Any]:
        """``kind`` and ``concurrency``, what waits now, and counts and times so far, see BatchingStatistics."""
        now = {"waiting_pairs": self.waiting_pairs, "abandoned": self.abandoned}
        return {
            "kind": self.kind.kind.value,
            "concurrency": self.kind.concurrency,
            **now,
            **self._statistics.snapshot(),
        }

    def close(
        self, timeout_s: float | None = None, *, drain: bool = True, stuck_after_s: float = _STUCK_AFTER_S
    ) -> None:
        """Take no more requests; score those that wait, or fail them without ``drain``; end the threads.

        Can be repeated. After ``timeout_s`` seconds, or if no call of the model ends for ``stuck_after_s`` seconds, all
        callers fail with SemcacheError, and the threads are left to their calls; a warning of the logger says how many.
        A call that no caller waits for any more has one second, and one that is awaited is cancelled.
        """
        self._calls.close(drain=drain, stuck_after_s=stuck_after_s, countdown=Countdown(timeout_s))
        if self._processes is not None:
            self._processes.close()

    async def aclose(
        self, timeout_s: float | None = None, *, drain: bool = True, stuck_after_s: float = _STUCK_AFTER_S
    ) -> None:
        """``close`` without blocking the event loop."""
        # Not in the loop's own executor, which calls of the application may occupy.
        close = partial(self.close, timeout_s, drain=drain, stuck_after_s=stuck_after_s)
        await in_own_thread(close, "semcache-closing")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        state = "busy" if self.busy else "idle"
        waiting = f"{self.waiting_pairs} pairs waiting, {self.abandoned} abandoned"
        return f"<Batcher {self.name}: {self.kind}; {state}, {waiting}>"

    def _count(self, future: Future[FloatArray]) -> None:
        error = CancelledError() if future.cancelled() else future.exception()
        self._statistics.count("answered" if error is None else outcome_of(error))


def _rate_limit_of(
    reranker: Reranker,
    split: Reranker,
    requests_per_minute: float | None,
    pairs_per_minute: float | None,
    clock: Clock,
) -> RateLimit:
    """The limit of a reranker that is called as ``split``: as given, or else its own, or else none."""
    own: RateLimit | None = getattr(reranker, "rate_limit", None)
    if own is not None and requests_per_minute is None and pairs_per_minute is None:
        return own
    # The bound of the service's own, if a call is split by the reranker itself.
    per_call = getattr(split, "max_pairs_per_call", None)
    limit = RateLimit(requests_per_minute, pairs_per_minute, max_pairs_per_call=per_call, clock=clock)
    # Of a reranker whose service may ask for a pause (Retry-After).
    if hasattr(reranker, "on_pause"):
        reranker.on_pause(limit.pause)
    return limit


def _nothing(on_served: OnServed | None) -> FloatArray:
    """The scores of no pairs, which need no model."""
    (on_served or _unheard)(NEVER_RUN)
    return np.empty(0, np.float32)


def _unheard(served: Served) -> None:
    """Listens for requests that nothing else listens to."""
