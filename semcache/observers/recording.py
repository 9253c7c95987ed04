"""Which event changes which metric, whatever keeps the metrics."""

import platform
from collections.abc import Callable, Mapping
from importlib import metadata
from typing import Any

from semcache.events import (
    AuditDropped,
    BatchScored,
    BreakerChanged,
    CacheFailed,
    CacheRecovered,
    CacheUnavailable,
    Degraded,
    EntriesEstimated,
    EntryDamaged,
    Event,
    IdentityChanged,
    IndexCreated,
    IndexRefilled,
    LeaseAwaited,
    MigrationAdvanced,
    MigrationEnded,
    NeighboursSkipped,
    OptionIgnored,
    PipelineOpened,
    PrimaryChanged,
    PruningChanged,
    PruningMeasured,
    RepairDropped,
    Repaired,
    Reranked,
    RungFailed,
    RungRecovered,
    ShardLeftOut,
    ShardRecovered,
    ShardUnavailable,
    State,
    TopologyChanged,
    TrustChanged,
    TrustRefused,
    VectorRefused,
)
from semcache.observers import labels, metrics
from semcache.observers.families import Family
from semcache.observers.last_errors import EMBED
from semcache.observers.metrics import Metric


class Recording:
    """Keeps the metrics of one pipeline in ``families``, by the metric's name; every event changes one of them.

    Has no lock: each time series has its own.
    """

    def __init__(self, families: Mapping[str, Family]) -> None:
        self._families = families
        # The gauges tell of changes alone, so the state at the beginning is shown now.
        self._states: dict[str, float] = {State.CLOSED: 1.0}
        self._is_up = True
        self.show_gauges()

    def __call__(self, event: Event, /) -> None:
        _RECORDS[type(event)](self, event)

    def show_gauges(self) -> None:
        """Set the gauges to the present state."""
        for state in State:
            # One series per state, as Prometheus recommends for an enumeration.
            self.of(metrics.BREAKER_STATE, state.value).set(self._states.get(state, 0.0))
        self.of(metrics.REDIS_UP).set(float(self._is_up))
        self.of(metrics.BUILD_INFO, *_versions()).set(1)

    def of(self, metric: Metric, *values: str) -> Any:
        """The time series of this pipeline with these values of the metric's own labels."""
        return self._families[metric.name].of(*values)

    def _reranked(self, event: Reranked) -> None:
        status = event.status
        self.of(metrics.REQUESTS, status, event.reason or "").inc()
        self.of(metrics.REQUEST_DURATION, status).observe(event.duration_s)
        for source, pairs in zip(
            labels.PAIRS, (event.asked, event.reused, event.skipped, event.cheap_asked), strict=True
        ):
            if pairs:
                self.of(metrics.PAIRS, source).inc(pairs)
        if event.redis_s is not None:
            self.of(metrics.REDIS_WAIT, status).observe(event.redis_s)
        if event.embedding_s is not None:
            self.of(metrics.EMBEDDING).observe(event.embedding_s)
        if event.saved_s is not None and event.saved_s > 0:  # a counter never falls
            self.of(metrics.SAVED).inc(event.saved_s)
        if event.nearest is not None:
            self.of(metrics.NEAREST, status).observe(event.nearest)
        if event.drift is not None:
            self.of(metrics.DRIFT, labels.SIGNS[event.drift >= 0]).observe(abs(event.drift))

    def _cache_failed(self, event: CacheFailed) -> None:
        self.of(metrics.CACHE_FAILURES, event.step).inc()
        self.of(metrics.ERRORS, "embedder" if event.step == EMBED else "redis", event.error_class).inc()

    def _rung_failed(self, event: RungFailed) -> None:
        self.of(metrics.RUNG_FAILURES, event.reranker).inc()
        self.of(metrics.ERRORS, "reranker", event.error_class).inc()

    def _cache_unavailable(self, event: CacheUnavailable) -> None:
        self.of(metrics.REDIS_OUTAGES).inc()
        self._set_up(False)

    def _cache_recovered(self, event: CacheRecovered) -> None:
        self.of(metrics.REDIS_OUTAGE).observe(event.after_s)
        self._set_up(True)

    def _set_up(self, is_up: bool) -> None:
        self._is_up = is_up
        self.of(metrics.REDIS_UP).set(float(is_up))

    def _breaker_changed(self, event: BreakerChanged) -> None:
        self.of(metrics.BREAKER_TRANSITIONS, event.old, event.new, event.reason).inc()
        # The gauge is of the primary, as dashboards read it; those of lower rungs are counted only.
        if event.is_primary:
            self._states = {event.new: 1.0}
            for state in State:
                self.of(metrics.BREAKER_STATE, state.value).set(float(state == event.new))

    def _batch_scored(self, event: BatchScored) -> None:
        self.of(metrics.BATCH_PAIRS, event.reranker).observe(event.pairs)
        self.of(metrics.BATCH_WAIT, event.reranker).observe(event.waited_s)
        self.of(metrics.BATCH_SERVICE, event.reranker).observe(event.service_s)
        self.of(metrics.QUEUE, event.reranker).set(event.queued)

    def _pruning_measured(self, event: PruningMeasured) -> None:
        self.of(metrics.PRUNE_CONFIDENCE, event.scope).set(event.confidence)
        self.of(metrics.PRUNE_AVOIDED, event.scope).set(event.avoided)
        self.of(metrics.PRUNE_LOSS, event.scope).set(event.loss)
        self.of(metrics.PRUNE_LOSS_HIGH, event.scope).set(event.loss_high)

    def _pipeline_opened(self, event: PipelineOpened) -> None:
        """Make the time series of each reranker, so that they are there before anything is told of it."""
        for metric in metrics.METRICS:
            if metric.labels == ("reranker",):
                for reranker in event.rerankers:
                    self.of(metric, reranker)
        for reranker in event.rerankers[1:]:
            for reason in labels.DEGRADED:
                self.of(metrics.DEGRADED, reason, reranker)


