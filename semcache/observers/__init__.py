"""Observers of events: counters, log lines, metrics and spans; ``dispatch`` hands events to them.

An observer is any callable that takes one event; ``semcache.events`` lists them all:

    pipeline      PipelineOpened
    request       Reranked, Degraded, Repaired, RepairDropped
    cache         CacheFailed, CacheUnavailable, CacheRecovered, OptionIgnored, IndexCreated, IndexRefilled,
                  NeighboursSkipped,
                  EntriesEstimated, EntryDamaged, VectorRefused, LeaseAwaited
    Redis Cluster ShardUnavailable, ShardRecovered, ShardLeftOut, TopologyChanged
    Sentinel      PrimaryChanged
    migration     MigrationAdvanced, MigrationEnded
    trust         TrustRefused, TrustChanged, AuditDropped
    pruning       PruningChanged, PruningMeasured
    rerankers     RungFailed, RungRecovered, BreakerChanged, BatchScored, IdentityChanged

Example:
    >>> pipeline = OptimizedRerankerPipeline.from_settings(observers=[LoggingObserver(), print])
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from semcache.observers.dispatch import checked_observers, notify

if TYPE_CHECKING:
    from semcache.observers.counters import Counters
    from semcache.observers.json_lines import JsonFormatter
    from semcache.observers.last_errors import LastErrors
    from semcache.observers.logging import LoggingObserver
    from semcache.observers.opentelemetry import OpenTelemetryObserver
    from semcache.observers.outages import OutageLog
    from semcache.observers.prometheus import PrometheusObserver
    from semcache.observers.summary import SummaryLog

__all__ = [
    "Counters",
    "JsonFormatter",
    "LastErrors",
    "LoggingObserver",
    "OpenTelemetryObserver",
    "OutageLog",
    "PrometheusObserver",
    "SummaryLog",
    "checked_observers",
    "notify",
]

# Imported when first used: every room that emits events imports this package for ``notify`` alone.
_SINKS = {
    "Counters": "counters",
    "JsonFormatter": "json_lines",
    "LastErrors": "last_errors",
    "LoggingObserver": "logging",
    "OpenTelemetryObserver": "opentelemetry",
    "OutageLog": "outages",
    "PrometheusObserver": "prometheus",
    "SummaryLog": "summary",
}

# Not for type checkers, which would take every misspelt name for one of the package.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        if name not in _SINKS:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"{__name__}.{_SINKS[name]}"), name)
