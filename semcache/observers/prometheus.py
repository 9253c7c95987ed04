"""PrometheusObserver: events as Prometheus metrics. Needs the extra ``prometheus``."""

import platform
from collections.abc import Callable, Mapping
from importlib import metadata
from threading import Lock
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from semcache.errors import ConfigurationError, MissingExtraError
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
from semcache.observers.families import Family, families
from semcache.observers.last_errors import EMBED
from semcache.observers.metrics import Metric
from semcache.runtime.forking import renew_in_child
from semcache.settings import Settings, settings_of

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

_in_use: "WeakValueDictionary[tuple[int, str, str], PrometheusObserver]" = WeakValueDictionary()
"""The observers that live, by registry, namespace and pipeline."""
_making = Lock()


class PrometheusObserver:
    """Metrics named ``semcache_*`` in ``registry`` (default: prometheus_client's own); every event changes one.

    One observer per pipeline. Its time series have the labels ``namespace`` and ``pipeline``, so that the gauges of
    several pipelines of a process stand side by side; ``semcache.observers.metrics`` lists all metrics. The values of
    labels are bounded, and all that are known beforehand are there from the start, as 0. A tenant is no label: there
    may be any number of tenants.

    Raises MissingExtraError without prometheus_client, and ConfigurationError when another observer that is in use has
    the same registry, namespace and pipeline, or the registry has other metrics of these names.

    Example:
        >>> observer = PrometheusObserver(namespace="docs", pipeline="search")
        >>> pipeline = OptimizedRerankerPipeline.from_settings(observers=[observer])
    """

    def __init__(
        self, registry: "CollectorRegistry | None" = None, *, namespace: str = "default", pipeline: str = "default"
    ) -> None:
        try:
            import prometheus_client
        except ImportError as error:
            raise MissingExtraError("prometheus_client", "prometheus") from error
        self._where = namespace, pipeline
        # Kept, so that no other registry can have its identity while this observer lives.
        self._registry = registry = registry or prometheus_client.REGISTRY
        # Two threads that open a pipeline each would register the metrics twice.
        with _making:
            key = (id(registry), *self._where)
            if key in _in_use:
                raise ConfigurationError(
                    f"pipeline {pipeline!r} of namespace {namespace!r} has a PrometheusObserver in this registry; give "
                    "each pipeline a name of its own (setting telemetry.pipeline)"
                )
            self._families: Mapping[str, Family] = families(prometheus_client, registry, namespace, pipeline)
            _in_use[key] = self
        # The gauges tell of changes alone, so the state at the beginning is shown now.
        self._states: dict[str, float] = {State.CLOSED: 1.0}
        self._is_up = True
        self._show_gauges()
        self._is_forked = False
        renew_in_child(self)

    @classmethod
    def from_settings(
        cls, settings: Settings | None = None, registry: "CollectorRegistry | None" = None
    ) -> "PrometheusObserver":
        """An observer with the names that ``settings`` (None: of environment and YAML) have for the pipeline."""
        settings = settings_of(settings)
        return cls(registry, namespace=settings.cache.namespace, pipeline=settings.telemetry.pipeline)

    def __call__(self, event: Event, /) -> None:
        # No lock: prometheus_client locks each time series.
        if self._is_forked:
            self._is_forked = False
            self._show_gauges()
        _RECORDS[type(event)](self, event)

    def after_fork_in_child(self) -> None:
        """Show the gauges again with the next event: where each process has files of its own, they begin at 0."""
        self._is_forked = True

    def _show_gauges(self) -> None:
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

    def __repr__(self) -> str:
        namespace, pipeline = self._where
        return f"<PrometheusObserver of {pipeline!r} in {namespace!r}>"


Record = Callable[[PrometheusObserver, Any], None]


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
    Reranked: PrometheusObserver._reranked,
    PipelineOpened: PrometheusObserver._pipeline_opened,
    CacheFailed: PrometheusObserver._cache_failed,
    CacheUnavailable: PrometheusObserver._cache_unavailable,
    CacheRecovered: PrometheusObserver._cache_recovered,
    RungFailed: PrometheusObserver._rung_failed,
    BreakerChanged: PrometheusObserver._breaker_changed,
    BatchScored: PrometheusObserver._batch_scored,
    PruningMeasured: PrometheusObserver._pruning_measured,
    EntriesEstimated: lambda observer, event: observer.of(metrics.ENTRIES).set(event.entries),
    ShardUnavailable: _counts(metrics.SHARD_OUTAGES, "node"),
    ShardRecovered: _observes_outage(metrics.SHARD_OUTAGE, "node"),
    ShardLeftOut: _adds(metrics.SHARDS_LEFT_OUT, "reads", "node"),
    TopologyChanged: _counts(metrics.TOPOLOGY_CHANGES),
    PrimaryChanged: _counts(metrics.PRIMARY_CHANGES),
    OptionIgnored: _counts(metrics.OPTIONS_IGNORED, "option"),
    IndexCreated: _counts(metrics.INDEXES),
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
"""What each kind of event changes."""


def _versions() -> tuple[str, str, str]:
    return metadata.version("redis-semcache"), platform.python_version(), metadata.version("redisvl")
