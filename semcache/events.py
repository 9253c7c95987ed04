"""The events that observers receive, as frozen values.

An observer is called in the thread that the event happened in, which may be a caller's, an event loop's or one of
semcache's own. It should return quickly. All durations are in seconds.
"""

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """States of the circuit breaker of a reranker; see ``degradation/breaker.py`` for what each one admits.

    It stands here because events carry it and observers show it; both rooms lie below the breaker's.
    """

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"
    FORCED_OPEN = "forced-open"
    DISABLED = "disabled"


@dataclass(frozen=True, slots=True)
class Reranked:
    """A request was answered. Its fields are those of the ``Ranking``."""

    status: str
    reason: str | None
    reranker: str
    tenant: str
    documents: int  # that the caller sent
    asked: int  # pairs sent to a reranker
    reused: int  # pairs answered from the cache or skipped thanks to it
    rounds: int
    similarity: float | None
    drift: float | None  # median, in score units
    duration_s: float  # of the whole call
    why: str = ""  # the status is no better
    skipped: int = 0  # pairs that were neither known nor asked about, by what earlier scores taught
    cheap_asked: int = 0  # pairs sent to a cheaper reranker, which says what need not be asked (prune.cascade)


@dataclass(frozen=True, slots=True)
class CacheFailed:
    """A step of the cache failed; the request went on as if there were no cache."""

    # Name of the step's class, such as ReadExact, or of what no request waits for: Connect, Topology, Quality, Learn.
    step: str
    error: str  # class and message


@dataclass(frozen=True, slots=True)
class CacheUnavailable:
    """Redis is left alone from now on, since it failed or is slow: once per outage.

    Until ``CacheRecovered`` requests go on without the cache. Of the steps that a request leaves out, the first is a
    ``CacheFailed``.
    """

    error: str  # message


@dataclass(frozen=True, slots=True)
class CacheRecovered:
    """Redis answers again: its circuit breaker has closed."""

    after_s: float  # since the failure that opened it


@dataclass(frozen=True, slots=True)
class ShardUnavailable:
    """A node of a Redis Cluster is left alone from now on, since it failed or is slow: once per outage of that node.

    Until ``ShardRecovered``, or until a replica has its place, what it holds is unknown.
    """

    node: str  # host:port
    error: str  # message


@dataclass(frozen=True, slots=True)
class ShardRecovered:
    """A node of a Redis Cluster answers again."""

    node: str
    after_s: float  # since the failure


@dataclass(frozen=True, slots=True)
class ShardLeftOut:
    """A read of several shards of a Redis Cluster was answered without one of them: what it knows is missing."""

    node: str
    error: str  # class and message


@dataclass(frozen=True, slots=True)
class TopologyChanged:
    """Slots of a Redis Cluster have other primaries now, after a failover or while it is resharded."""

    shards: int  # primaries that serve slots
    moved: int  # slots with another primary than before
    unserved: int  # slots without any


@dataclass(frozen=True, slots=True)
class PrimaryChanged:
    """The Sentinels name another primary than before: a failover. Addresses are ``host:port``."""

    before: str
    primary: str


@dataclass(frozen=True, slots=True)
class OptionIgnored:
    """An option of the Redis url was left out at the set-up, because semcache decides it itself."""

    option: str
    instead: str  # what holds instead, or which setting to use


@dataclass(frozen=True, slots=True)
class IndexCreated:
    """A vector index was created, or created again after it had vanished."""

    name: str


@dataclass(frozen=True, slots=True)
class NeighboursSkipped:
    """Neighbours were found in the index whose scores had already expired."""

    count: int


@dataclass(frozen=True, slots=True)
class EntryDamaged:
    """A part of an entry could not be used. It counts as unknown, and was removed, so that it is written anew."""

    entry: str  # its id; empty where a reply of the server could not be read at all
    part: str  # scores or vector
    # In one word. version: of another format. size: more than an entry may hold. layout: cut off. check: changed, or
    # another entry's, or not signed with our key. number: not finite. reply: not the reply to what was asked.
    fault: str


