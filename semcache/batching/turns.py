"""Turns of asynchronous calls: first come, first served, so many at once, and not sooner than a rate limit allows.

A tenant that holds its share of the calls lets others go first.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial
from math import inf
from threading import Condition

from semcache.batching.jobs import CLOSED_BEFORE
from semcache.batching.limits import Limits, check_in_time
from semcache.batching.tenants import RecentTenants, over_their_share
from semcache.errors import SemcacheError
from semcache.protocols import Clock
from semcache.rerankers.rate_limit import RateLimit
from semcache.runtime.countdown import Countdown
from semcache.runtime.forking import renew_in_child


class Turn:
    """One call's place in the line. It waits, then it is under way, until ``leave``, which may come at any time.

    Times are of the line's clock; ``since`` is when the call began, infinite before. ``is_abandoned`` says that its
    caller no longer waits for it, ``is_hung`` that it took so long that it was given up.
    """

    __slots__ = (
        "_line", "_wake", "arrived", "cancel", "is_abandoned", "is_dropped", "is_hung", "is_timed", "pairs", "requests",
        "since", "tenant",
    )  # fmt: skip

    def __init__(self, line: "Turns", pairs: int, requests: int, arrived: float, tenant: str | None) -> None:
        self.tenant: str | None = tenant
        self.pairs: int = pairs
        self.requests: int = requests
        self.arrived: float = arrived
        self.since: float = inf
        self.is_abandoned: bool = False
        self.is_dropped: bool = False
        self.is_hung: bool = False
        # Cancels its call, from any thread.
        self.cancel: Callable[[], object] = bool
        # Whether its task will look again by itself when the rate limit allows the next call.
        self.is_timed: bool = False
        self._line = line
        self._wake: Callable[[], object] = bool

    @property
    def has_come(self) -> bool:
        """True once the call may start."""
        return self.since < inf

    async def come(self) -> None:
        """Wait until the call may start. Raises SemcacheError if the line was closed meanwhile, without drain."""
        loop = asyncio.get_running_loop()
        while True:
            waiter = loop.create_future()
            # Before the line is looked at: what lets this call start meanwhile must find how to wake it.
            self._wake = partial(loop.call_soon_threadsafe, _set, waiter)
            delay_s = self._line.advance(self)
            if self.has_come:
                return
            if self.is_dropped:
                raise SemcacheError(CLOSED_BEFORE)
            await asyncio.wait([waiter], timeout=delay_s)
            self.is_timed = False

    def leave(self) -> None:
        """The call is over, or will not be made. Can be repeated."""
        self._line.leave(self)

    def wake(self) -> bool:
        """Let its task look at the line again. False if its event loop is closed, so that it never will."""
        try:
            self._wake()
        except RuntimeError:
            return False
        return True


class Turns:
    """A line of calls from any number of event loops. Safe between threads.

    At most ``concurrency`` calls are under way at once, and ``max_queue_pairs`` pairs wait for each of them.
    """

    def __init__(self, limits: Limits, concurrency: int, rate_limit: RateLimit, clock: Clock) -> None:
        self._limits = limits
        self._concurrency = concurrency
        self._rate_limit = rate_limit
        self._clock = clock
        self._is_closed = False
        self.after_fork_in_child()
        renew_in_child(self)

    def after_fork_in_child(self) -> None:
        """Have no calls, as their loops run in the parent; also used for the beginning itself."""
        # Guards everything below, and whether the line is closed. The lock of the rate limit is taken while it is held.
        self._changing = Condition()
        self._waiting: deque[Turn] = deque()
        self._under_way: list[Turn] = []
        self._recent = RecentTenants()
        self._left = 0
        """Number of calls that have left the line."""
        self.waiting_pairs: int = 0
        """Number of pairs whose calls wait. Read without the lock, as are the properties below: for statistics and
        estimates, which are others a moment later anyway."""
        self.waiting_requests: int = 0
        """Number of requests to the service that wait."""

    def enter(self, pairs: int, deadline: float | None, tenant: str | None = None) -> Turn:
        """A place at the end of the line for a call that has to begin before the deadline, a time of the clock.

        Raises QueueFullError, SemcacheError after ``close``, and DeadlineExceededError where the rate limit lets it
        begin too late.
        """
        requests = self._rate_limit.requests(pairs)
        with self._changing:
            if self._is_closed:
                raise SemcacheError("this batcher is closed; make a new one")
            own = self._noted(tenant)[0]
            self._limits.check_room(self.waiting_pairs, pairs, self._concurrency, own_pairs=own)
            check_in_time(self.rate_wait_s(pairs), deadline, self._clock)
            turn = Turn(self, pairs, requests, self._clock(), tenant)
            self._waiting.append(turn)
            self.waiting_pairs += pairs
            self.waiting_requests += requests
        # At once, and not when its task runs first: those that enter meanwhile would find it waiting.
        self.advance()
        return turn

    def advance(self, caller: Turn | None = None) -> float | None:
        """Let the first ones start that may, and wake them.

        Gives the seconds after which ``caller`` has to look again, if it is the first and the rate limit holds it; None
        if it will be woken.
        """
        woken: list[Turn] = []
        delay_s: float | None = None
        with self._changing:
            while self._waiting and len(self._under_way) < self._concurrency:
                first = self._next()
                left_s = self._rate_limit.try_take(first.pairs)
                if left_s > 0:
                    delay_s = left_s if first is caller else None
                    if first is not caller and not first.is_timed:
                        woken.append(first)
                    first.is_timed = True
                    break
                self._remove(first)
                first.since = self._clock()
                self._under_way.append(first)
                if first is not caller:
                    woken.append(first)
        for turn in woken:
            if not turn.wake():
                turn.leave()
        return delay_s

    def leave(self, turn: Turn) -> None:
        """Take a call out of the line, wherever it is."""
        with self._changing:
            if turn in self._under_way:
                self._under_way.remove(turn)
            elif turn in self._waiting:
                self._remove(turn)
            self._left += 1
            if self._is_closed:
                self._changing.notify_all()
        self.advance()

    def close(self, *, drain: bool) -> int:
        """Take no more calls. Those in the line still have their turn with ``drain``, else those that wait fail.

        Gives the number of those.
        """
        with self._changing:
            self._is_closed = True
            dropped = [] if drain else list(self._waiting)
            for turn in dropped:
                turn.is_dropped = True
                self._remove(turn)
        for turn in dropped:
            turn.wake()
        return len(dropped)

    def wait_until_empty(self, stuck_after_s: float, countdown: Countdown) -> bool:
        """Wait until no call is in the line; False if none leaves it for so many seconds, or the countdown ends."""
        with self._changing:
            while not self.is_empty:
                left = self._left
                self._changing.wait(countdown.left_s(stuck_after_s))
                if not self.is_empty and (self._left == left or countdown.is_over):
                    return False
            return True

    def rate_wait_s(self, pairs: int = 1) -> float:
        """In how many seconds the rate limit would let a new call begin, behind those that wait."""
        return self._rate_limit.wait_s(pairs, pairs_ahead=self.waiting_pairs, requests_ahead=self.waiting_requests)

    def waiting_of(self, tenant: str | None) -> tuple[int, int]:
        """How many pairs and calls wait of a tenant that has a request now; none if there are no other tenants."""
        with self._changing:
            return self._noted(tenant)

    @property
    def tenant_share(self) -> float:
        """The share of the line that one tenant may take up while there are others."""
        return self._limits.tenant_share

    def _next(self) -> Turn:
        """The first in the line, but for tenants that hold their share of the calls while others wait."""
        over = over_their_share((turn.tenant for turn in self._under_way), self._concurrency, self.tenant_share)
        return next((turn for turn in self._waiting if turn.tenant not in over), self._waiting[0])

    def _noted(self, tenant: str | None) -> tuple[int, int]:
        now = self._clock()
        self._recent.note(tenant, now)
        if not self._recent.has_others(tenant, now):
            return 0, 0
        own = [turn.pairs for turn in self._waiting if turn.tenant == tenant]
        return sum(own), len(own)

    @property
    def waiting(self) -> int:
        """Number of calls that wait."""
        return len(self._waiting)

    @property
    def under_way(self) -> list[Turn]:
        """The calls under way."""
        return list(self._under_way)

    @property
    def is_empty(self) -> bool:
        """True if no call is in the line."""
        return not (self._waiting or self._under_way)

    def _remove(self, turn: Turn) -> None:
        self._waiting.remove(turn)
        self.waiting_pairs -= turn.pairs
        self.waiting_requests -= turn.requests


def _set(waiter: "asyncio.Future[None]") -> None:
    if not waiter.done():
        waiter.set_result(None)
