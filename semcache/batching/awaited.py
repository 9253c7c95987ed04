"""Calls of an asynchronous reranker: each request by itself, as soon as concurrency and rate limit let it."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from threading import Lock
from typing import Any

from semcache.batching.admission import Load
from semcache.batching.flights import Flight, Flights
from semcache.batching.jobs import CLOSED_BEFORE, NEVER_RUN, OnServed, Served, unasked_if_ended
from semcache.batching.plan import plan_alone
from semcache.batching.service_time import ServiceTime
from semcache.batching.statistics import BatchingStatistics, batch_scored
from semcache.batching.turns import Turn, Turns
from semcache.batching.waiting import load_of
from semcache.errors import DeadlineExceededError, RerankerError, RerankerHungError, SemcacheError
from semcache.observers import notify
from semcache.protocols import Clock, FloatArray, Observer, Pair
from semcache.rerankers.awaiting import OWN_LOOP
from semcache.rerankers.checked import checked_scores
from semcache.rerankers.rate_limit import say_turn_taken
from semcache.runtime.countdown import Countdown
from semcache.runtime.foreign_errors import awaited
from semcache.runtime.forking import renew_in_child
from semcache.runtime.futures import auntil_done, is_given_up, is_in_loop, until_done
from semcache.runtime.tenancy import current_tenant

Settle = Callable[..., None]
"""Ends a call with its report, and with the scores by pair if there are any. Only the first time counts."""

_log = logging.getLogger("semcache")


class AwaitedCalls:
    """Awaits ``ascore_pairs`` of a reranker: in the caller's event loop, or in semcache's own for callers without one.

    ``line`` says when a call may start. A caller whose deadline passes is freed: a call that waits is not made then,
    and one that is under way goes on, so that ``on_served`` hears how long it really took. A caller who is cancelled
    cancels it.
    """

    def __init__(
        self,
        reranker: Any,
        line: Turns,
        concurrency: int,
        clock: Clock,
        observers: Sequence[Observer],
        statistics: BatchingStatistics,
    ) -> None:
        self._reranker = reranker
        self._line = line
        self._concurrency = concurrency
        self._clock = clock
        self._observers = observers
        self._statistics = statistics
        self._service = ServiceTime()
        self.after_fork_in_child()
        renew_in_child(self)

    def after_fork_in_child(self) -> None:
        """Have no calls under way, as their loops run in the parent; also used for the beginning itself."""
        self._recording = Lock()
        # A loop keeps its tasks weakly, and those of callers whose deadline has passed are awaited by nothing else.
        self._tasks: set[asyncio.Task[FloatArray]] = set()
        self._flights = Flights()

    def submit(self, pairs: Sequence[Pair], deadline: float | None, on_served: OnServed) -> Future[FloatArray]:
        """A future of one float32 per pair; cancelling it cancels the call. Raises QueueFullError or SemcacheError."""
        return self._submit(pairs, deadline, on_served)[1]

    def score(self, pairs: Sequence[Pair], deadline: float | None, on_served: OnServed) -> FloatArray:
        """Wait until the deadline for the scores. Raises what the reranker raised, or DeadlineExceededError."""
        failed: list[Flight] = []
        while (flight := self._following(pairs)) is not None:
            with unasked_if_ended(on_served):
                until_done(flight.over, self._left_s(deadline))
                scores = self._shared(flight, pairs, failed)
            if scores is not None:
                on_served(NEVER_RUN)
                return scores
        turn, future = self._submit(pairs, deadline, on_served)
        try:
            until_done(future, self._left_s(deadline))
        except BaseException:  # KeyboardInterrupt, for one: this caller no longer waits, so its pairs need no scores
            future.cancel()
            raise
        if not future.done():
            self._abandon(turn, future)
            raise self._too_late()
        return self._result(turn, future)

    async def ascore(self, pairs: Sequence[Pair], deadline: float | None, on_served: OnServed) -> FloatArray:
        """``score`` in the running event loop."""
        failed: list[Flight] = []
        while (flight := self._following(pairs)) is not None:
            with unasked_if_ended(on_served):
                await auntil_done(flight.over, self._left_s(deadline))
                scores = self._shared(flight, pairs, failed)
            if scores is not None:
                on_served(NEVER_RUN)
                return scores
        turn, settle = self._enter(pairs, deadline, on_served)
        task = asyncio.ensure_future(self._call(turn, pairs, deadline, settle))
        turn.cancel = partial(task.get_loop().call_soon_threadsafe, task.cancel)
        self._tasks.add(task)
        task.add_done_callback(lambda task: self._forget(task, settle))
        try:
            await asyncio.wait([task], timeout=self._left_s(deadline))
        except BaseException:  # CancelledError, for one: this caller no longer waits, so its pairs need no scores
            task.cancel()
            raise
        if not task.done():
            self._abandon(turn, task)
            raise self._too_late()
        return self._result(turn, task)

    def load(self) -> Load:
        """The work that a new request of the current tenant would find before it."""
        now = self._clock()
        with self._recording:
            cost = self._service.cost(now)
        return load_of(
            self._line.under_way,
            (self._line.waiting_pairs, self._line.waiting),
            (self._line.waiting_pairs or 1, 1),
            own=self._line.waiting_of(current_tenant()),
            tenant_share=self._line.tenant_share,
            concurrency=self._concurrency,
            cost=cost,
            now=now,
            rate_wait_s=self._line.rate_wait_s(),
            abandoned=self.abandoned,
        )

    def forget_service(self) -> None:
        """Forget how long calls took so far: the first ones made connections, and say nothing about the next."""
        with self._recording:
            self._service = ServiceTime()

    @property
    def waiting_pairs(self) -> int:
        """Number of (query, document) pairs whose calls wait."""
        return self._line.waiting_pairs

    @property
    def abandoned(self) -> int:
        """Number of calls under way whose callers no longer wait, as their deadlines have passed."""
        return sum(turn.is_abandoned for turn in self._line.under_way)

    def give_up(self, running_s: float) -> int:
        """Cancel the calls that have been under way for so many seconds; gives their number."""
        latest = self._clock() - running_s
        hung = [turn for turn in self._line.under_way if turn.since <= latest]
        for turn in hung:
            turn.is_hung = True
            turn.leave()
        self._cancel(hung)
        return len(hung)

    def close(self, *, drain: bool, stuck_after_s: float, countdown: Countdown) -> None:
        """Take no more requests; let those in the line have their turn, or fail those that wait without ``drain``.

        Waits for them, but not in a running event loop, which they need themselves. If no call ends for
        ``stuck_after_s`` seconds, or the countdown ends, those that are left are cancelled.
        """
        self._line.close(drain=drain)
        # Nothing waits for these any more.
        self._cancel(turn for turn in self._line.under_way if turn.is_abandoned)
        if not is_in_loop() and not self._line.wait_until_empty(stuck_after_s, countdown):
            waited, under_way = self._line.close(drain=False), self._line.under_way
            self._cancel(under_way)
            _log.warning(
                "%s was closed, and calls that do not end were cancelled: %d; requests that waited and failed: %d",
                *(self._reranker.name, len(under_way), waited),
            )

    def _cancel(self, turns: Iterable[Turn]) -> None:
        for turn in turns:
            with suppress(RuntimeError):  # its event loop is closed
                turn.cancel()

    def _following(self, pairs: Sequence[Pair]) -> Flight | None:
        # The places in an order hold within one call.
        return None if self._reranker.listwise else self._flights.following(current_tenant(), pairs)

    def _shared(self, flight: Flight, pairs: Sequence[Pair], failed: list[Flight]) -> FloatArray | None:
        """The scores of a call that was waited for; None if it gave none, so that this caller has to ask itself."""
        if not flight.over.done():
            raise self._too_late()
        flight.raise_second_failure(failed)
        scores = flight.scores_of(pairs)
        if scores is not None:
            self._statistics.count("shared")
        return scores

    async def _call(self, turn: Turn, pairs: Sequence[Pair], deadline: float | None, settle: Settle) -> FloatArray:
        served, started, task = NEVER_RUN, turn.arrived, asyncio.current_task()
        plan, scores = plan_alone([(None, pair) for pair in pairs]), None
        try:
            await turn.come()
            started = self._clock()
            # Also for those that were submitted, whose callers do not wait until then and no longer.
            if deadline is not None and started >= deadline:
                raise _ExpiredError
            say_turn_taken()
            answer = await awaited(self._reranker.ascore_pairs(plan.pairs), self._reranker.name, RerankerError)
            scores = checked_scores(answer, len(plan.pairs), self._reranker.name)
            served = Served(self._clock() - started, len(plan.pairs), since=started)
        except _ExpiredError:
            raise self._too_late() from None
        except BaseException as error:  # whatever was raised goes on to the caller; the breaker is told before
            if is_given_up(error, task):
                raise  # by the caller, which says nothing about the reranker
            served = Served(error=error, since=started)
            raise
        finally:
            settle(served, None if scores is None else dict(zip(plan.pairs, scores.tolist(), strict=True)))
        return plan.scores_of(0, scores)

    def _submit(
        self, pairs: Sequence[Pair], deadline: float | None, on_served: OnServed
    ) -> tuple[Turn, Future[FloatArray]]:
        turn, settle = self._enter(pairs, deadline, on_served)
        future = OWN_LOOP.submit(self._call(turn, pairs, deadline, settle))
        turn.cancel = future.cancel
        # For a call that is cancelled before it has begun, of which nothing else would be heard.
        future.add_done_callback(lambda _: settle(NEVER_RUN))
        return turn, future

    def _enter(self, pairs: Sequence[Pair], deadline: float | None, on_served: OnServed) -> tuple[Turn, Settle]:
        """A place in the line, and what ends it; one that is refused is settled at once."""
        try:
            turn = self._line.enter(len(set(pairs)), deadline, current_tenant())
        except BaseException:  # full, closed, too late or interrupted: on_served returns the breaker's ticket
            on_served(NEVER_RUN)
            raise
        return turn, partial(self._settle, Lock(), turn, self._flights.begin(turn.tenant, pairs), on_served)

    def _settle(
        self,
        once: Lock,
        turn: Turn,
        flight: Flight,
        on_served: OnServed,
        served: Served,
        scores: dict[Pair, float] | None = None,
    ) -> None:
        if not once.acquire(blocking=False):  # settled already; it is never released
            return
        if served.service_s is not None:
            with self._recording:
                cost = self._service.record(turn.pairs, served.service_s, self._clock())
            waited_s, queued = turn.since - turn.arrived, self._line.waiting_pairs
            name, pairs, service_s = self._reranker.name, turn.pairs, served.service_s
            notify(self._observers, batch_scored(name, pairs, 1, waited_s, service_s, queued=queued, cost=cost))
        # Before the caller hears of it: one that sends its next request at once must find its place free.
        turn.leave()
        on_served(served)
        self._flights.end(flight, scores, served.error)

    def _abandon(self, turn: Turn, call: "Future[FloatArray] | asyncio.Task[FloatArray]") -> None:
        """Its caller's deadline has passed. A call that is under way goes on."""
        turn.is_abandoned = True
        if not turn.has_come:
            call.cancel()

    def _forget(self, task: asyncio.Task[FloatArray], settle: Settle) -> None:
        # For a call that is cancelled before it has begun, of which nothing else would be heard.
        settle(NEVER_RUN)
        self._tasks.discard(task)
        # An error that comes after the caller's deadline would be logged by asyncio as never retrieved.
        if not task.cancelled():
            task.exception()

    def _left_s(self, deadline: float | None) -> float | None:
        return None if deadline is None else max(0.0, deadline - self._clock())

    def _result(self, turn: Turn, call: "Future[FloatArray] | asyncio.Task[FloatArray]") -> FloatArray:
        # Cancelled by give_up() or close(): the caller still waits, and is not cancelled itself.
        if call.cancelled() and turn.is_hung:
            raise RerankerHungError(f"{self._reranker.name} did not answer for long, and was given up")
        if call.cancelled():
            raise SemcacheError(CLOSED_BEFORE)
        return call.result()

    def _too_late(self) -> DeadlineExceededError:
        return DeadlineExceededError(f"{self._reranker.name} did not answer before the deadline")


class _ExpiredError(Exception):
    """The deadline passed while the call waited for its turn."""
