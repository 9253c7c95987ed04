"""Events of requests: answered, by what, after which wait, and what is made up for later."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

IS_PRIVATE: Mapping[str, Any] = {"is_private": True}
"""Marks a field that no log may have: a text of the caller, or a tenant, whose name may be that of a customer."""


@dataclass(frozen=True, slots=True)
class Reranked:
    """A request was answered. Its fields are those of the ``Ranking``, and what it took.

    The times of the cache and of the embedder are None where they were not asked, or where no time is one request's
    alone: requests of ``rerank_many`` share their round trips. Equal requests in flight share one computation: each
    has its event. Those that waited for another's spent no time on Redis, and sent nothing: pairs count where they were
    sent, and for the others as reused.
    """

    status: str
    reason: str | None
    reranker: str
    tenant: str = field(repr=False, metadata=IS_PRIVATE)  # never part of a line of the log
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
    # The cosine of the nearest entry of another query, however far; None where none was looked for, as of exact hits,
    # and where there is none. ``similarity`` is that of the nearest which was made use of.
    nearest: float | None = None
    redis_s: float | None = None  # that the request waited for Redis, all its round trips together
    embedding_s: float | None = None  # that its query took to embed; of queries embedded together, its share
    # The time that the primary would have taken for the pairs that it was not asked about, by its latest calls; below 0
    # where several rounds took longer than one. None where that is not known, and where a lower rung answered.
    saved_s: float | None = None
    top_k: int = 0  # that the caller asked for
    # The text of the query, only with the setting telemetry.capture_queries; never part of a line of the log.
    query: str | None = field(default=None, repr=False, metadata=IS_PRIVATE)


@dataclass(frozen=True, slots=True)
class LeaseAwaited:
    """A request waited for another process that computed the same."""

    # In one word. answered: the other one's scores are there. released: it gave up or died, and this one computes.
    # timeout: it took longer than a request waits, and this one computes, too.
    outcome: str
    waited_s: float


@dataclass(frozen=True, slots=True)
class Degraded:
    """A request was answered by a lower rung of the ladder."""

    reason: str  # why the primary did not answer, in one word: open, busy, deadline, error
    reranker: str  # the one that answered


@dataclass(frozen=True, slots=True)
class Repaired:
    """A request that a lower rung had answered was scored by the primary in spare time, and is remembered."""

    pairs: int


@dataclass(frozen=True, slots=True)
class RepairDropped:
    """A degraded request will not be scored later."""

    reason: str  # in one word: full (too many wait), error (the primary failed), loop (its event loop has ended)
