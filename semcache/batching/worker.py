"""The thread that calls a model: takes batches out of the queue, scores them, and settles their jobs."""

import atexit
from collections.abc import Sequence
from itertools import count
from threading import Thread
from weakref import WeakKeyDictionary

from semcache.batching.jobs import NEVER_RUN, Batch, Job, Served, expire
from semcache.batching.plan import BatchPlan, halves, keep, merge
from semcache.batching.queue import BatchQueue
from semcache.events import BatchScored
from semcache.observers import notify
from semcache.protocols import Clock, FloatArray, Observer, Reranker
from semcache.rerankers.checked import checked_scores

# How long the interpreter waits at exit for a call that is in a model: a thread killed inside torch aborts the process.
_EXIT_WAIT_S = 10.0

_numbers = count(1)
_threads: WeakKeyDictionary[Thread, BatchQueue] = WeakKeyDictionary()


def start(queue: BatchQueue, worker: "ModelWorker") -> Thread:
    """A thread that works until the queue is closed and empty; it does not keep the interpreter from ending."""
    thread = Thread(target=_work, args=(queue, worker), name=f"semcache-model-{next(_numbers)}", daemon=True)
    _threads[thread] = queue
    thread.start()
    return thread


class ModelWorker:
    """Scores batches in the worker thread and settles their jobs."""

    def __init__(self, reranker: Reranker, queue: BatchQueue, clock: Clock, on_event: Observer | None) -> None:
        self._reranker = reranker
        self._queue = queue
        self._clock = clock
        self._observers = () if on_event is None else (on_event,)

    def run(self, batch: Batch) -> None:
        """Score a batch; if that fails, its halves, down to the single requests that cannot be scored."""
        groups: list[Sequence[Job]] = [tuple(batch.jobs)]
        while groups:
            jobs = groups.pop()
            failed = self._try(batch, jobs)
            if failed is not None:
                groups.extend(reversed(failed))

    def _try(self, batch: Batch, jobs: Sequence[Job]) -> Sequence[Sequence[Job]] | None:
        plan = self._plan(jobs)
        started = self._clock()
        try:
            scores = checked_scores(self._reranker.score(plan.pairs), len(plan.pairs), self._reranker.name)
        except BaseException as error:  # noqa: BLE001 - whatever the model raises belongs to the callers, not to the thread
            if len(jobs) > 1:
                return self._wanted(batch, halves(jobs))
            self._queue.finish(batch, jobs)
            jobs[0].fail(error, Served(error=error))
            return None
        self._settle(batch, jobs, plan, scores, self._clock() - started)
        return None

    def _plan(self, jobs: Sequence[Job]) -> BatchPlan:
        return keep(jobs[0].pairs) if self._reranker.listwise else merge([job.pairs for job in jobs])

    def _settle(self, batch: Batch, jobs: Sequence[Job], plan: BatchPlan, scores: FloatArray, service_s: float) -> None:
        count_of_pairs = len(plan.pairs)
        self._queue.scored(count_of_pairs, service_s)
        self._queue.finish(batch, jobs)
        waited_s = batch.since - min(job.arrived for job in jobs)
        notify(self._observers, BatchScored(self._reranker.name, count_of_pairs, len(jobs), waited_s, service_s))
        served = Served(service_s, count_of_pairs)
        for place, job in enumerate(jobs):
            job.give(plan.scores_of(place, scores), served)

    def _wanted(self, batch: Batch, groups: Sequence[Sequence[Job]]) -> Sequence[Sequence[Job]]:
        """The groups without the jobs whose callers have left since: nobody needs a second try for those."""
        left = [job for group in groups for job in group if job.has_left]
        self._queue.finish(batch, left)
        for job in left:
            expire(job)
        return [kept for group in groups if (kept := [job for job in group if job not in left])]


def _work(queue: BatchQueue, model: ModelWorker) -> None:
    while (taken := queue.take()) is not None:
        for job in taken.cancelled:
            job.on_served(NEVER_RUN)
        for job in taken.expired:
            expire(job)
        if taken.batch is not None:
            model.run(taken.batch)
        # Otherwise the last batch, with all its texts, would be kept until the next one comes.
        del taken


@atexit.register
def _end_threads() -> None:
    threads = dict(_threads)
    for queue in threads.values():
        queue.close(drain=False)
    for thread in threads:
        thread.join(_EXIT_WAIT_S)
