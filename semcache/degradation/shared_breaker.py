"""A circuit breaker that threads share: adds the lock, the clock, the jitter and the observers to the state machine."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock

from semcache.batching.jobs import Served
from semcache.degradation.breaker import Breaker, Ticket
from semcache.errors import InvalidInputError
from semcache.events import Event, State
from semcache.protocols import Clock
from semcache.runtime.forking import renew_in_child


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
        self._lock = Lock()
        """Guards the machine and its monitor. No other lock is taken while it is held: the clock, the random numbers
        and the machine take none, and observers are called after it is released."""
        renew_in_child(self)

    def after_fork_in_child(self) -> None:
        """Take back the probe that the parent sent out: its result comes to the parent alone."""
        self._lock = Lock()
        self._breaker.forget_probe()

    def admit(self) -> Ticket | None:
        """A ticket for one call of the primary, or None: call another reranker."""
        with self._step() as now:
            return self._breaker.admit(now, self._rng())

    def settle(self, ticket: Ticket, served: Served) -> None:
        """Bring a ticket back with the result of its call, in the primary's worker thread or in the caller's."""
        with self._step() as now:
            # An input that cannot be scored is the caller's mistake and says nothing about the primary.
            if served.error is not None and not isinstance(served.error, InvalidInputError):
                self._breaker.record_error(ticket, now, self._rng())
            elif served.service_s is not None:
                self._breaker.record(ticket, served.service_s, now, pairs=served.pairs, jitter=self._rng())
            else:
                self._breaker.cancel(ticket)

    def cancel(self, ticket: Ticket) -> None:
        """Bring a ticket back unused."""
        with self._step():
            self._breaker.cancel(ticket)

    def force_open(self) -> None:
        """Admit no call until ``reset``."""
        with self._step() as now:
            self._breaker.force_open(now)

    def disable(self) -> None:
        """Admit every call until ``reset``."""
        with self._step() as now:
            self._breaker.disable(now)

    def reset(self) -> None:
        """Close the breaker, with an empty window."""
        with self._step() as now:
            self._breaker.reset(now)

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
        # Without the lock, since an observer may be slow or ask this breaker for its state. Two threads may therefore
        # report their changes in the other order; each carries its old and its new state.
        for change in changes:
            self._on_event(change)
