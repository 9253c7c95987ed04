"""Tells an event to observers, none of which can break the request it is about."""

import logging
from collections.abc import Iterable

from semcache.events import Event
from semcache.protocols import Observer

_logger = logging.getLogger("semcache")
_reported: set[tuple[int, type[Exception]]] = set()


def notify(observers: Iterable[Observer], event: Event) -> None:
    """Tell every observer. What one raises is logged once per observer and kind of error, and the others are told."""
    for observer in observers:
        try:
            observer(event)
        except Exception as error:  # noqa: BLE001 - an observer is the user's code; it is reported, and the request goes on
            _report(observer, event, error)


def _report(observer: Observer, event: Event, error: Exception) -> None:
    # By identity, since an observer need not be hashable. A later one at the same address goes unreported at worst.
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
