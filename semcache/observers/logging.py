"""LoggingObserver: events as records of the standard logging, under the logger ``semcache``."""

import logging
from collections.abc import Mapping
from dataclasses import fields

from semcache.events import (
    BreakerChanged,
    CacheFailed,
    CacheRecovered,
    Degraded,
    Event,
    IndexCreated,
    RungFailed,
    TrustChanged,
)

_LEVELS: Mapping[type, int] = {
    CacheRecovered: logging.INFO,
    IndexCreated: logging.INFO,
    RungFailed: logging.WARNING,
    Degraded: logging.INFO,
}
"""What happens on ordinary requests is DEBUG; what an operator may want to act on is WARNING."""


class LoggingObserver:
    """Logs every event. Handlers and levels are the application's: nothing is configured here.

    The record carries ``semcache_event`` and each field of the event as ``semcache_<field>``, for structured logging.
    The first cache failure of a kind in an outage is a WARNING, those after it until the recovery are DEBUG, so that a
    dead Redis does not fill the log.
    """

    def __init__(self, logger: logging.Logger | None = None) -> None:
        self._logger = logger or logging.getLogger("semcache")
        self._failing: set[str] = set()

    def __call__(self, event: Event, /) -> None:
        level = self._level(event)
        if self._logger.isEnabledFor(level):
            values = {field.name: getattr(event, field.name) for field in fields(event)}
            said = " ".join(f"{name}={_shown(value)}" for name, value in values.items() if value is not None)
            # Prefixed, since logging refuses fields that a record has itself, such as "name".
            extra = {f"semcache_{name}": value for name, value in values.items()}
            self._logger.log(
                level, "%s %s", type(event).__name__, said, extra={"semcache_event": type(event).__name__, **extra}
            )

    def _level(self, event: Event) -> int:
        match event:
            case CacheFailed(step):
                return self._level_of_failure(step)
            case CacheRecovered():
                self._failing.clear()
            case BreakerChanged(new=new):
                return logging.WARNING if new in ("open", "forced-open") else logging.INFO
            case TrustChanged(old=old, new=new):
                return logging.WARNING if new > old else logging.INFO
        return _LEVELS.get(type(event), logging.DEBUG)

    def _level_of_failure(self, step: str) -> int:
        if step in self._failing:
            return logging.DEBUG
        self._failing.add(step)
        return logging.WARNING

    def __repr__(self) -> str:
        return f"<LoggingObserver to {self._logger.name!r}>"


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return repr(value) if isinstance(value, str) and (not value or any(map(str.isspace, value))) else str(value)
