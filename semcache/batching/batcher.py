"""Batcher: a model on its own worker thread, which scores the requests that wait together."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from threading import Lock, Thread, current_thread
from time import monotonic
from typing import Self
from weakref import finalize

import numpy as np

from semcache.batching.admission import Load
from semcache.batching.awaited import AwaitedCalls
from semcache.batching.jobs import NEVER_RUN, Job, Served
from semcache.batching.limits import DEFAULTS, Limits
from semcache.batching.queue import BatchQueue
from semcache.batching.turns import Turns
from semcache.batching.worker import ModelWorker
from semcache.errors import DeadlineExceededError
from semcache.protocols import Clock, FloatArray, Observer, Pair, Reranker
from semcache.rerankers.awaiting import is_awaited
from semcache.rerankers.kind import call_kind, has_one_query_per_call
from semcache.rerankers.rate_limit import RateLimit
from semcache.runtime.forking import renew_in_child
from semcache.runtime.futures import auntil_done, until_done

# 1,000 pairs of a cross-encoder take this long on two CPU cores. Supervisors mostly kill a process that takes longer to
# end.
_STUCK_AFTER_S = 30.0

_WARMUP: Sequence[Pair] = [("a query", "a document")]


class Batcher:
    """Scores pairs with one model, from any number of threads and tasks.

    Of a **compute-bound** reranker, such as a local model, one call runs at a time, on a worker thread of its own.
    Work-conserving: an idle model starts at once, with one request; while it is busy, requests wait, and the next call
    takes them together in order of arrival, equal pairs once. If a call fails, its requests are tried in halves, so
    that only those fail which cannot be scored. Requests of a listwise reranker are never merged. A request is split
    only where a limit is set for a single call (``Limits``).

    Of a **remote** one, which waits for a service, several calls run at once: as many as ``concurrency`` says, or the
    reranker by an attribute of that name. A blocking one gets as many worker threads, when they are needed. An
    asynchronous one, with ``ascore_pairs``, needs none: each request is awaited in the event loop of its caller.
    Requests are merged where one call takes several queries. Which kind a reranker is stands in ``kind``, see
    ``semcache.rerankers.kind``; a function of unknown kind counts as compute-bound.

    ``requests_per_minute`` and ``pairs_per_minute`` are what a service allows; a request that they would let begin only
    after its deadline is refused at once. Without them an attribute ``rate_limit`` of the reranker says it. A reranker
    whose service may ask for a pause takes a listener by a method ``on_pause``, which is to be called with the seconds.
    The bounds are explained at ``Limits``.

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
        clock: Clock = monotonic,
        on_event: Observer | None = None,
    ) -> None:
        limits = Limits(max_requests, max_batch_pairs, max_batch_s, max_queue_pairs, max_pairs_per_call)
        self.kind = call_kind(reranker, concurrency)
        split = limits.splitting(reranker)
        # The bound of the service's own, if a call is split by the reranker itself.
        per_call = getattr(split, "max_pairs_per_call", None)
        rate_limit: RateLimit | None = getattr(reranker, "rate_limit", None)
        if rate_limit is None or requests_per_minute is not None or pairs_per_minute is not None:
            rate_limit = RateLimit(requests_per_minute, pairs_per_minute, max_pairs_per_call=per_call, clock=clock)
            # Of a reranker whose service may ask for a pause (Retry-After).
            if hasattr(reranker, "on_pause"):
                reranker.on_pause(rate_limit.pause)
        self.reranker = reranker
        # As it is called: in parts, where a service takes only so many pairs.
        self.primary = split
        self.max_batch_pairs = max_batch_pairs
        self._clock = clock
        workers = self.kind.concurrency
        self._queue = BatchQueue(limits, workers, rate_limit, clock, one_query=has_one_query_per_call(reranker))
        self._worker = ModelWorker(split, self._queue, clock, on_event)
        # An asynchronous reranker needs no thread and no queue; its calls are awaited where the callers are.
        self._awaited: AwaitedCalls | None = None
        if is_awaited(split):
            self._line = Turns(limits, workers, rate_limit, clock)
            self._awaited = AwaitedCalls(split, self._line, workers, clock, on_event)
        self.after_fork_in_child()
        renew_in_child(self)
        # The threads hold the queue, not the batcher, so that a batcher dropped without close() is collected and ends
        # them. Not at exit: runtime/threads.py closes all queues then, without draining them.
        finalize(self, self._queue.close, drain=True).atexit = False

    def after_fork_in_child(self) -> None:
        """Have no threads, as those of the parent are not here; also used for the beginning itself."""
        self._started: list[Thread] = []
        # Guards _started only. It is never held together with the queue's lock.
        self._starting = Lock()

    def submit(
        self, pairs: Sequence[Pair], *, deadline: float | None = None, on_served: Callable[[Served], None] | None = None
    ) -> Future[FloatArray]:
        """A future of one float32 per pair. Cancelling it while it waits takes it out of the queue.

        ``deadline`` is a time of the clock: a request that is still waiting then is not scored, and fails with
        DeadlineExceededError when its turn comes; ``score`` and ``ascore`` raise it on time. ``on_served`` is called
        exactly once, before the future is done, with what the model did for this request, even if the caller has given
        up. It must not raise. Raises QueueFullError, and SemcacheError after ``close``.
        """
        if self._awaited is not None and pairs:
            return self._awaited.submit(pairs, deadline, on_served or _unheard)
        return self._submit(pairs, deadline, on_served).future

    def score(
        self, pairs: Sequence[Pair], *, deadline: float | None = None, on_served: Callable[[Served], None] | None = None
    ) -> FloatArray:
        """``submit``, and wait for it until the deadline. Raises what the reranker raised, or DeadlineExceededError."""
        if self._awaited is not None and pairs:
            return self._awaited.score(pairs, deadline, on_served or _unheard)
        job = self._submit(pairs, deadline, on_served)
        try:
            until_done(job.future, self._left_s(deadline))
        except BaseException:  # KeyboardInterrupt, for one: this caller no longer waits, so its pairs need no scores
            job.future.cancel()
            raise
        return self._result(job)

    async def ascore(
        self, pairs: Sequence[Pair], *, deadline: float | None = None, on_served: Callable[[Served], None] | None = None
    ) -> FloatArray:
        """``score`` without blocking the event loop. Cancelling it does not affect other callers."""
        if self._awaited is not None and pairs:
            return await self._awaited.ascore(pairs, deadline, on_served or _unheard)
        job = self._submit(pairs, deadline, on_served)
        try:
            await auntil_done(job.future, self._left_s(deadline))
        except BaseException:  # CancelledError, for one: this caller no longer waits, so its pairs need no scores
            # Not queue.leave(): a task may be cancelled for any reason, which does not mean that the model is stuck.
            job.future.cancel()
            raise
        return self._result(job)

    def warmup(self) -> None:
        """Score one invented pair, so that the model is loaded. What that takes does not count as its speed.

        Raises what the reranker raises.
        """
        self.score(_WARMUP)
        self._forget_service()

    async def awarmup(self) -> None:
        """``warmup`` without blocking the event loop."""
        await self.ascore(_WARMUP)
        self._forget_service()

    def load(self) -> Load:
        """The work that a new request would find before it, for deciding whether it should wait at all."""
        return self._queue.load() if self._awaited is None else self._awaited.load()

    @property
    def name(self) -> str:
        """The reranker's name."""
        return self.reranker.name

    @property
    def busy(self) -> bool:
        """True if a new request would have to wait for a running one."""
        return self._queue.busy if self._awaited is None else self._awaited.load().busy

    @property
    def waiting_pairs(self) -> int:
        """Number of (query, document) pairs that wait, those inside the model not counted."""
        return self._queue.waiting_pairs if self._awaited is None else self._line.waiting_pairs

    @property
    def abandoned(self) -> int:
        """Number of callers whose deadline passed while their request was in the model, which still works on it.

        A deadline frees the caller, not the worker thread: no thread can interrupt a call of a model.
        """
        return self._queue.abandoned if self._awaited is None else self._awaited.abandoned

    def close(self, *, drain: bool = True, stuck_after_s: float = _STUCK_AFTER_S) -> None:
        """Take no more requests; score those that wait, or fail them without ``drain``; end the threads.

        Can be repeated. If no call of the model ends for ``stuck_after_s`` seconds, those that wait are failed, and the
        thread is left to its call.
        """
        self._queue.close(drain=drain)
        if self._awaited is not None:
            self._line.close()
        for thread in self._started:
            # An observer or a future's callback may close the batcher from its own worker, which cannot join itself.
            if thread is not current_thread() and not self._joined(thread, stuck_after_s):
                self._queue.close(drain=False)
                return

    async def aclose(self, *, drain: bool = True, stuck_after_s: float = _STUCK_AFTER_S) -> None:
        """``close`` without blocking the event loop."""
        await asyncio.to_thread(self.close, drain=drain, stuck_after_s=stuck_after_s)

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

    def _submit(self, pairs: Sequence[Pair], deadline: float | None, on_served: Callable[[Served], None] | None) -> Job:
        job = Job(tuple(pairs), self._clock(), deadline, on_served or _unheard)
        if not pairs:
            job.succeed(np.empty(0, np.float32), NEVER_RUN)
            return job
        try:
            lacks_workers = self._queue.put(job)
        except (
            BaseException
        ):  # full, closed or interrupted: on_served returns the breaker's ticket, so it must be called
            job.on_served(NEVER_RUN)
            raise
        # After put(), so that a refused request starts no thread. Checked without the lock first: the list only grows,
        # and most requests find a worker that is idle, or all of them there. A thread that starts while close() runs is
        # not joined, but it ends as soon as the queue is empty.
        if lacks_workers and len(self._started) < self.kind.concurrency:
            with self._starting:
                if len(self._started) < self.kind.concurrency:
                    self._started.append(self._worker.start())
        return job

    def _forget_service(self) -> None:
        self._queue.forget_service()
        if self._awaited is not None:
            self._awaited.forget_service()

    def _joined(self, thread: Thread, stuck_after_s: float) -> bool:
        """Wait for the end of a worker; False if its model makes no progress."""
        while thread.is_alive():
            finished = self._queue.finished
            thread.join(stuck_after_s)
            if thread.is_alive() and self._queue.finished == finished:
                return False
        return True

    def _left_s(self, deadline: float | None) -> float | None:
        return None if deadline is None else max(0.0, deadline - self._clock())

    def _result(self, job: Job) -> FloatArray:
        if not job.future.done():
            self._queue.leave(job)
            raise DeadlineExceededError(f"{self.name} did not answer before the deadline")
        return job.future.result()


def _unheard(served: Served) -> None:
    """What is told of requests that nothing listens to."""
