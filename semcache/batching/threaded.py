"""Calls of a blocking reranker: a queue, and worker threads that are started as they are needed."""

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from threading import Lock, Thread, current_thread

from semcache.batching.admission import Load
from semcache.batching.jobs import CLOSED_DURING, NEVER_RUN, Job, OnServed
from semcache.batching.queue import BatchQueue
from semcache.batching.worker import ModelWorker
from semcache.errors import DeadlineExceededError, RerankerHungError, SemcacheError
from semcache.protocols import Clock, FloatArray, Pair
from semcache.runtime.countdown import Countdown
from semcache.runtime.forking import renew_in_child
from semcache.runtime.futures import auntil_done, until_done
from semcache.runtime.tenancy import current_tenant
from semcache.runtime.threads import forget_thread

# A model whose calls all hang would otherwise take a thread, and what it holds, for each attempt.
_MOST_HANGING = 4


# How long the end waits for a call whose callers have all given up.
_UNNEEDED_S = 1.0

_log = logging.getLogger("semcache")


class ThreadedCalls:
    """Scores what is submitted by at most ``concurrency`` threads, which are those of ``worker``.

    ``end_call`` ends the call that a thread is in, where that is possible.
    """

    def __init__(
        self,
        name: str,
        queue: BatchQueue,
        worker: ModelWorker,
        concurrency: int,
        clock: Clock,
        end_call: Callable[[Thread], None] | None = None,
    ) -> None:
        self._name = name
        self._queue = queue
        self._worker = worker
        self._concurrency = concurrency
        self._clock = clock
        self._end_call = end_call
        self.after_fork_in_child()
        renew_in_child(self)

    def after_fork_in_child(self) -> None:
        """Have no threads, as those of the parent are not here; also used for the beginning itself."""
        self._started: list[Thread] = []
        # Those that were given up, in their calls still; for counting only.
        self._hanging: list[Thread] = []
        # Guards _started only. It is never held together with the queue's lock.
        self._starting = Lock()

    def submit(self, pairs: Sequence[Pair], deadline: float | None, on_served: OnServed) -> Future[FloatArray]:
        """A future of one float32 per pair; cancelling it while it waits takes it out of the queue."""
        return self._submit(pairs, deadline, on_served).future

    def score(self, pairs: Sequence[Pair], deadline: float | None, on_served: OnServed) -> FloatArray:
        """``submit``, and wait for it until the deadline. Raises what the reranker raised, or DeadlineExceededError."""
        job = self._submit(pairs, deadline, on_served)
        try:
            until_done(job.future, self._left_s(deadline))
        except BaseException:  # KeyboardInterrupt, for one: this caller no longer waits, so its pairs need no scores
            job.future.cancel()
            raise
        return self._result(job)

    async def ascore(self, pairs: Sequence[Pair], deadline: float | None, on_served: OnServed) -> FloatArray:
        """``score`` without blocking the event loop."""
        job = self._submit(pairs, deadline, on_served)
        try:
            await auntil_done(job.future, self._left_s(deadline))
        except BaseException:  # CancelledError, for one: this caller no longer waits, so its pairs need no scores
            # Not queue.leave(): a task may be cancelled for any reason, which does not mean that the model is stuck.
            job.future.cancel()
            raise
        return self._result(job)

    def load(self) -> Load:
        """The work that a new request would find before it."""
        return self._queue.load()

    def forget_service(self) -> None:
        """Forget how long calls took so far."""
        self._queue.forget_service()

    @property
    def waiting_pairs(self) -> int:
        """Number of (query, document) pairs that wait."""
        return self._queue.waiting_pairs

    @property
    def abandoned(self) -> int:
        """Number of callers whose deadline passed while their request was in the model, which still works on it."""
        return self._queue.abandoned

    def give_up(self, running_s: float) -> int:
        """Fail the callers of calls that have been under way for so many seconds, and let other threads replace theirs.

        Gives the number of such calls. No more than four threads are left to their calls at a time: where all calls
        hang, more threads would only hang, too.
        """
        self._hanging = [thread for thread in self._hanging if thread.is_alive()]
        if len(self._hanging) >= _MOST_HANGING:
            return 0
        hung = self._queue.give_up(running_s)
        for batch in hung:
            with self._starting:
                if batch.worker in self._started:
                    self._started.remove(batch.worker)
            self._hanging.append(batch.worker)
            forget_thread(batch.worker)
            if self._end_call is not None:
                self._end_call(batch.worker)
            for job in batch.jobs:
                # For the breaker such a call never ran: it is told of the hang itself.
                job.fail(RerankerHungError(f"{self._name} did not answer within {running_s:.3g} s, and was given up"))
        if hung and self._queue.waiting_pairs:
            self._start_worker()
        return len(hung)

    def close(self, *, drain: bool, stuck_after_s: float, countdown: Countdown) -> None:
        """Take no more requests; score those that wait, or fail them without ``drain``; end the threads.

        If no call of the model ends for ``stuck_after_s`` seconds, or the countdown ends, the callers are failed, and
        the threads are left to their calls; so they are after a second if no caller waits for those any more.
        """
        self._queue.close(drain=drain)
        # A request that came just before may not have started its thread yet, or not noted it.
        if self._queue.waiting_pairs:
            self._start_worker()
        with self._starting:
            started = tuple(self._started)
        for thread in started:
            # An observer or a future's callback may close the batcher from its own worker, which cannot join itself.
            if thread is not current_thread() and not self._joined(thread, stuck_after_s, countdown):
                self._abandon()
                return

    def _abandon(self) -> None:
        """Fail all callers, and leave the threads to their calls."""
        waited = self._queue.close(drain=False)
        calls = self._queue.give_up(0.0)
        inside = [job for batch in calls for job in batch.jobs]
        for job in inside:
            job.fail(SemcacheError(CLOSED_DURING))
        _log.warning(
            "%s was closed, and its threads are left to calls that do not end: %d; requests that failed: %d in these "
            "calls, and %d that waited",
            *(self._name, len(calls), sum(not job.has_left for job in inside), waited),
        )

    def _submit(self, pairs: Sequence[Pair], deadline: float | None, on_served: OnServed) -> Job:
        job = Job(tuple(pairs), self._clock(), deadline, on_served, tenant=current_tenant())
        try:
            lacks_workers = self._queue.put(job)
        except BaseException:  # full, closed or interrupted: on_served returns the breaker's ticket
            job.on_served(NEVER_RUN)
            raise
        # After put(), so that a refused request starts no thread. Most requests find a worker that is idle.
        if lacks_workers:
            self._start_worker()
        return job

    def _start_worker(self) -> None:
        # Without the lock first: the list rarely shrinks, and mostly all workers are there.
        if len(self._started) < self._concurrency:
            with self._starting:
                if len(self._started) < self._concurrency:
                    self._started.append(self._worker.start())

    def _joined(self, thread: Thread, stuck_after_s: float, countdown: Countdown) -> bool:
        """Wait for the end of a worker; False if its model makes no progress, or the countdown ends."""
        while thread.is_alive():
            finished = self._queue.finished
            patience_s = stuck_after_s if self._queue.is_needed else min(_UNNEEDED_S, stuck_after_s)
            thread.join(countdown.left_s(patience_s))
            if thread.is_alive() and (self._queue.finished == finished or countdown.is_over):
                return False
        return True

    def _left_s(self, deadline: float | None) -> float | None:
        return None if deadline is None else max(0.0, deadline - self._clock())

    def _result(self, job: Job) -> FloatArray:
        if not job.future.done():
            self._queue.leave(job)
            raise DeadlineExceededError(f"{self._name} did not answer before the deadline")
        return job.future.result()
