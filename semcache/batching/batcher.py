"""A model on its own worker thread, fed with the requests that wait, merged: Batcher."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from dataclasses import replace
from threading import Lock, Thread, current_thread
from time import monotonic
from typing import Self
from weakref import finalize

import numpy as np

from semcache.batching.admission import Load
from semcache.batching.jobs import NEVER_RUN, Job, Served
from semcache.batching.queue import BatchQueue, Limits, check_count
from semcache.batching.worker import ModelWorker, start
from semcache.errors import DeadlineExceededError
from semcache.protocols import Clock, FloatArray, Observer, Pair, Reranker


class Batcher:
    """Scores pairs with one model, from any number of threads and tasks.

    Work-conserving: an idle model starts at once, with one request; while it is busy, requests wait, and the next call
    takes them together in order of arrival, equal pairs once. If a call fails, its requests are tried in halves, so
    that only those fail which cannot be scored. Requests are never split, and those of a listwise reranker not merged.

    There is one worker thread, as models and fast tokenizers are not safe to share between threads; a reranker that
    can be called from several at once (a remote one) says so by an attribute ``concurrency``.
    """

    def __init__(
        self,
        reranker: Reranker,
        *,
        max_requests: int = 10,  # the old default of AsyncBatchReranker
        max_pairs: int = 128,  # about one second on two CPU cores, well under a p95 threshold of two
        max_batch_s: float = 0.4,  # a fifth of that threshold; admission lets requests wait for the other four
        max_queue_pairs: int = 1024,  # about ten seconds of work there: who waits longer is answered too late anyway
        max_workers: int = 1,
        clock: Clock = monotonic,
        on_event: Observer | None = None,
    ) -> None:
        check_count("max_workers", max_workers)
        limits = Limits(max_requests, max_pairs, max_batch_s, max_queue_pairs)
        self.reranker = reranker
        self.max_pairs = max_pairs
        self._clock = clock
        self._workers = min(max_workers, getattr(reranker, "concurrency", 1))
        self._queue = BatchQueue(replace(limits, max_requests=1) if reranker.listwise else limits, self._workers, clock)
        self._worker = ModelWorker(reranker, self._queue, clock, on_event)
        self._started: list[Thread] = []
        self._starting = Lock()
        # The threads hold the queue, not the batcher: one that is dropped without close() ends its threads.
        finalize(self, self._queue.close, drain=True).atexit = False

    def submit(
        self, pairs: Sequence[Pair], *, deadline: float | None = None, on_served: Callable[[Served], None] | None = None
    ) -> Future[FloatArray]:
        """A future of one float32 per pair. Cancelling it while it waits takes it out of the queue.

        ``deadline`` is a time of the clock: a request that is still waiting then is not scored, and fails with
        DeadlineExceededError when its turn comes; ``score`` and ``ascore`` raise it on time. ``on_served`` is called
        exactly once, before the future is done: what the model did, whether or not anybody still waits for it. It must
        not raise. Raises QueueFullError.
        """
        return self._submit(pairs, deadline, on_served).future

    def score(
        self, pairs: Sequence[Pair], *, deadline: float | None = None, on_served: Callable[[Served], None] | None = None
    ) -> FloatArray:
        """``submit``, and wait for it until the deadline. Raises what the reranker raised, or DeadlineExceededError."""
        job = self._submit(pairs, deadline, on_served)
        try:
            wait_for([job.future], self._left_s(deadline))
        except BaseException:  # the caller is interrupted: nobody waits for the scores any more
            job.future.cancel()
            raise
        return self._result(job)

    async def ascore(
        self, pairs: Sequence[Pair], *, deadline: float | None = None, on_served: Callable[[Served], None] | None = None
    ) -> FloatArray:
        """``score`` without blocking the event loop. Cancelling it disturbs nobody else."""
        job = self._submit(pairs, deadline, on_served)
        waiting = asyncio.wrap_future(job.future)
        try:
            await asyncio.wait([waiting], timeout=self._left_s(deadline))
        except BaseException:  # the caller is cancelled: nobody waits for the scores any more
            job.future.cancel()
            raise
        finally:
            _forget(waiting)
        return self._result(job)

    def load(self) -> Load:
        """What a new request would find, for deciding whether it should wait at all."""
        return self._queue.load()

    @property
    def name(self) -> str:
        return self.reranker.name

    @property
    def busy(self) -> bool:
        """Whether a new request would have to wait for a running one."""
        return self._queue.busy

    @property
    def waiting_pairs(self) -> int:
        return self._queue.waiting_pairs

    @property
    def abandoned(self) -> int:
        """Callers whose deadline passed while the model works on: a timeout frees the caller, not the thread."""
        return self._queue.abandoned

    def close(self, *, drain: bool = True) -> None:
        """Take no more requests; score what waits, or fail it without ``drain``; end the threads. Can be repeated."""
        self._queue.close(drain=drain)
        for thread in self._started:
            if thread is not current_thread():
                thread.join()

    async def aclose(self, *, drain: bool = True) -> None:
        """``close`` without blocking the event loop."""
        await asyncio.to_thread(self.close, drain=drain)

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
        return f"<Batcher {self.name}: {state}, {self.waiting_pairs} pairs waiting, {self.abandoned} abandoned>"

    def _submit(self, pairs: Sequence[Pair], deadline: float | None, on_served: Callable[[Served], None] | None) -> Job:
        job = Job(tuple(pairs), self._clock(), deadline, on_served or _nobody)
        if not pairs:
            job.give(np.empty(0, np.float32), NEVER_RUN)
            return job
        try:
            self._queue.put(job)
        except BaseException:  # whatever kept it out of the queue, its ticket must come back
            job.on_served(NEVER_RUN)
            raise
        self._start_worker()
        return job

    def _start_worker(self) -> None:
        if len(self._started) == self._workers:
            return
        with self._starting:
            if len(self._started) < self._workers:
                self._started.append(start(self._queue, self._worker))

    def _left_s(self, deadline: float | None) -> float | None:
        return None if deadline is None else max(0.0, deadline - self._clock())

    def _result(self, job: Job) -> FloatArray:
        if not job.future.done():
            self._queue.leave(job)
            raise DeadlineExceededError(f"{self.name} did not answer before the deadline")
        return job.future.result()


def _forget(waiting: "asyncio.Future[FloatArray]") -> None:
    """Keep asyncio from reporting an error that nobody will fetch from this future."""
    if not waiting.cancel() and not waiting.cancelled():
        waiting.exception()


def _nobody(served: Served) -> None:
    """Nobody keeps count."""
