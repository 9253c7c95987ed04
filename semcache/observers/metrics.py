"""The metrics that ``PrometheusObserver`` keeps: what each is called, means and counts in, and which labels it has.

Every metric has the labels ``namespace`` and ``pipeline`` before its own. Names follow Prometheus' conventions: base
units, the unit as the ending, ``_total`` for counters.
"""

from dataclasses import dataclass
from typing import Literal

from semcache.observers import labels

Kind = Literal["counter", "gauge", "histogram"]

PREFIX = "semcache_"
PIPELINE_LABELS = ("namespace", "pipeline")

# An exact hit takes a fraction of a millisecond and a cross-encoder on a CPU seconds, so four orders of magnitude.
_SECONDS = (0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
# From one round trip to a server on the same machine to a budget (redis.budget_s) that was set high.
_REDIS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)
# Dense where thresholds are chosen; below that, by tenths, to see what lies under the reuse threshold.
_SIMILARITY = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.93, 0.95, 0.97, 0.98, 0.99, 1.0)
# Logits of a cross-encoder drift by up to a few units; scores between 0 and 1 by a few hundredths. Without negative
# ones: a histogram with these has no sum, and OpenMetrics does not allow it.
_DRIFT = (0.02, 0.1, 0.5, 1.0, 2.0, 4.0, 8.0)
# From one interval of the circuit breaker to hours.
_OUTAGES = (0.5, 1.0, 5.0, 30.0, 60.0, 300.0, 1800.0, 7200.0)
_PAIRS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0)


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric. ``values`` are the values of its own labels that it has from the start, as a row per time series.

    A label whose values are not listed there (names of rerankers, of nodes) has at most 32, and then ``other``.
    ``mode`` is how the gauges of several processes become one: see prometheus_client's ``multiprocess_mode``.
    """

    name: str
    kind: Kind
    meaning: str
    labels: tuple[str, ...] = ()
    values: tuple[tuple[str, ...], ...] = ()
    unit: str = ""
    buckets: tuple[float, ...] = ()
    mode: Literal["livesum", "livemin", "livemax", "livemostrecent"] = "livemostrecent"


def _counter(
    name: str,
    meaning: str,
    names: tuple[str, ...] = (),
    values: tuple[tuple[str, ...], ...] = (),
    unit: str = "",
) -> Metric:
    return Metric(f"{PREFIX}{name}_total", "counter", meaning, names, values, unit)


def _seconds(
    name: str,
    meaning: str,
    names: tuple[str, ...] = (),
    values: tuple[tuple[str, ...], ...] = (),
    buckets: tuple[float, ...] = _SECONDS,
) -> Metric:
    return Metric(f"{PREFIX}{name}_seconds", "histogram", meaning, names, values, "seconds", buckets)


def _ratio(name: str, meaning: str) -> Metric:
    return Metric(f"{PREFIX}{name}_ratio", "gauge", meaning, ("scope",), unit="ratio")


_BY_STATUS = labels.single(labels.STATUSES)

REQUESTS = _counter(
    "requests",
    "Answered requests, by where their scores came from and, if they are degraded or were cut short, why",
    ("status", "reason"),
    labels.REQUESTS,
    "requests",
)
REQUEST_DURATION = _seconds("request_duration", "Duration of a request as its caller saw it", ("status",), _BY_STATUS)
REDIS_WAIT = _seconds(
    "redis_wait",
    "Time that a request waited for Redis, all its round trips together; requests of rerank_many are left out",
    ("status",),
    _BY_STATUS,
    _REDIS,
)
LEASE_WAIT = _seconds(
    "lease_wait",
    "Wait of a request for another process that computes the same, by how it ended",
    ("outcome",),
    labels.single(labels.LEASES),
)
EMBEDDING = _seconds("embedding_duration", "Time that the query of a request took to embed, where it was embedded")
PAIRS = _counter(
    "pairs",
    "(query, document) pairs: asked of a reranker, reused from the cache, skipped by what earlier scores taught, or "
    "asked of a cheaper reranker",
    ("source",),
    labels.single(labels.PAIRS),
    "pairs",
)
SAVED = _counter(
    "saved_seconds",
    "About the time of the primary reranker for the pairs that it was not asked about, by what its calls take",
    unit="seconds",
)
NEAREST = Metric(
    f"{PREFIX}nearest_similarity",
    "histogram",
    "Cosine of the nearest entry of another query, on every look-up by meaning, misses included",
    ("status",),
    labels.single(status for status in labels.STATUSES if status != "exact"),
    "cosine",
    _SIMILARITY,
)
DRIFT = Metric(
    f"{PREFIX}drift",
    "histogram",
    "Magnitude of the median of fresh minus cached score, of requests that scored documents of a near query anew",
    ("sign",),
    labels.single(labels.SIGNS),
    unit="score units",
    buckets=_DRIFT,
)
CACHE_FAILURES = _counter(
    "cache_failures", "Cache steps that failed; the requests went on", ("step",), labels.single(labels.STEPS), "steps"
)
ERRORS = _counter(
    "errors",
    "Failures of Redis, of the embedder and of rerankers, by the class of the error",
    ("part", "error"),
    labels.ERRORS,
    "errors",
)
REDIS_UP = Metric(
    f"{PREFIX}redis_up",
    "gauge",
    "1 while Redis is used, 0 while it is left alone because it failed or is slow; the lowest of all processes",
    mode="livemin",
)
REDIS_OUTAGES = _counter("redis_outages", "Times that Redis was left alone, since it failed or was slow")
REDIS_OUTAGE = _seconds("redis_outage", "How long Redis was away", buckets=_OUTAGES)
ENTRIES = Metric(
    f"{PREFIX}entries",
    "gauge",
    "About the entries in the Redis database: half of its keys, read with a search once a minute; keys of other "
    "programs count, too",
    unit="entries",
)
OPTIONS_IGNORED = _counter("options_ignored", "Options of the Redis url that were left out", ("option",))
INDEXES = _counter("index_creations", "Vector indexes created, at first or after they had vanished", unit="indexes")
INDEXES_REFILLED = _counter(
    "index_refills", "Indexes that had vanished, and hold all their entries again", unit="indexes"
)
MIGRATION_PAGES = _counter(
    "migration_pages", "Pages of the entries of a former embedder that were looked at", unit="pages"
)
MIGRATIONS = _counter(
    "migrations_ended",
    "Runs that moved the entries of a former embedder, or removed them",
    ("outcome",),
    labels.single(labels.MIGRATIONS),
)
NEIGHBOURS_SKIPPED = _counter("neighbours_skipped", "Neighbours found whose scores had expired", unit="neighbours")
DAMAGED = _counter(
    "entries_damaged",
    "Stored scores and vectors that could not be used, and were removed",
    ("part", "fault"),
    labels.DAMAGES,
)
SHARD_OUTAGES = _counter("shard_outages", "Outages of single nodes of a Redis Cluster", ("node",))
SHARD_OUTAGE = _seconds("shard_outage", "How long a node of a Redis Cluster was away", ("node",), buckets=_OUTAGES)
SHARDS_LEFT_OUT = _counter("shards_left_out", "Reads of several shards that a node did not answer", ("node",))
TOPOLOGY_CHANGES = _counter("topology_changes", "Changes of the topology of a Redis Cluster")
PRIMARY_CHANGES = _counter("primary_changes", "Failovers by Sentinels to another primary")
VECTORS_REFUSED = _counter("vectors_refused", "Vectors of the embedder that are not finite or not of length 1")
TRUST_REFUSED = _counter(
    "trust_refused",
    "Neighbours similar enough that a guard did not trust, by the difference that it saw",
    ("difference",),
    labels.single(labels.DIFFERENCES),
)
TRUST_CHANGES = _counter(
    "trust_changes", "Changes of a trust threshold", ("direction",), labels.single(labels.DIRECTIONS)
)
PRUNE_CHANGES = _counter(
    "prune_changes",
    "Changes of the confidence at which documents are skipped",
    ("direction",),
    labels.single(labels.DIRECTIONS),
)
PRUNE_CONFIDENCE = Metric(
    f"{PREFIX}prune_confidence",
    "gauge",
    "Spreads of the expected score at which documents are skipped, or would be",
    ("scope",),
)
PRUNE_AVOIDED = _ratio("prune_avoided", "Share of the pairs that pruning avoids, or would, on requests scored whole")
PRUNE_LOSS = _ratio("prune_loss", "Mean loss (1 - nDCG) of pruning, or that it would have, on requests scored whole")
PRUNE_LOSS_HIGH = _ratio("prune_loss_high", "Upper 95 % bound of the mean loss of pruning")
IDENTITY_CHANGES = _counter(
    "identity_changes",
    "Rerankers and embedders found to be others than named, or that cannot be told apart",
    ("reason",),
    labels.single(labels.IDENTITIES),
)
AUDITS_DROPPED = _counter(
    "audits_dropped", "Audits dropped to keep requests fast", ("reason",), labels.single(labels.AUDITS_DROPPED)
)
REPAIRED = _counter("repaired_pairs", "Pairs of degraded requests that were scored in spare time", unit="pairs")
REPAIRS_DROPPED = _counter(
    "repairs_dropped",
    "Degraded requests that will not be scored later",
    ("reason",),
    labels.single(labels.REPAIRS_DROPPED),
    "requests",
)
RUNG_FAILURES = _counter("rung_failures", "Rerankers that raised or gave something unusable", ("reranker",))
RUNG_OUTAGE = _seconds("rung_outage", "How long a reranker failed", ("reranker",), buckets=_OUTAGES)
DEGRADED = _counter(
    "degraded",
    "Requests answered by a lower rung, by why the primary did not answer and who did",
    ("reason", "reranker"),
    unit="requests",
)
BREAKER_STATE = Metric(
    f"{PREFIX}breaker_state",
    "gauge",
    "1 for the present state of the primary's circuit breaker, 0 for the others; of several processes, how many are in "
    "that state",
    ("state",),
    labels.single(labels.STATES),
    "processes",
    mode="livesum",
)
BREAKER_TRANSITIONS = _counter(
    "breaker_transitions",
    "Transitions of the circuit breakers of all rungs",
    ("old", "new", "reason"),
    labels.TRANSITIONS,
)
BATCH_PAIRS = Metric(
    f"{PREFIX}batch_pairs", "histogram", "Distinct pairs of a batch", ("reranker",), unit="pairs", buckets=_PAIRS
)
BATCH_WAIT = _seconds("batch_wait", "Wait of the request of a batch that waited longest", ("reranker",))
BATCH_SERVICE = _seconds("batch_service", "Time that a batch took in the model or service", ("reranker",))
QUEUE = Metric(
    f"{PREFIX}queue_pairs",
    "gauge",
    "Pairs that wait for the reranker, each time that a batch is over",
    ("reranker",),
    unit="pairs",
    mode="livesum",
)
BUILD_INFO = Metric(
    f"{PREFIX}build_info",
    "gauge",
    "Always 1; the versions of semcache, Python and RedisVL",
    ("version", "python", "redisvl"),
    mode="livemax",
)

METRICS: tuple[Metric, ...] = tuple(value for value in list(globals().values()) if isinstance(value, Metric))
"""All of them, in the order of this module."""


def metric_table() -> str:
    """All metrics as a table in Markdown: name, type, own labels, unit, meaning."""
    lines = ["| metric | type | labels | unit | meaning |", "|---|---|---|---|---|"]
    for metric in METRICS:
        own = ", ".join(f"`{label}`" for label in metric.labels)
        lines.append(f"| `{metric.name}` | {metric.kind} | {own} | {metric.unit} | {metric.meaning} |")
    return "\n".join(lines) + "\n"
