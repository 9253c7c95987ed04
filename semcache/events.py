"""What happened, as frozen values; observers are told them in the thread where they happened."""

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """States of the circuit breaker of a reranker; see ``degradation/breaker.py`` for what each one admits."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"
    FORCED_OPEN = "forced-open"
    DISABLED = "disabled"


@dataclass(frozen=True, slots=True)
class Reranked:
    """A request was answered. Duration covers the whole call, in seconds."""

    status: str
    reason: str | None
    reranker: str
    tenant: str
    documents: int
    asked: int
    reused: int
    rounds: int
    similarity: float | None
    drift: float | None
    duration_s: float


@dataclass(frozen=True, slots=True)
class CacheFailed:
    """A step of the cache failed; the request went on as if there were no cache. ``step`` is the step's name."""

    step: str
    error: str


@dataclass(frozen=True, slots=True)
class CacheRecovered:
    """Redis answers again after it was left alone for a while."""

    after_s: float


@dataclass(frozen=True, slots=True)
class IndexCreated:
    """A vector index was created, or made again after it had vanished."""

    name: str


@dataclass(frozen=True, slots=True)
class NeighboursSkipped:
    """Neighbours were found whose scores had already expired."""

    count: int


@dataclass(frozen=True, slots=True)
class TrustRefused:
    """A neighbour similar enough to be trusted was only verified, because a guard saw a difference."""

    difference: str
    similarity: float


@dataclass(frozen=True, slots=True)
class RungFailed:
    """A reranker of the ladder raised, or answered with something unusable; the next one was asked."""

    reranker: str
    error: str


@dataclass(frozen=True, slots=True)
class Degraded:
    """A request was answered by a lower rung. ``reason`` is one word: open, busy, deadline, error."""

    reason: str
    reranker: str


@dataclass(frozen=True, slots=True)
class BreakerChanged:
    """The breaker went from one state to another; p95 is in seconds, None while there are too few samples."""

    old: str
    new: str
    reason: str
    p95_s: float | None


@dataclass(frozen=True, slots=True)
class BatchScored:
    """A batch went through a model."""

    reranker: str
    pairs: int
    requests: int
    waited_s: float
    service_s: float


@dataclass(frozen=True, slots=True)
class TrustChanged:
    """The trust threshold of a scope was tightened or relaxed by what its reuses were seen to cost."""

    scope: str
    old: float
    new: float
    reason: str


@dataclass(frozen=True, slots=True)
class AuditDropped:
    """A trusted hit chosen for an audit was not audited, because audits may not slow requests."""

    reason: str


Event = (
    Reranked
    | CacheFailed
    | CacheRecovered
    | IndexCreated
    | NeighboursSkipped
    | TrustRefused
    | RungFailed
    | Degraded
    | BreakerChanged
    | BatchScored
    | TrustChanged
    | AuditDropped
)
