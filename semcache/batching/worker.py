"""The thread that calls a model: takes batches out of the queue, scores them, and settles their jobs."""

from collections.abc import Sequence
from functools import partial
from itertools import count
from threading import Thread

from semcache.batching.jobs import NEVER_RUN, Batch, Job, Served
from semcache.batching.plan import BatchPlan, halves, plan_alone, plan_merged
from semcache.batching.process_pool import WorkerCrashedError
from semcache.batching.queue import BatchQueue
from semcache.batching.statistics import BatchingStatistics, batch_scored
from semcache.errors import RerankerError
from semcache.observers import notify
from semcache.protocols import Clock, FloatArray, Observer, Reranker
from semcache.rerankers.checked import checked_scores
from semcache.runtime.foreign_errors import ordinary
from semcache.runtime.threads import start_thread

_numbers = count(1)


class ModelWorker:
    """Scores batches and settles their jobs. It holds no state of its own, so several threads may run one worker."""

    def __init__(
        self,
        reranker: Reranker,
        queue: BatchQueue,
        clock: Clock,
        observers: Sequence[Observer],
        statistics: BatchingStatistics,
    ) -> None:
        self._reranker = reranker
        self._queue = queue
        self._clock = clock
        self._observers = observers
        self._statistics = statistics

    def start(self) -> Thread:
        """A thread that works until the queue is closed and empty."""
        stop = partial(self._queue.close, drain=False)
        return start_thread(self.work, f"semcache-model-{next(_numbers)}", stop)

    def work(self) -> None:
        """Take batches and score them, in the calling thread, until the queue is closed and empty."""
        # Asked here, and not where the batcher is made: a service whose kind is unknown has to be called for it.
        is_listwise = self._is_listwise()
        while (taken := self._queue.take(merged=not is_listwise)) is not None:
            # Before the batch, whose call may take a second: these jobs need no model.
            for job in taken.cancelled:
                job.on_served(NEVER_RUN)
            for job in taken.expired:
                job.expire()
            if taken.batch is not None:
                self.score(taken.batch)
                # Another thread has taken the place of one that was given up, so there would be one too many.
                if taken.batch.is_given_up:
                    return
            # Otherwise the last batch, with all its texts, would be kept until the next one comes.
            del taken

    def score(self, batch: Batch) -> None:
        """Score a batch; if that fails, its halves, down to the single requests that cannot be scored.

        One bad request among n costs about 2 log2 n further calls. Scoring each request alone would take n, and failing
        all of them would let one caller's input break the answers of others.
        """
        # A stack with the first half on top, so that requests are settled in the order of their arrival.
        groups: list[Sequence[Job]] = [tuple(batch.jobs)]
        while groups:
            jobs = groups.pop()
            plan = plan_alone(jobs[0].asked) if self._is_listwise() else plan_merged([job.asked for job in jobs])
            started = self._clock()
            try:
                scores = checked_scores(self._reranker.score(plan.pairs), len(plan.pairs), self._reranker.name)
            except BaseException as error:  # noqa: BLE001 - also SystemExit in a model: it is the callers' error, and must not end the thread
                # A process that ended was ended by one of these jobs, and would be by its half again. Jobs about the
                # same pairs would all fail again.
                is_divisible = len({frozenset(job.unknown) for job in jobs}) > 1
                if is_divisible and not isinstance(error, WorkerCrashedError):
                    groups.extend(reversed(self._without_abandoned(batch, halves(jobs))))
                else:
                    self._fail(batch, jobs, ordinary(error, self._reranker.name, RerankerError), started)
            else:
                self._settle(batch, jobs, plan, scores, started)
            if batch.is_given_up:
                return

    def _settle(self, batch: Batch, jobs: Sequence[Job], plan: BatchPlan, scores: FloatArray, started: float) -> None:
        if not self._queue.claim(batch, jobs):
            return
        pairs, service_s = len(plan.pairs), self._clock() - started
        # The callers come last. One that has its scores may send its next request at once: it must find the model idle,
        # its rate recorded and the event delivered.
        cost = self._queue.record_service(pairs, service_s)
        shared = None if self._is_listwise() else dict(zip(plan.asked, scores.tolist(), strict=True))
        answered, cancelled = self._queue.finish(batch, jobs, shared)
        waited_s = batch.since - min(job.arrived for job in jobs)
        queued = self._queue.waiting_pairs
        event = batch_scored(self._reranker.name, pairs, len(jobs), waited_s, service_s, queued=queued, cost=cost)
        min(jobs, key=lambda job: job.arrived).context.run(notify, self._observers, event)
        served = Served(service_s, pairs, since=started)
        for position, job in enumerate(jobs):
            job.succeed(job.all_scores(plan.scores_of(position, scores)), served)
        # No call was made for these, so that nothing is to be said of it.
        self._statistics.count("shared", len(answered))
        for job in answered:
            job.succeed(job.all_scores(scores[:0]), NEVER_RUN)
        for job in cancelled:
            job.on_served(NEVER_RUN)

    def _fail(self, batch: Batch, jobs: Sequence[Job], error: Exception, started: float) -> None:
        if not self._queue.claim(batch, jobs):
            return
        self._queue.finish(batch, jobs)
        for job in jobs:
            job.fail(error, Served(error=error, since=started))

    def _is_listwise(self) -> bool:
        try:
            return self._reranker.listwise
        except BaseException:  # noqa: BLE001 - the property of a user's class; the call that follows tells its callers
            return True

    def _without_abandoned(self, batch: Batch, groups: Sequence[Sequence[Job]]) -> Sequence[Sequence[Job]]:
        """The groups without the jobs whose callers have given up, which are settled here and not tried again."""
        # Read without the lock: a caller who gives up a moment later costs one needless attempt.
        left = [job for group in groups for job in group if job.has_left]
        if self._queue.claim(batch, left):
            self._queue.finish(batch, left)
            for job in left:
                job.expire()
        return [kept for group in groups if (kept := [job for job in group if job not in left])]
