"""The events that observers receive, as frozen values.

An observer is called in the thread that the event happened in, which may be a caller's, an event loop's or one of
semcache's own. It should return quickly. All durations are in seconds.
"""

from semcache.events.cache import (
    CacheFailed,
    CacheRecovered,
    CacheUnavailable,
    EntriesEstimated,
    EntryDamaged,
    IndexCreated,
    IndexRefilled,
    NeighboursSkipped,
    OptionIgnored,
    VectorRefused,
)
from semcache.events.migration import MigrationAdvanced, MigrationEnded
from semcache.events.requests import (
    Degraded,
    LeaseAwaited,
    RepairDropped,
    Repaired,
    Reranked,
)
from semcache.events.rerankers import (
    BatchScored,
    BreakerChanged,
    IdentityChanged,
    PipelineOpened,
    RungFailed,
    RungRecovered,
    State,
)
from semcache.events.servers import (
    PrimaryChanged,
    ShardLeftOut,
    ShardRecovered,
    ShardUnavailable,
    TopologyChanged,
)
from semcache.events.trust import (
    AuditDropped,
    PruningChanged,
    PruningMeasured,
    TrustChanged,
    TrustRefused,
)

__all__ = [
    "AuditDropped",
    "BatchScored",
    "BreakerChanged",
    "CacheFailed",
    "CacheRecovered",
    "CacheUnavailable",
    "Degraded",
    "EntriesEstimated",
    "EntryDamaged",
    "Event",
    "IdentityChanged",
    "IndexCreated",
    "IndexRefilled",
    "LeaseAwaited",
    "MigrationAdvanced",
    "MigrationEnded",
    "NeighboursSkipped",
    "OptionIgnored",
    "PipelineOpened",
    "PrimaryChanged",
    "PruningChanged",
    "PruningMeasured",
    "RepairDropped",
    "Repaired",
    "Reranked",
    "RungFailed",
    "RungRecovered",
    "ShardLeftOut",
    "ShardRecovered",
    "ShardUnavailable",
    "State",
    "TopologyChanged",
    "TrustChanged",
    "TrustRefused",
    "VectorRefused",
]

Event = (
    Reranked
    | CacheFailed
    | CacheUnavailable
    | CacheRecovered
    | ShardUnavailable
    | ShardRecovered
    | ShardLeftOut
    | TopologyChanged
    | PrimaryChanged
    | OptionIgnored
    | IndexCreated
    | IndexRefilled
    | NeighboursSkipped
    | EntriesEstimated
    | EntryDamaged
    | VectorRefused
    | LeaseAwaited
    | TrustRefused
    | PipelineOpened
    | RungFailed
    | RungRecovered
    | Degraded
    | BreakerChanged
    | BatchScored
    | TrustChanged
    | PruningChanged
    | PruningMeasured
    | AuditDropped
    | Repaired
    | RepairDropped
    | IdentityChanged
    | MigrationAdvanced
    | MigrationEnded
)
