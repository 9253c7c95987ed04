"""The values that labels of metrics may have: every label is bounded, and its values are known before they occur."""

from collections.abc import Iterable
from itertools import product

from semcache.events import State
from semcache.ranking import Status

OTHER = "other"
"""Stands for every value that is not listed, so that no code of a caller can make more and more time series."""

STATUSES: tuple[str, ...] = tuple(Status)
DEGRADED: tuple[str, ...] = ("open", "busy", "deadline", "error")
"""Why a lower rung answered: ``reason`` of ``Degraded``."""
BLANK = "blank"
"""Why no reranker was asked: the query was blank. Parts for other libraries take one, and keep the order."""
_STOPPED = ("budget", "rounds")
_BY_ROUNDS: tuple[str, ...] = (Status.VERIFIED, Status.PRUNED, Status.PARTIAL, Status.FRESH)

REQUESTS: tuple[tuple[str, str], ...] = (
    *((status, "") for status in STATUSES if status != Status.DEGRADED),
    *product(_BY_ROUNDS, _STOPPED),
    *((Status.DEGRADED.value, reason) for reason in (*DEGRADED, BLANK)),
)
"""Status and reason of answered requests."""

PAIRS = ("asked", "reused", "skipped", "cheap")

STEPS = (
    *("ReadExact", "ReadVector", "FindNeighbours", "ReadDocumentVectors", "Remember", "Embed", "ScoreCheaply"),
    *("AwaitScores", "RenewLease", "EndLease"),
    *("Connect", "Topology", "Discard", "Identity", "Quality", "Learn", "EmbedDocuments", "Breaker"),
    *("Migration", "Refill"),
)
"""``step`` of ``CacheFailed``: steps of requests, then what no request waits for."""

_ANYWHERE = ("TimeoutError", "ConnectionError", "OSError", "MemoryError", "RuntimeError", "ValueError", "TypeError")
ERRORS: tuple[tuple[str, str], ...] = (
    *product(
        ("redis",),
        (
            *("StoreUnavailableError", "StoreLeftAloneError", "StoreTooSlowError", "TransientStoreError", "StoreError"),
            *("IndexMismatchError", "TimeoutError", "ConnectionError", OTHER),
        ),
    ),
    *product(("embedder",), ("EmbedderError", "DeadlineExceededError", *_ANYWHERE, OTHER)),
    *product(
        ("reranker",), ("RerankerError", "RerankServiceError", "RerankerHungError", "QueueFullError", *_ANYWHERE, OTHER)
    ),
)
"""The part that failed, and the class of its error."""

DAMAGES: tuple[tuple[str, str], ...] = tuple(
    product(("scores", "vector"), ("version", "size", "layout", "check", "number", "reply"))
)
"""``part`` and ``fault`` of ``EntryDamaged``."""

DIFFERENCES = (
    *("negation", "number", "date", "unit", "code", "scope", "question", "word", "quote", "person", "modal"),
    *("relation", "opposite", "place", "character", "length", "order", "format", "similarity"),
)
"""``difference`` of ``TrustRefused`` by the guards of the package; a guard of a caller may have others."""

LEASES = ("answered", "released", "timeout")
SIGNS = ("negative", "positive")
DIRECTIONS = ("tightened", "relaxed")
IDENTITIES = ("different", "failed", "uninformative", "unrepeatable", "identified")
AUDITS_DROPPED = ("queue", "busy", "degraded", "awaited", "closed", "error", *("open", "deadline"))
MIGRATIONS = ("moved", "cleaned")
REPAIRS_DROPPED = ("full", "error", "loop")
STATES: tuple[str, ...] = tuple(State)

_CLOSED, _OPEN, _HALF_OPEN = State.CLOSED.value, State.OPEN.value, State.HALF_OPEN.value
TRANSITIONS: tuple[tuple[str, str, str], ...] = (
    *product((_CLOSED,), (_OPEN,), ("slow", "slow in a row", "errors", "hung")),
    (_OPEN, _HALF_OPEN, "open time over"),
    (_HALF_OPEN, _CLOSED, "probes fast"),
    *product((_HALF_OPEN,), (_OPEN,), ("probe slow", "probe failed", "probe lost", "hung")),
    *((old, State.FORCED_OPEN.value, "forced") for old in STATES if old != State.FORCED_OPEN),
    *((old, State.DISABLED.value, "disabled") for old in STATES if old != State.DISABLED),
    *((old, _CLOSED, "reset") for old in STATES if old != _CLOSED),
)
"""``old``, ``new`` and ``reason`` of ``BreakerChanged``, as ``degradation/transitions.py`` has them."""


def single(values: Iterable[str]) -> tuple[tuple[str], ...]:
    """The values of a metric's only label."""
    return tuple((value,) for value in values)
