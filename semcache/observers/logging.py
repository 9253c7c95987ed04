"""LoggingObserver: events as records of the standard logging, under the logger ``semcache``."""

import logging
from collections.abc import Mapping
from dataclasses import fields
from math import inf
from time import monotonic

from semcache.events import (
    BreakerChanged,
    CacheFailed,
    CacheRecovered,
    CacheUnavailable,
    Degraded,
    EntryDamaged,
    Event,
    IdentityChanged,
    IndexCreated,
    IndexRefilled,
    MigrationEnded,
    OptionIgnored,
    PipelineOpened,
    PrimaryChanged,
    PruningChanged,
    PruningMeasured,
    RungFailed,
    RungRecovered,
    ShardRecovered,
    ShardUnavailable,
    State,
    TopologyChanged,
    TrustChanged,
    VectorRefused,
)
from semcache.events.requests import IS_PRIVATE
from semcache.observers.outages import QUIET_S
from semcache.protocols import Clock
from semcache.settings import Settings, settings_of

# WARNING for what an operator may want to act on, INFO for other changes; what ordinary requests cause is DEBUG.
_LEVELS: Mapping[type, int] = {
    CacheUnavailable: logging.WARNING,
    CacheRecovered: logging.INFO,
    ShardUnavailable: logging.WARNING,
    ShardRecovered: logging.INFO,
    TopologyChanged: logging.WARNING,
    PrimaryChanged: logging.WARNING,
    PipelineOpened: logging.INFO,
    IndexCreated: logging.INFO,
    IndexRefilled: logging.INFO,
    MigrationEnded: logging.INFO,
    OptionIgnored: logging.WARNING,
    PruningMeasured: logging.INFO,
    EntryDamaged: logging.WARNING,
    VectorRefused: logging.WARNING,
    RungFailed: logging.WARNING,
    RungRecovered: logging.INFO,
    Degraded: logging.INFO,  # the failure or the breaker behind it has its own warning
}


class LoggingObserver:
    """Logs every event. Handlers and levels are the application's: nothing is configured here.

    The record carries the event's class name as ``semcache_event`` and each field of the event as
    ``semcache_<field>``, for structured logging. The first failure of each cache step in an outage is a WARNING, later
    ones are DEBUG, so that a dead Redis does not fill the log. The outage is over with the recovery, or when the step
    has not failed for a minute. ``pipeline`` is a further field, ``semcache_pipeline``, which tells the pipelines of a
    process apart. No text of a caller and no name of a tenant is logged.
    """

    def __init__(
        self, logger: logging.Logger | None = None, *, pipeline: str | None = None, clock: Clock = monotonic
    ) -> None:
        self._shared = {} if pipeline is None else {"pipeline": pipeline}
        self._logger = logger or logging.getLogger("semcache")
        self._clock = clock
        # When each step failed last in the present outage. Not locked: two threads at once log one warning too many at
        # worst.
        self._failing: dict[str, float] = {}

    @classmethod
    def from_settings(cls, settings: Settings | None = None, logger: logging.Logger | None = None) -> "LoggingObserver":
        """An observer with the name that ``settings`` (None: of environment and YAML) have for the pipeline."""
        return cls(logger, pipeline=settings_of(settings).telemetry.pipeline)

    def __call__(self, event: Event, /) -> None:
        # Before the check, because the level of a later failure depends on this one also where it is not logged.
        level = self._level(event)
        if self._logger.isEnabledFor(level):
            told = {field.name: getattr(event, field.name) for field in fields(event) if field.metadata != IS_PRIVATE}
            values = {**told, **self._shared}
            words: list[str] = []
            for name, value in values.items():
                if isinstance(value, float):
                    words.append(f"{name}={value:.4g}")
                elif isinstance(value, str) and value.split() != [value]:
                    # Quoted, so that a line can be split at its spaces.
                    words.append(f"{name}={value!r}")
                elif value is not None:
                    words.append(f"{name}={value}")
            # Prefixed, because logging refuses fields that a record has itself, such as "name".
            extra = {f"semcache_{name}": value for name, value in values.items()}
            event_name = type(event).__name__
            self._logger.log(level, "%s %s", event_name, " ".join(words), extra={"semcache_event": event_name, **extra})

    def _level(self, event: Event) -> int:
        match event:
            case CacheFailed(step):
                now = self._clock()
                is_first = now - self._failing.get(step, -inf) >= QUIET_S
                self._failing[step] = now
                return logging.WARNING if is_first else logging.DEBUG
            case CacheRecovered():
                self._failing.clear()
            case BreakerChanged(new=new):
                return logging.WARNING if new in (State.OPEN, State.FORCED_OPEN) else logging.INFO
            case IdentityChanged(reason=reason):
                return logging.INFO if reason == "identified" else logging.WARNING
            case TrustChanged(old=old, new=new) | PruningChanged(old=old, new=new):
                return logging.WARNING if new > old else logging.INFO
        return _LEVELS.get(type(event), logging.DEBUG)

    def __repr__(self) -> str:
        return f"<LoggingObserver to {self._logger.name!r}>"
