"""Events of what may be reused and skipped: guards, thresholds, and what was measured for them."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TrustRefused:
    """A neighbour similar enough to be trusted was only verified, because a guard saw a difference."""

    difference: str  # one word from the guard, such as negation
    similarity: float


@dataclass(frozen=True, slots=True)
class TrustChanged:
    """The trust threshold of a scope was raised or lowered by what reuse was seen to cost."""

    scope: str  # namespace/reranker
    old: float  # infinite: no near query was trusted
    new: float
    reason: str


@dataclass(frozen=True, slots=True)
class AuditDropped:
    """A trusted hit chosen for an audit was not audited, mostly because audits must not slow requests."""

    reason: str  # one word, such as busy or error


@dataclass(frozen=True, slots=True)
class PruningChanged:
    """The confidence at which documents of a scope are skipped was changed by what skipping was seen to cost."""

    scope: str  # namespace/reranker
    old: float  # in spreads; infinite: nothing was skipped
    new: float
    reason: str


@dataclass(frozen=True, slots=True)
class PruningMeasured:
    """Savings and cost of pruning, from the requests of a scope that were scored whole; at most once a minute."""

    scope: str  # namespace/reranker
    confidence: float  # in spreads: the one in force, or that of the settings while nothing is skipped
    requests: int  # that were scored whole lately
    avoided: float  # share of their pairs that would not have been asked
    loss: float  # mean, from 0 to 1
    loss_low: float  # with loss_high, its 95 % bounds
    loss_high: float
