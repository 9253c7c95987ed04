"""Counters: the observer whose counts ``get_stats`` returns."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from semcache.events import (
    BatchScored,
    CacheFailed,
    CacheUnavailable,
    EntryDamaged,
    Event,
    IdentityChanged,
    LeaseAwaited,
    NeighboursSkipped,
    Reranked,
    RungFailed,
    ShardLeftOut,
    ShardUnavailable,
    TrustRefused,
    VectorRefused,
)
from semcache.observers.last_errors import LastErrors
from semcache.ranking import Status
from semcache.runtime.forking import ForkSafeLock

HITS = frozenset((Status.EXACT, Status.SEMANTIC, Status.VERIFIED, Status.PARTIAL))
"""A request with one of these statuses is a hit: scores in the cache saved at least a part of the reranker's work.
Of the pruned ones those are hits that this query's own scores helped, as in a repetition."""

# Shown also while they are 0, so that a dashboard finds them from the start.
_COUNTED: Mapping[type, str] = {
    IdentityChanged: "identity_changes",
    TrustRefused: "trust_refused",
    EntryDamaged: "entries_damaged",
    VectorRefused: "vectors_refused",
    LeaseAwaited: "lease_waits",
    ShardUnavailable: "shard_outages",
}
_ALWAYS_SHOWN = (
    "cache_failures",
    "outages",
    "rung_failures",
    "neighbours_skipped",
    "shards_left_out",
    *_COUNTED.values(),
)


class Counters:
    """Counts events, and keeps the latest errors. Safe to call from several threads."""

    def __init__(self) -> None:
        self._errors = LastErrors()
        # One lock for all counts, so that a snapshot never shows a request without its pairs.
        self._lock = ForkSafeLock()
        self._statuses: Counter[str] = Counter()
        self._empty: Counter[str] = Counter()
        """Those of the above without documents: there was nothing to find or to miss."""
        self._asked = self._reused = self._skipped = self._cheap = self._pruned_hits = 0
        self._call_costs: dict[str, tuple[float, float]] = {}
        """The seconds that a call of each reranker takes, and each of its pairs."""
        self._saved_s = 0.0
        self._reasons: Counter[str] = Counter()
        self._counts: Counter[str] = Counter()

    def __call__(self, event: Event, /) -> None:
        with self._lock:
            match event:
                case Reranked():
                    self._count(event)
                case BatchScored(reranker, fixed_s=float(fixed_s), per_pair_s=float(per_pair_s)):
                    self._call_costs[reranker] = fixed_s, per_pair_s
                case CacheFailed():
                    self._errors(event)
                    self._counts["cache_failures"] += 1
                case CacheUnavailable():
                    self._errors(event)
                    self._counts["outages"] += 1
                case RungFailed():
                    self._errors(event)
                    self._counts["rung_failures"] += 1
                case NeighboursSkipped(count):
                    self._counts["neighbours_skipped"] += count
                case ShardLeftOut():
                    self._counts["shards_left_out"] += event.reads
                case _ if (name := _COUNTED.get(type(event))) is not None:
                    self._counts[name] += 1

    def _count(self, event: Reranked) -> None:
        self._statuses[event.status] += 1
        if event.reason:
            self._reasons[event.reason] += 1
        if event.status == Status.PRUNED and event.reused:
            self._pruned_hits += 1
        if not event.documents:
            self._empty[event.status] += 1
        self._asked += event.asked
        self._reused += event.reused
        self._skipped += event.skipped
        self._cheap += event.cheap_asked
        self._saved_s += event.saved_s or 0.0

    def call_cost(self, reranker: str) -> tuple[float, float] | None:
        """Seconds that a call of this reranker takes whatever is asked, and for each pair; None if that is not known.

        They come with ``BatchScored``, which rerankers with a queue of their own tell of.
        """
        # Not locked: every request asks, and a look-up in a dictionary is atomic.
        return self._call_costs.get(reranker)

    def snapshot(self) -> dict[str, Any]:
        """All counts so far; ``hit_rate`` is a text such as ``66.67%``, of the requests that had documents.

        ``pairs_asked`` went to a reranker; ``pairs_reused`` were answered from the cache or skipped thanks to it;
        ``pairs_skipped`` were neither known nor asked about, by what earlier scores taught; ``pairs_cheap_asked`` went
        to a cheaper reranker that helps to tell. ``saved_s`` is about what the reranker would have taken for the pairs
        that it was not asked about, in seconds.
        ``last_error`` is that of the cache, of the embedder, and of each reranker, see LastErrors.
        """
        with self._lock:
            hits = sum(self._statuses[status] - self._empty[status] for status in HITS) + self._pruned_hits
            misses = self._statuses.total() - self._empty.total() - hits
            return {
                "requests": self._statuses.total(),
                "cache_hits": hits,
                "cache_misses": misses,
                # A text, because get_stats has to return it so for drop-in users.
                "hit_rate": f"{hits / (hits + misses or 1):.2%}",
                "by_status": {status.value: self._statuses[status] for status in Status},
                "by_reason": dict(self._reasons),
                "pairs_asked": self._asked,
                "pairs_reused": self._reused,
                "pairs_skipped": self._skipped,
                "pairs_cheap_asked": self._cheap,
                "saved_s": round(self._saved_s, 6),
                **{name: self._counts[name] for name in _ALWAYS_SHOWN},
                "last_error": self._errors.snapshot(),
            }

    def __repr__(self) -> str:
        counts = self.snapshot()
        return f"<Counters {counts['requests']} requests, {counts['hit_rate']} hits>"
