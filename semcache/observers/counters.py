"""Counters: the observer whose counts ``get_stats`` returns."""

from collections import Counter
from typing import Any

from semcache.events import CacheFailed, Event, IdentityChanged, NeighboursSkipped, Reranked, RungFailed, TrustRefused
from semcache.ranking import Status
from semcache.runtime.forking import ForkSafeLock

HITS = frozenset((Status.EXACT, Status.SEMANTIC, Status.VERIFIED, Status.PARTIAL))
"""A request with one of these statuses is a hit: the cache saved at least a part of the reranker's work."""

# Shown also while they are 0, so that a dashboard finds them from the start.
_ALWAYS_SHOWN = (
    *(
        "pairs_asked",
        "pairs_reused",
        "cache_failures",
        "rung_failures",
        "trust_refused",
        "neighbours_skipped",
        "identity_changes",
    ),
)


class Counters:
    """Counts events. Safe to call from several threads."""

    def __init__(self) -> None:
        # One lock for all counts, so that a snapshot never shows a request without its pairs.
        self._lock = ForkSafeLock()
        self._statuses: Counter[str] = Counter()
        self._reasons: Counter[str] = Counter()
        self._counts: Counter[str] = Counter()

    def __call__(self, event: Event, /) -> None:
        with self._lock:
            match event:
                case Reranked():
                    self._statuses[event.status] += 1
                    if event.reason:
                        self._reasons[event.reason] += 1
                    if event.documents:  # without documents there was nothing to find or to miss
                        self._counts["cache_hits" if event.status in HITS else "cache_misses"] += 1
                    self._counts["pairs_asked"] += event.asked
                    self._counts["pairs_reused"] += event.reused
                case CacheFailed():
                    self._counts["cache_failures"] += 1
                case RungFailed():
                    self._counts["rung_failures"] += 1
                case IdentityChanged():
                    self._counts["identity_changes"] += 1
                case TrustRefused():
                    self._counts["trust_refused"] += 1
                case NeighboursSkipped(count):
                    self._counts["neighbours_skipped"] += count

    def snapshot(self) -> dict[str, Any]:
        """All counts so far; ``hit_rate`` is a text such as ``66.67%``, of the requests that had documents.

        ``pairs_asked`` went to a reranker; ``pairs_reused`` were answered from the cache or skipped thanks to it.
        """
        with self._lock:
            hits, misses = self._counts["cache_hits"], self._counts["cache_misses"]
            return {
                "requests": self._statuses.total(),
                "cache_hits": hits,
                "cache_misses": misses,
                # A text, because get_stats has to return it so for drop-in users.
                "hit_rate": f"{hits / (hits + misses or 1):.2%}",
                "by_status": {status.value: self._statuses[status] for status in Status},
                "by_reason": dict(self._reasons),
                **{name: self._counts[name] for name in _ALWAYS_SHOWN},
            }

    def __repr__(self) -> str:
        counts = self.snapshot()
        return f"<Counters {counts['requests']} requests, {counts['hit_rate']} hits>"
