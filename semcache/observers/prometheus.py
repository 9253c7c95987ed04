"""PrometheusObserver: events as Prometheus metrics. Needs the extra ``prometheus``."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from semcache.errors import ConfigurationError, MissingExtraError
from semcache.events import (
    AuditDropped,
    BatchScored,
    BreakerChanged,
    CacheFailed,
    CacheRecovered,
    CacheUnavailable,
    Degraded,
    EntryDamaged,
    Event,
    IdentityChanged,
    IndexCreated,
    LeaseAwaited,
    NeighboursSkipped,
    OptionIgnored,
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

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

# Buckets. An exact hit takes under a millisecond and a cross-encoder on a CPU seconds, so four orders of magnitude.
_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
# Dense where thresholds are chosen.
_SIMILARITY = (0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.93, 0.95, 0.97, 0.98, 0.99, 1.0)
# Logits of a cross-encoder drift by up to a few units; scores between 0 and 1 by a few hundredths.
_DRIFT = (-8.0, -4.0, -2.0, -1.0, -0.5, -0.1, -0.02, 0.0, 0.02, 0.1, 0.5, 1.0, 2.0, 4.0, 8.0)
# From one interval of the circuit breaker to hours.
_OUTAGES = (0.5, 1.0, 5.0, 30.0, 60.0, 300.0, 1800.0, 7200.0)
_PAIRS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)

# By key in this module: name, description, labels.
_COUNTERS = {
    "requests": ("requests", "Answered requests", ("status", "reason")),
    "pairs": (
        "pairs",
        "(query, document) pairs: asked of a reranker, reused, skipped, or asked of a cheaper one",
        ("source",),
    ),
    "cache_failures": ("cache_failures", "Cache steps that failed; the requests went on", ("step",)),
    "outages": ("cache_outages", "Times that Redis was left alone, since it failed or was slow", ()),
    "options_ignored": ("options_ignored", "Options of the Redis url that were left out", ("option",)),
    "indexes": ("indexes_created", "Vector indexes created", ()),
    "skipped": ("neighbours_skipped", "Neighbours found whose scores had expired", ()),
    "damaged": ("entries_damaged", "Stored scores and vectors that could not be used", ("part", "fault")),
    "shard_outages": ("shard_outages", "Outages of single nodes of a Redis Cluster", ("node",)),
    "shards_left_out": ("shards_left_out", "Reads of several shards that a node did not answer", ("node",)),
    "topology_changes": ("topology_changes", "Changes of the topology of a Redis Cluster", ()),
    "primary_changes": ("primary_changes", "Failovers by Sentinels to another primary", ()),
    "bad_vectors": ("vectors_refused", "Vectors of the embedder that are not finite or not of length 1", ()),
    "refused": ("trust_refused", "Neighbours that a guard did not trust", ("difference",)),
    "trust_changes": ("trust_changes", "Changes of a trust threshold", ("direction",)),
    "prune_changes": ("prune_changes", "Changes of the confidence at which documents are skipped", ("direction",)),
    "identity_changes": ("identity_changes", "Rerankers and embedders found to be others than named", ("reason",)),
    "audits_dropped": ("audits_dropped", "Audits dropped to keep requests fast", ("reason",)),
    "repaired": ("repaired_pairs", "Pairs of degraded requests that were scored in spare time", ()),
    "repairs_dropped": ("repairs_dropped", "Degraded requests that will not be scored later", ("reason",)),
    "rung_failures": ("rung_failures", "Rerankers that raised or gave something unusable", ("reranker",)),
    "degraded": ("degraded", "Requests answered by a lower rung", ("reason", "reranker")),
    # "moves" is older than the name transition; dashboards read it.
    "breaker_moves": ("breaker_moves", "Transitions of the circuit breaker", ("old", "new", "reason")),
}

# By key in this module: name, description. All have the scope as their label: one value per reranker.
_GAUGES = {
    "prune_confidence": ("prune_confidence", "Spreads at which documents are skipped, or would be"),
    "prune_avoided": ("prune_avoided_share", "Share of the pairs that pruning avoids, on requests scored whole"),
    "prune_loss": ("prune_loss", "Mean loss of pruning, on requests scored whole"),
    "prune_loss_high": ("prune_loss_high", "Upper 95 % bound of the mean loss of pruning"),
}

# By key in this module: name, description, labels, buckets.
_HISTOGRAMS = {
    "seconds": ("request_seconds", "Duration of a request", ("status",), _SECONDS),
    "lease_wait": ("lease_wait_seconds", "Wait for another process computing the same", ("outcome",), _SECONDS),
    "similarity": ("similarity", "Cosine of the nearest neighbour used", (), _SIMILARITY),
    "drift": ("drift", "Median drift of a verified reuse, in score units", (), _DRIFT),
    "shard_outage": ("shard_outage_seconds", "How long a node of a Redis Cluster was away", ("node",), _OUTAGES),
    "outage": ("outage_seconds", "How long Redis was away", (), _OUTAGES),
    "rung_outage": ("rung_outage_seconds", "How long a reranker failed", ("reranker",), _OUTAGES),
    "batch_pairs": ("batch_pairs", "Pairs of a batch", ("reranker",), _PAIRS),
    "batch_waited": ("batch_waited_seconds", "Wait of a batch's oldest request", ("reranker",), _SECONDS),
    "batch_service": ("batch_service_seconds", "Time a batch took in the model", ("reranker",), _SECONDS),
}


class PrometheusObserver:
    """Metrics named ``semcache_*`` in ``registry`` (default: prometheus_client's own); every event changes one.

    One observer per registry, shared by every pipeline of the process. A tenant is no label: there may be any number of
    tenants, and every value of a label is a time series of its own. Raises MissingExtraError without prometheus_client,
    and ConfigurationError when the registry has such metrics already.

    Example:
        >>> observer = PrometheusObserver()
        >>> pipeline = OptimizedRerankerPipeline.from_settings(observers=[observer])
    """

    def __init__(self, registry: "CollectorRegistry | None" = None) -> None:
        try:
            import prometheus_client
        except ImportError as error:
            raise MissingExtraError("prometheus_client", "prometheus") from error
        try:
            self._metrics = _metrics(prometheus_client, registry or prometheus_client.REGISTRY)
        except ValueError as error:
            raise ConfigurationError(
                f"this registry has semcache metrics already ({error}); share one PrometheusObserver, "
                "or give each its own CollectorRegistry"
            ) from error
        # A breaker reports only changes, and starts closed.
        self._show_state(State.CLOSED)
        # Events that change a single metric.
        self._recorders: Mapping[type, Callable[[Any], None]] = {
            CacheFailed: lambda event: self._metrics["cache_failures"].labels(event.step).inc(),
            CacheUnavailable: lambda event: self._metrics["outages"].inc(),
            CacheRecovered: lambda event: self._metrics["outage"].observe(event.after_s),
            ShardUnavailable: lambda event: self._metrics["shard_outages"].labels(event.node).inc(),
            ShardRecovered: lambda event: self._metrics["shard_outage"].labels(event.node).observe(event.after_s),
            ShardLeftOut: lambda event: self._metrics["shards_left_out"].labels(event.node).inc(),
            TopologyChanged: lambda event: self._metrics["topology_changes"].inc(),
            PrimaryChanged: lambda event: self._metrics["primary_changes"].inc(),
            OptionIgnored: lambda event: self._metrics["options_ignored"].labels(event.option).inc(),
            IndexCreated: lambda event: self._metrics["indexes"].inc(),
            LeaseAwaited: lambda event: self._metrics["lease_wait"].labels(event.outcome).observe(event.waited_s),
            NeighboursSkipped: lambda event: self._metrics["skipped"].inc(event.count),
            EntryDamaged: lambda event: self._metrics["damaged"].labels(event.part, event.fault).inc(),
            VectorRefused: lambda event: self._metrics["bad_vectors"].inc(),
            TrustRefused: lambda event: self._metrics["refused"].labels(event.difference).inc(),
            TrustChanged: lambda event: (
                self._metrics["trust_changes"].labels("tightened" if event.new > event.old else "relaxed").inc()
            ),
            PruningChanged: lambda event: (
                self._metrics["prune_changes"].labels("tightened" if event.new > event.old else "relaxed").inc()
            ),
            RungFailed: lambda event: self._metrics["rung_failures"].labels(event.reranker).inc(),
            RungRecovered: lambda event: self._metrics["rung_outage"].labels(event.reranker).observe(event.after_s),
            Degraded: lambda event: self._metrics["degraded"].labels(event.reason, event.reranker).inc(),
            IdentityChanged: lambda event: self._metrics["identity_changes"].labels(event.reason).inc(),
            AuditDropped: lambda event: self._metrics["audits_dropped"].labels(event.reason).inc(),
            Repaired: lambda event: self._metrics["repaired"].inc(event.pairs),
            RepairDropped: lambda event: self._metrics["repairs_dropped"].labels(event.reason).inc(),
        }

    def __call__(self, event: Event, /) -> None:
        # No lock: prometheus_client locks each metric.
        match event:
            case Reranked():
                self._metrics["requests"].labels(event.status, event.reason or "").inc()
                self._metrics["seconds"].labels(event.status).observe(event.duration_s)
                self._metrics["pairs"].labels("asked").inc(event.asked)
                self._metrics["pairs"].labels("reused").inc(event.reused)
                self._metrics["pairs"].labels("skipped").inc(event.skipped)
                self._metrics["pairs"].labels("cheap").inc(event.cheap_asked)
                if event.similarity is not None:
                    self._metrics["similarity"].observe(event.similarity)
                if event.drift is not None:
                    self._metrics["drift"].observe(event.drift)
            case BreakerChanged():
                self._metrics["breaker_moves"].labels(event.old, event.new, event.reason).inc()
                # The gauge is of the primary, as dashboards read it; those of lower rungs are counted only.
                if event.is_primary:
                    self._show_state(event.new)
            case BatchScored():
                self._metrics["batch_pairs"].labels(event.reranker).observe(event.pairs)
                self._metrics["batch_waited"].labels(event.reranker).observe(event.waited_s)
                self._metrics["batch_service"].labels(event.reranker).observe(event.service_s)
            case PruningMeasured():
                self._metrics["prune_confidence"].labels(event.scope).set(event.confidence)
                self._metrics["prune_avoided"].labels(event.scope).set(event.avoided)
                self._metrics["prune_loss"].labels(event.scope).set(event.loss)
                self._metrics["prune_loss_high"].labels(event.scope).set(event.loss_high)
            case _:
                self._recorders[type(event)](event)

    def _show_state(self, current: str) -> None:
        # One series per state, 1 for the present one, as Prometheus recommends for an enumeration.
        for state in State:
            self._metrics["breaker"].labels(state.value).set(state.value == current)

    def __repr__(self) -> str:
        return f"<PrometheusObserver of {len(self._metrics)} metrics>"


def _metrics(client: Any, registry: Any) -> dict[str, Any]:
    metrics: dict[str, Any] = {
        "breaker": client.Gauge("semcache_breaker_state", "1 for the breaker's state", ("state",), registry=registry)
    }
    for key, (name, meaning, labels) in _COUNTERS.items():
        metrics[key] = client.Counter(f"semcache_{name}", meaning, labels, registry=registry)
    for key, (name, meaning) in _GAUGES.items():
        metrics[key] = client.Gauge(f"semcache_{name}", meaning, ("scope",), registry=registry)
    for key, (name, meaning, labels, buckets) in _HISTOGRAMS.items():
        metrics[key] = client.Histogram(f"semcache_{name}", meaning, labels, buckets=buckets, registry=registry)
    return metrics
