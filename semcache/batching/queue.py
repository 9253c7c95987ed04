"""What waits for a model, and what the model is working on: the one shared state of a batcher, behind one lock.

A job is settled exactly once, by whoever takes it out of the queue: a worker, or the caller who leaves. Futures are
never settled under the lock, since their callbacks are other people's code.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from threading import Condition

from semcache.batching.admission import Load, ServiceRate, pairs_within, remaining_s
from semcache.batching.jobs import NEVER_RUN, Batch, Job, Taken
from semcache.batching.plan import how_many
from semcache.errors import ConfigurationError, QueueFullError, SemcacheError
from semcache.protocols import Clock


@dataclass(frozen=True, slots=True)
class Limits:
    """What one call may merge (requests, pairs, and seconds by the model's record), and how many pairs may wait."""

    max_requests: int
    max_pairs: int
    max_batch_s: float
    max_queue_pairs: int

    def __post_init__(self) -> None:
        for name in ("max_requests", "max_pairs", "max_queue_pairs"):
            check_count(name, getattr(self, name))
        if not (isinstance(self.max_batch_s, int | float) and self.max_batch_s > 0):
            raise ConfigurationError(f"max_batch_s must be a number of seconds above 0, got {self.max_batch_s!r}")


class BatchQueue:
    """A bounded queue in order of arrival, for one model with ``workers`` threads."""

    def __init__(self, limits: Limits, workers: int, clock: Clock) -> None:
        self._limits = limits
        self._workers = workers
        self._clock = clock
        self._changed = Condition()
        self._waiting: deque[Job] = deque()
        self._waiting_pairs = 0
        self._running: list[Batch] = []
        self._rate = ServiceRate()
        self._is_closed = False

    def put(self, job: Job) -> None:
        """Let a job wait. Raises QueueFullError, or SemcacheError after ``close``."""
        with self._changed:
            self._check_open()
            self._check_room(len(job.pairs))
            self._waiting.append(job)
            self._waiting_pairs += len(job.pairs)
            self._changed.notify()
        # Cancelling a future that waits takes its job out at once, so that it neither holds a place nor is scored.
        job.future.add_done_callback(lambda future: self._withdraw(job) if future.cancelled() else None)

    def take(self) -> Taken | None:
        """The next batch, as soon as there is one; None when the queue is closed and empty."""
        with self._changed:
            while not self._waiting:
                if self._is_closed:
                    return None
                self._changed.wait()
            return self._take_next(self._clock())

    def _take_next(self, now: float) -> Taken:
        expired = [job for job in self._waiting if job.deadline is not None and now >= job.deadline]
        for job in expired:
            self._remove(job)
        max_pairs = pairs_within(self._limits.max_batch_s, self._rate.per_pair_s, self._limits.max_pairs)
        count = how_many([job.pairs for job in self._waiting], self._limits.max_requests, max_pairs)
        jobs = list(islice(self._waiting, count))
        for job in jobs:
            self._remove(job)
        # From here on a future cannot be cancelled any more. The ones that are cancelled already missed the others.
        started = {job: job.future.set_running_or_notify_cancel() for job in (*expired, *jobs)}
        alive = [job for job in jobs if started[job]]
        batch = Batch(alive, sum(len(job.pairs) for job in alive), now) if alive else None
        if batch:
            self._running.append(batch)
        return Taken(
            batch,
            tuple(job for job in expired if started[job]),
            tuple(job for job, is_alive in started.items() if not is_alive),
        )

    def scored(self, pairs: int, service_s: float) -> None:
        """The model took so long for so many pairs."""
        with self._changed:
            self._rate.record(pairs, service_s)

    def finish(self, batch: Batch, jobs: Sequence[Job]) -> None:
        """These jobs of a batch are no longer in the model; without jobs the batch is over."""
        with self._changed:
            batch.jobs = [job for job in batch.jobs if job not in jobs]
            if not batch.jobs:
                self._running.remove(batch)

    def leave(self, job: Job) -> None:
        """The caller does not wait any longer. A job that is already in the model is abandoned there."""
        if not job.future.cancel():
            with self._changed:
                job.has_left = True

    def load(self) -> Load:
        """What a new request would find."""
        with self._changed:
            per_pair_s = self._rate.per_pair_s
            return Load(self.busy, self.abandoned, self._wait_s(per_pair_s or 0.0), per_pair_s)

    def close(self, *, drain: bool) -> None:
        """Take nothing more. What waits is still scored with ``drain``, and fails without."""
        with self._changed:
            self._is_closed = True
            dropped = [] if drain else list(self._waiting)
            for job in dropped:
                self._remove(job)
            self._changed.notify_all()
        for job in dropped:
            if job.future.set_running_or_notify_cancel():
                job.fail(SemcacheError("the batcher was closed before this request was scored"))
            else:
                job.on_served(NEVER_RUN)

    @property
    def busy(self) -> bool:
        """Whether a new request would have to wait for a running one."""
        return len(self._running) >= self._workers

    @property
    def waiting_pairs(self) -> int:
        return self._waiting_pairs

    @property
    def abandoned(self) -> int:
        """Callers who gave up while the model works on."""
        return sum(job.has_left for batch in tuple(self._running) for job in batch.jobs)

    def _check_open(self) -> None:
        if self._is_closed:
            raise SemcacheError("this batcher is closed; make a new one")

    def _check_room(self, pairs: int) -> None:
        # An empty queue takes any request: one that is larger than the bound would never be served otherwise.
        if self._waiting and self._waiting_pairs + pairs > self._limits.max_queue_pairs:
            raise QueueFullError(
                f"{self._waiting_pairs} pairs are waiting, {pairs} more would exceed {self._limits.max_queue_pairs}; "
                "ask less at once, raise max_queue_pairs, or use a faster reranker"
            )

    def _withdraw(self, job: Job) -> None:
        with self._changed:
            waited = job in self._waiting
            if waited:
                self._remove(job)
        if waited:
            job.on_served(NEVER_RUN)

    def _remove(self, job: Job) -> None:
        self._waiting.remove(job)
        self._waiting_pairs -= len(job.pairs)

    def _wait_s(self, per_pair_s: float) -> float:
        now = self._clock()
        running = [remaining_s(batch.pairs * per_pair_s, now - batch.since) for batch in self._running]
        first_free_s = min(running) if self.busy else 0.0
        return first_free_s + self._waiting_pairs * per_pair_s / self._workers


def check_count(name: str, value: object) -> None:
    """Raises ConfigurationError unless the value is a whole number of at least 1."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ConfigurationError(f"{name} must be a whole number of at least 1, got {value!r}")
