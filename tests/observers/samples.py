"""One event of every kind."""

from typing import Any, get_args

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
    TopologyChanged,
    TrustChanged,
    TrustRefused,
    VectorRefused,
)


def reranked(status: str = "fresh", **changed: Any) -> Reranked:
    """A request with ten documents."""
    values: dict[str, Any] = {
        "status": status,
        "reason": None,
        "reranker": "ce",
        "tenant": "acme",
        "documents": 10,
        "asked": 10,
        "reused": 0,
        "rounds": 1,
        "similarity": None,
        "drift": None,
        "duration_s": 0.5,
    }
    return Reranked(**values | changed)


# What a request found and took, and what it saved, in seconds.
TOOK = {"nearest": 0.83, "redis_s": 0.002, "embedding_s": 0.004, "saved_s": 0.25}

ONE_OF_EACH: list[Event] = [
    IndexRefilled("semcache:docs:abc", 50_000),
    MigrationAdvanced("semcache:docs:abc", 1000, 990, 980),
    MigrationEnded("semcache:docs:abc", "moved", 10),
    reranked("verified", asked=4, reused=5, skipped=1, cheap_asked=6, similarity=0.83, drift=-1.5, **TOOK),
    CacheFailed("FindNeighbours", "TimeoutError: 0.25 s"),
    CacheUnavailable("Redis at h:1 did not answer in time"),
    CacheRecovered(3.0),
    ShardUnavailable("h:2", "Redis at h:2 did not answer in time"),
    ShardRecovered("h:2", 2.0),
    ShardLeftOut("h:2", "StoreLeftAloneError: left alone"),
    TopologyChanged(3, 5461, 0),
    PrimaryChanged("h:1", "h:2"),
    OptionIgnored("decode_responses", "replies are bytes"),
    IndexCreated("semcache:default:abc"),
    EntriesEstimated(1200),
    NeighboursSkipped(2),
    EntryDamaged("3kQ9", "scores", "check"),
    LeaseAwaited("answered", 0.25),
    VectorRefused(0.0),
    TrustRefused("negation", 0.98),
    PipelineOpened(("ce", "embedding", "retrieval-order"), "words", "default"),
    RungFailed("ce", "RuntimeError: out of memory"),
    RungRecovered("ce", 7.5),
    Degraded("open", "embedding"),
    BreakerChanged("closed", "open", "slow", 2.5),
    BatchScored("ce", 30, 3, 0.01, 0.4, 12, 0.01, 0.013),
    TrustChanged("default", 0.97, 0.98, "loss"),
    PruningChanged("default/ce", 1.5, 2.0, "loss"),
    PruningMeasured("default/ce", 1.5, 300, 0.38, 0.0004, 0.0, 0.006),
    AuditDropped("busy"),
    Repaired(30),
    RepairDropped("full"),
    IdentityChanged("score", "score#1~2", "different", "score does not answer the probes as the first one did"),
]

assert {type(event) for event in ONE_OF_EACH} == set(get_args(Event)), "a new kind of event needs a sample"