@dataclass(frozen=True, slots=True)
class VectorRefused:
    """A vector of the embedder was neither stored nor searched by, since it would hide others from searches."""

    length: float  # 1 is right; NaN or infinite where one of its numbers is


@dataclass(frozen=True, slots=True)
class TrustRefused:
    """A neighbour similar enough to be trusted was only verified, because a guard saw a difference."""

    difference: str  # one word from the guard, such as negation
    similarity: float


@dataclass(frozen=True, slots=True)
class RungFailed:
    """A reranker raised, or returned something unusable. The next one was asked, or the caller got the error."""

    reranker: str
    error: str  # class and message


@dataclass(frozen=True, slots=True)
class RungRecovered:
    """A reranker of the ladder answers again."""

    reranker: str
    after_s: float  # since its first failure


@dataclass(frozen=True, slots=True)
class Degraded:
    """A request was answered by a lower rung of the ladder."""

    reason: str  # why the primary did not answer, in one word: open, busy, deadline, error
    reranker: str  # the one that answered


@dataclass(frozen=True, slots=True)
class BreakerChanged:
    """The circuit breaker of a reranker went from one state to another; the rest is the evidence at that moment."""

    old: str
    new: str
    reason: str
    p95_s: float | None  # None while there are too few samples
    reranker: str = ""
    samples: int = 0  # latencies in the window
    slow: int = 0  # of these, above the threshold
    errors: int = 0  # in a row
    cause: str = ""  # the latency or error that was too much, or what an operator gave as the reason
    is_primary: bool = True  # False for the breaker of a lower rung


@dataclass(frozen=True, slots=True)
class BatchScored:
    """A batch of pairs was scored by a reranker."""

    reranker: str
    pairs: int  # distinct ones
    requests: int
    waited_s: float  # of the request that waited longest
    service_s: float  # in the model


@dataclass(frozen=True, slots=True)
class TrustChanged:
    """The trust threshold of a scope was raised or lowered by what reuse was seen to cost."""

    scope: str  # namespace/reranker
    old: float  # infinite: no near query was trusted
    new: float
    reason: str


@dataclass(frozen=True, slots=True)
class PruningChanged:
    """The confidence at which documents of a scope are skipped was changed by what skipping was seen to cost."""

    scope: str  # namespace/reranker
    old: float  # in spreads; infinite: nothing was skipped
    new: float
    reason: str


@dataclass(frozen=True, slots=True)
class PruningMeasured:
    """What pruning saves and costs, from the requests of a scope that were scored whole; at most once a minute."""

    scope: str  # namespace/reranker
    confidence: float  # in spreads: the one in force, or that of the settings while nothing is skipped
    requests: int  # that were scored whole lately
    avoided: float  # share of their pairs that would not have been asked
    loss: float  # mean, from 0 to 1
    loss_low: float  # with loss_high, its 95 % bounds
    loss_high: float


@dataclass(frozen=True, slots=True)
class AuditDropped:
    """A trusted hit chosen for an audit was not audited, mostly because audits must not slow requests."""

    reason: str  # one word, such as busy or error


@dataclass(frozen=True, slots=True)
class Repaired:
    """A request that a lower rung had answered was scored by the primary in spare time, and is remembered."""

    pairs: int


@dataclass(frozen=True, slots=True)
class RepairDropped:
    """A degraded request will not be scored later."""

    reason: str  # in one word: full (too many wait), error (the primary failed), loop (its event loop has ended)


@dataclass(frozen=True, slots=True)
class IdentityChanged:
    """A reranker's scores, or an embedder's vectors, belong to another scope than was to be expected from the name."""

    name: str
    scope: str  # where they go from now on
    # In one word. different: it does not answer the probes as the first one of this name did. failed, uninformative and
    # unrepeatable: its answers cannot tell it from others. identified: they can, after it had failed.
    reason: str
    detail: str  # what was seen, and what to do


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
    | NeighboursSkipped
    | EntryDamaged
    | VectorRefused
    | TrustRefused
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
)
