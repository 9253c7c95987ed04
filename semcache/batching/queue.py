"""The jobs that wait for a model and the batches it works on: all that the threads of a batcher share, behind one lock.

A job is settled exactly once, by the thread that takes it out of ``_waiting``: a worker, the caller who cancels it, or
the thread that closes the queue. That thread releases the lock before it settles the job, because the callbacks of
futures and ``on_served`` are code of callers and of other rooms: it may be slow, and it may come back here.

Lock order: this lock, then the lock inside a future. The other order cannot occur, since ``Future.cancel`` releases its
own lock before it calls back.
"""

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from threading import Condition

from semcache.batching.admission import CALL_MARGIN, Load, pairs_within
from semcache.batching.jobs import CLOSED_BEFORE, NEVER_RUN, Batch, Dequeued, Job
from semcache.batching.limits import Limits, check_in_time
from semcache.batching.plan import PairOf, count_that_fit
from semcache.batching.service_time import Cost, ServiceTime
from semcache.batching.tenants import over_their_share
from semcache.batching.waiting import is_late, load_of
from semcache.batching.waiting_jobs import WaitingJobs, distinct
from semcache.errors import InvalidInputError, SemcacheError
from semcache.protocols import Clock, FloatArray
from semcache.rerankers.rate_limit import RateLimit
from semcache.runtime.forking import renew_in_child
from semcache.runtime.tenancy import current_tenant

# A pause may be asked for until any time; a condition waits for 290 years at most, and looking again costs nothing.
_LONGEST_SLEEP_S = 3600.0