Record = Callable[[Recording, Any], None]


def _counts(metric: Metric, *fields: str) -> Record:
    return lambda observer, event: observer.of(metric, *(getattr(event, field) for field in fields)).inc()


def _adds(metric: Metric, field: str, *labels: str) -> Record:
    return lambda observer, event: observer.of(metric, *(getattr(event, label) for label in labels)).inc(
        getattr(event, field)
    )


def _observes_outage(metric: Metric, *fields: str) -> Record:
    return lambda observer, event: observer.of(metric, *(getattr(event, field) for field in fields)).observe(
        event.after_s
    )


def _observes_wait(metric: Metric, field: str) -> Record:
    return lambda observer, event: observer.of(metric, getattr(event, field)).observe(event.waited_s)


def _moves(metric: Metric) -> Record:
    return lambda observer, event: observer.of(metric, "tightened" if event.new > event.old else "relaxed").inc()


_RECORDS: Mapping[type, Record] = {
    Reranked: Recording._reranked,
    PipelineOpened: Recording._pipeline_opened,
    CacheFailed: Recording._cache_failed,
    CacheUnavailable: Recording._cache_unavailable,
    CacheRecovered: Recording._cache_recovered,
    RungFailed: Recording._rung_failed,
    BreakerChanged: Recording._breaker_changed,
    BatchScored: Recording._batch_scored,
    PruningMeasured: Recording._pruning_measured,
    EntriesEstimated: lambda observer, event: observer.of(metrics.ENTRIES).set(event.entries),
    ShardUnavailable: _counts(metrics.SHARD_OUTAGES, "node"),
    ShardRecovered: _observes_outage(metrics.SHARD_OUTAGE, "node"),
    ShardLeftOut: _adds(metrics.SHARDS_LEFT_OUT, "reads", "node"),
    TopologyChanged: _counts(metrics.TOPOLOGY_CHANGES),
    PrimaryChanged: _counts(metrics.PRIMARY_CHANGES),
    OptionIgnored: _counts(metrics.OPTIONS_IGNORED, "option"),
    IndexCreated: _counts(metrics.INDEXES),
    IndexRefilled: _counts(metrics.INDEXES_REFILLED),
    LeaseAwaited: _observes_wait(metrics.LEASE_WAIT, "outcome"),
    MigrationAdvanced: _counts(metrics.MIGRATION_PAGES),
    MigrationEnded: _counts(metrics.MIGRATIONS, "outcome"),
    NeighboursSkipped: _adds(metrics.NEIGHBOURS_SKIPPED, "count"),
    EntryDamaged: _counts(metrics.DAMAGED, "part", "fault"),
    VectorRefused: _counts(metrics.VECTORS_REFUSED),
    TrustRefused: _counts(metrics.TRUST_REFUSED, "difference"),
    TrustChanged: _moves(metrics.TRUST_CHANGES),
    PruningChanged: _moves(metrics.PRUNE_CHANGES),
    RungRecovered: _observes_outage(metrics.RUNG_OUTAGE, "reranker"),
    Degraded: _counts(metrics.DEGRADED, "reason", "reranker"),
    IdentityChanged: _counts(metrics.IDENTITY_CHANGES, "reason"),
    AuditDropped: _counts(metrics.AUDITS_DROPPED, "reason"),
    Repaired: _adds(metrics.REPAIRED, "pairs"),
    RepairDropped: _counts(metrics.REPAIRS_DROPPED, "reason"),
}
"""The change that each kind of event makes."""


def _versions() -> tuple[str, str, str]:
    return metadata.version("redis-semcache"), platform.python_version(), metadata.version("redisvl")
