"""Hands an event to observers, none of which can break the request that the event is about."""

import logging
from collections.abc import Iterable

from semcache.errors import ConfigurationError, described
from semcache.events import Event
from semcache.protocols import Observer

_logger = logging.getLogger("semcache")
# Not locked: two threads that find the same fault at once both report it, which does no harm.
_reported: set[tuple[int, type[Exception]]] = set()


def checked_observers(observers: object) -> tuple[Observer, ...]:
    """The observers of a constructor. Raises ConfigurationError unless they are a list of callables."""
    if isinstance(observers, Iterable) and not isinstance(observers, str | bytes):
        listed = tuple(observers)
        if all(map(callable, listed)):
            return listed
    raise ConfigurationError(f"observers is {described(observers)}; give a list of callables that take one event")


def notify(observers: Iterable[Observer], event: Event) -> None:
    """Call every observer, in order.

    An exception of an observer is logged once per observer and class of exception, and the next observer is called.
    Interrupts (KeyboardInterrupt and the like) are raised.
    """
    for observer in observers:
        try:
            observer(event)
        except Exception as error:  # an observer is the user's code; it is reported, and the request goes on
            # By identity, since an observer need not be hashable. One made later at the same address may go unreported.
            fault = (id(observer), type(error))
            if fault not in _reported:
                _reported.add(fault)
                _logger.error(
                    "observer %r raised on %s and will not be reported for %s again",
                    observer,
                    type(event).__name__,
                    type(error).__name__,
                    exc_info=error,
                )
