"""Events of rerankers: failures, circuit breakers, batches, identities."""

from dataclasses import dataclass
from enum import StrEnum

from semcache.events.failure import Failure


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
class PipelineOpened:
    """A pipeline was set up, and requests may come."""

    rerankers: tuple[str, ...]  # the ladder, best first, with the retriever's order as its end
    embedder: str
    namespace: str


@dataclass(frozen=True, slots=True)
class RungFailed(Failure):
    """A reranker raised, or returned something unusable. The next one was asked, or the caller got the error."""

    reranker: str
    error: str  # class and message


@dataclass(frozen=True, slots=True)
class RungRecovered:
    """A reranker of the ladder answers again."""

    reranker: str
    after_s: float  # since its first failure


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
    queued: int = 0  # pairs that wait for the reranker's next calls, now that this one is over
    # The time of a call whatever is asked, and of each pair beside that: learned from the latest calls.
    fixed_s: float | None = None
    per_pair_s: float | None = None


@dataclass(frozen=True, slots=True)
class IdentityChanged:
    """A reranker's scores, or an embedder's vectors, belong to another scope than was to be expected from the name."""

    name: str
    scope: str  # where they go from now on
    # In one word. different: it does not answer the probes as the first one of this name did. failed, uninformative and
    # unrepeatable: its answers cannot tell it from others. identified: they can, after it had failed.
    reason: str
    detail: str  # what was seen, and what to do