class BatchQueue:
    """A bounded queue in order of arrival, for one model with ``workers`` threads. Safe to use from any thread.

    With ``one_query`` only requests of one query are merged, for models that are called once per query.
    """

    def __init__(
        self, limits: Limits, workers: int, rate_limit: RateLimit, clock: Clock, *, one_query: bool = False
    ) -> None:
        self._limits = limits
        self._workers = workers
        self._rate_limit = rate_limit
        self._one_query = one_query
        self._clock = clock
        self._service = ServiceTime()
        self._is_closed = False
        self.finished: int = 0
        """Number of calls that are over. Read without the lock, to see whether the model makes progress."""
        self.after_fork_in_child()
        renew_in_child(self)

    def after_fork_in_child(self) -> None:
        """Forget all jobs, since their callers are threads of the parent; also used for the beginning itself."""
        # Guards everything below, the service time, and whether the queue is closed. Workers sleep on it until a job
        # arrives or the queue is closed.
        self._changed = Condition()
        self._waiting = WaitingJobs()
        self._running: list[Batch] = []
        self._idle = 0
        # Whether a worker waits for the rate limit; the others sleep until it has taken its batch.
        self._has_timer = False

    def put(self, job: Job) -> bool:
        """Let a job wait; True if there are not enough workers for what waits.

        Raises QueueFullError, SemcacheError after ``close``, and DeadlineExceededError where the rate limit lets it
        begin too late.
        """
        pairs = len(job.pairs)
        with self._changed:
            if self._is_closed:
                raise SemcacheError("this batcher is closed; make a new one")
            own_pairs, _ = self._waiting.own(job.tenant, self._clock())
            self._limits.check_room(self._waiting.pairs, pairs, self._workers, own_pairs=own_pairs)
            check_in_time(self._rate_wait_s(pairs), job.deadline, self._clock)
            try:
                self._waiting.append(job)
            except TypeError as error:
                raise InvalidInputError("a pair must be a tuple of two texts, (query, document)") from error
            self._changed.notify()
            lacks_workers = len(self._waiting) > self._idle
        # Cancelling the future of a waiting job takes it out at once, so that its pairs no longer count as waiting.
        # Added after the lock is released: if the future is cancelled already, the callback runs right here.
        job.future.add_done_callback(partial(self._withdraw, job))
        return lacks_workers

    def take(self, *, merged: bool = True) -> Dequeued | None:
        """Wait for jobs, and take out the next batch and what has expired; None when the queue is closed and empty.

        Without ``merged`` the batch is one job, of which no pair is answered by another call.
        """
        with self._changed:
            while self._waiting or not self._is_closed:
                now = self._clock()
                cost = self._service.cost(now)
                expired, cancelled = self._dequeue([job for job in self._waiting if is_late(job, cost, now)])
                # Only after the expired ones are out: a batch must not be smaller for jobs that are never scored.
                jobs = self._next(merged, cost, now)
                delay_s = self._linger_s(jobs, cost, now) or self._rate_delay_s(jobs)
                if delay_s == 0 and jobs:
                    jobs, late = self._dequeue(jobs)
                    return self._taken(jobs, expired, cancelled + late, now)
                if expired or cancelled:
                    return Dequeued(None, expired, cancelled)
                self._sleep(delay_s if jobs else None)
            return None

    def record_service(self, pairs: int, service_s: float) -> Cost | None:
        """The model took ``service_s`` seconds for that many pairs. Gives what a call costs as far as is known now."""
        with self._changed:
            return self._service.record(pairs, service_s, self._clock())

    def forget_service(self) -> None:
        """Forget how long calls took so far: the model was loading, which says nothing about its next calls."""
        with self._changed:
            self._service = ServiceTime()

    def finish(
        self, batch: Batch, jobs: Sequence[Job], scores: Mapping[PairOf, float] | None = None
    ) -> tuple[list[Job], list[Job]]:
        """These jobs of a batch are no longer in the model; without jobs the batch is over.

        ``scores`` are what they were told, unless these hold within one call only. Gives jobs to settle that waited for
        the same: those whose scores are all known now, and those whose callers have cancelled them.
        """
        with self._changed:
            batch.jobs = [job for job in batch.jobs if job not in jobs]
            if not batch.jobs and batch in self._running:
                self._running.remove(batch)
            self.finished += 1
            answered = self._dequeue(self._waiting.learn(scores)) if scores else ([], [])
            # For a worker that found only jobs which this batch was to answer.
            self._changed.notify()
            return answered

    def claim(self, batch: Batch, jobs: Sequence[Job]) -> bool:
        """Let the worker settle these jobs of a batch; False if it was given up, and they are settled already."""
        with self._changed:
            if batch.is_given_up:
                return False
            batch.jobs = [job for job in batch.jobs if job not in jobs]
            return True

    def give_up(self, running_s: float) -> list[Batch]:
        """Wait no longer for calls that have been under way for so many seconds; they no longer count as running.

        The caller settles their jobs, which stand in each batch of the result.
        """
        with self._changed:
            latest = self._clock() - running_s
            # One without jobs is just being settled.
            hung = [batch for batch in self._running if batch.since <= latest and batch.jobs]
            for batch in hung:
                batch.is_given_up = True
                self._running.remove(batch)
        return hung

    def leave(self, job: Job) -> None:
        """The caller's deadline passed. A job that is already in the model counts as abandoned until its call ends."""
        # cancel() succeeds only while the job waits; it must run without our lock, which its callback takes.
        if not job.future.cancel():
            with self._changed:
                job.has_left = True

    def load(self) -> Load:
        """The work that a new request of the current tenant would find before it."""
        with self._changed:
            now = self._clock()
            cost = self._service.cost(now)
            merged = pairs_within(self._limits.max_batch_s, cost, self._limits.pairs_merged)
            return load_of(
                self._running,
                (self._waiting.pairs, len(self._waiting)),
                (merged, 1 if self._one_query else self._limits.max_requests),
                own=self._waiting.own(current_tenant(), now),
                tenant_share=self._limits.tenant_share,
                concurrency=self._workers,
                cost=cost,
                now=now,
                rate_wait_s=self._rate_wait_s(1),
                abandoned=self.abandoned,
            )

    def close(self, *, drain: bool) -> int:
        """Take no more jobs. Those that wait are still scored with ``drain``, and fail without. Can be repeated.

        Gives the number of those that failed.
        """
        with self._changed:
            self._is_closed = True
            dropped, cancelled = ([], []) if drain else self._dequeue(self._waiting)
            # All workers, not one: each of them has to see that there will be no more work.
            self._changed.notify_all()
        for job in dropped:
            job.fail(SemcacheError(CLOSED_BEFORE))
        for job in cancelled:
            job.on_served(NEVER_RUN)
        return len(dropped)

    # The three properties are read without the lock, for statistics and for decisions that may be wrong by one request:
    # each reads one number or copies one list, which no other thread can interrupt.

    @property
    def busy(self) -> bool:
        """True if a new request would have to wait for a running one."""
        return len(self._running) >= self._workers

    @property
    def waiting_pairs(self) -> int:
        """Number of (query, document) pairs that wait, those inside the model not counted."""
        return self._waiting.pairs

    @property
    def is_needed(self) -> bool:
        """True if a caller waits for a call, or for its turn."""
        return bool(self._waiting) or any(not job.has_left for batch in tuple(self._running) for job in batch.jobs)

    @property
    def abandoned(self) -> int:
        """Number of callers whose deadline passed while their request was in the model, which still works on it."""
        return sum(job.has_left for batch in tuple(self._running) for job in batch.jobs)

    def _sleep(self, timeout_s: float | None = None) -> None:
        """Wait for jobs, or as one of the workers for the rate limit; the others need not wake up for nothing."""
        self._idle += 1
        is_timer = timeout_s is not None and not self._has_timer
        self._has_timer = self._has_timer or is_timer
        try:
            self._changed.wait(min(timeout_s, _LONGEST_SLEEP_S) if timeout_s is not None and is_timer else None)
        finally:
            self._idle -= 1
            self._has_timer = self._has_timer and not is_timer

    def _next(self, merged: bool, cost: Cost | None, now: float) -> list[Job]:
        """The jobs of the next call."""
        holding = (tenant for batch in self._running for tenant in batch.tenants)
        later = over_their_share(holding, self._workers, self._limits.tenant_share)
        if not merged:
            return self._waiting.first(1, (), later)
        jobs = self._waiting.first(self._limits.max_requests, self._running, later)
        # No job that joins a call may make another one late.
        deadlines = [job.deadline for job in jobs if job.deadline is not None]
        seconds = min([self._limits.max_batch_s, *((deadline - now) / CALL_MARGIN for deadline in deadlines)])
        max_pairs = pairs_within(seconds, cost, self._limits.pairs_merged)
        count = count_that_fit([job.asked for job in jobs], max_pairs, one_query=self._one_query)
        return jobs[:count]

    def _linger_s(self, jobs: Sequence[Job], cost: Cost | None, now: float) -> float:
        """How many seconds to wait for others that may join these jobs; 0 means to begin."""
        is_open = not self._is_closed and len(jobs) == len(self._waiting) < self._limits.max_requests
        left_s = jobs[0].arrived + self._limits.max_wait_s - now if jobs else 0.0
        if left_s <= 0 or not is_open or len(distinct(jobs)) >= self._limits.pairs_merged:
            return 0.0
        # None of them may be made late by it.
        needed_s = left_s + (0.0 if cost is None else CALL_MARGIN * cost.seconds(self._limits.pairs_merged))
        in_time = all(job.deadline is None or job.deadline - now > needed_s for job in jobs)
        return left_s if in_time else 0.0

    def _rate_delay_s(self, jobs: Sequence[Job]) -> float:
        """In how many seconds the rate limit lets a call for these jobs begin; 0 means that it begins now."""
        return self._rate_limit.try_take(len(distinct(jobs))) if jobs else 0.0

    def _taken(self, jobs: list[Job], expired: list[Job], cancelled: list[Job], now: float) -> Dequeued:
        batch = Batch(jobs, distinct(jobs), now) if jobs else None
        # In the same step that takes the jobs out, so that no other thread sees the model idle in between.
        if batch:
            self._running.append(batch)
        # For the worker that waits for the rate limit next.
        self._changed.notify()
        return Dequeued(batch, expired, cancelled)

    def _rate_wait_s(self, pairs: int) -> float:
        """In how many seconds the rate limit would let a new request begin, behind those that wait."""
        calls = len(self._waiting) if self._one_query else -(-self._waiting.pairs // self._limits.pairs_merged)
        return self._rate_limit.wait_s(pairs, pairs_ahead=self._waiting.pairs, requests_ahead=calls)

    def _withdraw(self, job: Job, future: Future[FloatArray]) -> None:
        """Runs in whichever thread settles or cancels the future, once."""
        if not future.cancelled():
            return
        with self._changed:
            waited = job in self._waiting
            if waited:
                self._waiting.remove(job)
        # If a worker or close() was faster, the job is theirs, and they report it.
        if waited:
            job.on_served(NEVER_RUN)

    def _dequeue(self, jobs: Iterable[Job]) -> tuple[list[Job], list[Job]]:
        """Take jobs out, under the lock: those whose futures can no longer be cancelled, and the cancelled ones."""
        alive: list[Job] = []
        cancelled: list[Job] = []
        for job in tuple(jobs):
            self._waiting.remove(job)
            # False: cancelled already, and the callback that would withdraw the job still waits for our lock.
            (alive if job.future.set_running_or_notify_cancel() else cancelled).append(job)
        return alive, cancelled
