"""A circuit breaker that threads share: adds the lock, the clock, the jitter and the observers to the state machine."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import Lock

from semcache.batching.jobs import Served
from semcache.causes import is_rate_limited
from semcache.degradation.breaker import Breaker, BreakerPolicy, Ticket
from semcache.degradation.monitor import LatencyMonitor
from semcache.errors import InvalidInputError
from semcache.events import BreakerChanged, Event, State
from semcache.protocols import Clock, Pair
from semcache.runtime.forking import renew_in_child

# A check costs a call; a request of that many pairs is large enough to be like the others.
_LARGEST_CHECK = 32
# More calls than a reranker has under way at once.
_MOST_COUNTED = 64


class SharedBreaker:
    """A Breaker that is safe between threads. Every method is one step of the machine under the lock.

    ``rng`` gives numbers in [0, 1). ``on_event`` is called with each BreakerChanged, in the thread that caused it.
    """

    def __init__(
        self, breaker: Breaker, clock: Clock, rng: Callable[[], float], on_event: Callable[[Event], None]
    ) -> None:
        self._breaker = breaker
        self._clock = clock
        self._rng = rng
        self._on_event = on_event
        self.last_change: BreakerChanged | None = None
        """The latest transition, None before the first. Replaced as a whole, and read without the lock."""
        self._known_good: Sequence[Pair] | None = None
        """The latest request of usual size that was scored, for health checks. Replaced as a whole, and read without
        the lock."""
        self._lock = Lock()
        """Guards the machine and its monitor. No other lock is taken while it is held: the clock, the random numbers
        and the machine take none, and observers are called after it is released."""
        # Calls that are counted already, the latest ones: requests that share a call bring its end back once each, and
        # one that was counted while it was under way ends later.
        self._counted: deque[Served] = deque(maxlen=_MOST_COUNTED)
        self._counted_running: deque[float] = deque(maxlen=_MOST_COUNTED)
        renew_in_child(self)

    def after_fork_in_child(self) -> None:
        """Take back the probe that the parent sent out: its result comes to the parent alone."""
        self._lock = Lock()
        self._breaker.forget_probe()

    def admit(self) -> Ticket | None:
        """A ticket for one call of the primary, or None: call another reranker."""
        with self._step() as now:
            return self._breaker.admit(now, self._rng())

    def settle(self, ticket: Ticket, served: Served, pairs: Sequence[Pair] | None = None) -> None:
        """Bring a ticket back with the result of its call, in the reranker's worker thread or in the caller's.

        ``pairs`` are those of the request, None for one that is not to be sent again. A call that several requests
        shared is counted once.
        """
        if served.service_s is not None and pairs is not None:
            known = self._known_good
            if known is None or len(pairs) <= max(_LARGEST_CHECK, len(known)):
                self._known_good = pairs
        with self._step() as now:
            if served.since in self._counted_running or any(served is counted for counted in self._counted):
                self._breaker.cancel(ticket)
                return
            # An input that cannot be scored is the caller's mistake and says nothing about the reranker. Nor does a
            # service that refuses more than it allows: the rate limit has heard of it.
            said_nothing = isinstance(served.error, InvalidInputError) or is_rate_limited(served.error)
            if served.error is not None and not said_nothing:
                # The class alone: a message may quote the caller's texts, and RungFailed has it without them.
                cause = type(served.error).__name__
                can_check = self._known_good is not None
                self._breaker.record_error(ticket, now, self._rng(), cause, can_check=can_check)
            elif served.service_s is not None:
                self._breaker.record(ticket, served.service_s, now, pairs=served.pairs, jitter=self._rng())
            else:
                self._breaker.cancel(ticket)
                return
            self._counted.append(served)

    def cancel(self, ticket: Ticket) -> None:
        """Bring a ticket back unused."""
        with self._step():
            self._breaker.cancel(ticket)

    def take_check(self) -> tuple[Ticket, Sequence[Pair]] | None:
        """A ticket and the pairs of a health check, if one is due; the ticket has to be brought back by ``settle``."""
        known_good = self._known_good
        if known_good is None:
            return None
        with self._step() as now:
            ticket = self._breaker.take_check(now)
        return None if ticket is None else (ticket, known_good)

    def record_running(self, since: float, pairs: int) -> None:
        """A call of so many pairs is under way since a time of the clock; it counts as slow if that is too long."""
        with self._step() as now:
            if since not in self._counted_running and self._breaker.record_running(
                since, now, pairs=pairs, jitter=self._rng()
            ):
                self._counted_running.append(since)

    def record_hung(self, running_s: float) -> None:
        """A call was given up after that many seconds."""
        with self._step() as now:
            self._breaker.record_hung(running_s, now, self._rng())

    def force_open(self, cause: str = "") -> None:
        """Admit no call until ``reset``."""
        with self._step() as now:
            self._breaker.force_open(now, cause)

    def disable(self, cause: str = "") -> None:
        """Admit every call until ``reset``."""
        with self._step() as now:
            self._breaker.disable(now, cause)

    def reset(self, cause: str = "") -> None:
        """Close the breaker, with an empty window."""
        with self._step() as now:
            self._breaker.reset(now, cause)

    @property
    def shown(self) -> str:
        """Why it is in its state, for people: reason and cause of the latest transition."""
        change = self.last_change
        return "" if change is None else ", ".join(filter(None, (change.reason, change.cause)))

    @property
    def monitor(self) -> LatencyMonitor:
        """The window of latencies."""
        return self._breaker.monitor

    @property
    def policy(self) -> BreakerPolicy:
        """When the breaker changes its state."""
        return self._breaker.policy

    # Both are read without the lock: each reads one attribute, and the state may change right afterwards anyway.

    @property
    def state(self) -> State:
        """The state at this moment."""
        return self._breaker.state

    @property
    def is_degraded(self) -> bool:
        """True while calls are kept from the primary."""
        return self._breaker.is_degraded

    @contextmanager
    def _step(self) -> Iterator[float]:
        """Holds the lock around one step of the machine, which gets the time, and reports its changes afterwards."""
        with self._lock:
            # Read under the lock, so that the machine never sees an earlier time after a later one.
            yield self._clock()
            changes = self._breaker.take_changes()
            self.last_change = changes[-1] if changes else self.last_change
        # Without the lock, since an observer may be slow or ask this breaker for its state. Two threads may therefore
        # report their changes in the other order; each carries its old and its new state.
        for change in changes:
            self._on_event(change)
