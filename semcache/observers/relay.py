"""Relay: tells events of a connection to those who share it, some of whom come later than the connection."""

from collections.abc import Sequence
from weakref import WeakMethod

from semcache.events import Event
from semcache.observers.dispatch import notify
from semcache.protocols import Observer


class Relay:
    """An observer that tells others; ``later`` is one more, which is set when it exists.

    Example:
        >>> relay = Relay(observers)
        >>> backend = Backend(RedisConnection(url, on_event=relay))
        >>> relay.later = WeakMethod(backend.users.on_connection_event)
    """

    def __init__(self, observers: Sequence[Observer]) -> None:
        self._observers = observers
        # Weak: its owner holds the connection, which holds this.
        self.later: WeakMethod[Observer] | None = None

    def __call__(self, event: Event, /) -> None:
        later = None if self.later is None else self.later()
        notify(self._observers if later is None else (*self._observers, later), event)

    def __repr__(self) -> str:
        return f"<Relay to {len(self._observers)} observers>"
