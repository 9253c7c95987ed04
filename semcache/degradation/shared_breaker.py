"""A breaker that threads share: with the lock, clock, chance and observers that the machine itself lacks."""

from collections.abc import Callable
from threading import Lock
from typing import TypeVar

from semcache.batching.jobs import Served
from semcache.degradation.breaker import Breaker, Ticket
from semcache.errors import InvalidInputError
from semcache.events import Event, State
from semcache.protocols import Clock

T = TypeVar("T")


class SharedBreaker:
    """Every method is one step of the machine under the lock; observers are told after it is released."""

    def __init__(
        self, breaker: Breaker, clock: Clock, rng: Callable[[], float], on_event: Callable[[Event], None]
    ) -> None:
        self._breaker = breaker
        self._clock = clock
        self._rng = rng
        self._on_event = on_event
        self._lock = Lock()

    def admit(self) -> Ticket | None:
        """A ticket for the primary, or None: leave it alone."""
        return self._step(lambda now: self._breaker.admit(now, self._rng()))

    def settle(self, ticket: Ticket, served: Served) -> None:
        """Bring a ticket back with what became of its call."""
        self._step(lambda now: self._settle(ticket, served, now))

    def cancel(self, ticket: Ticket) -> None:
        """Bring a ticket back unused."""
        self._step(lambda now: self._breaker.cancel(ticket))

    def force_open(self) -> None:
        self._step(self._breaker.force_open)

    def disable(self) -> None:
        self._step(self._breaker.disable)

    def reset(self) -> None:
        self._step(self._breaker.reset)

    @property
    def state(self) -> State:
        return self._breaker.state

    @property
    def is_degraded(self) -> bool:
        return self._breaker.is_degraded

    def _settle(self, ticket: Ticket, served: Served, now: float) -> None:
        if isinstance(served.error, InvalidInputError):
            self._breaker.cancel(ticket)  # the caller's mistake says nothing about the primary
        elif served.error is not None:
            self._breaker.record_error(ticket, now, self._rng())
        elif served.service_s is not None:
            self._breaker.record(ticket, served.service_s, now, pairs=served.pairs, jitter=self._rng())
        else:
            self._breaker.cancel(ticket)

    def _step(self, step: Callable[[float], T]) -> T:
        with self._lock:
            result = step(self._clock())
            changes = self._breaker.take_changes()
        for change in changes:
            self._on_event(change)
        return result
