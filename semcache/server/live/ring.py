"""Counts and latencies of the latest requests, in a fixed number of slots of time.

Slots begin at multiples of their length on the clock of the machine, so that those of several processes can be added.
"""

from array import array
from bisect import bisect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import ceil, log10
from typing import Any

from semcache.events import Reranked

_PER_DECADE = 20
"""Buckets of a histogram to a factor of ten in time: a latency is known to 6 %, which is less than it varies."""
_SHORTEST_S = 1e-4
_DECADES = 6
"""From a tenth of a millisecond, below which no request is answered, to 100 s, after which proxies have given up."""
BUCKETS = _PER_DECADE * _DECADES + 2
"""With one for what is shorter, and one for what is longer."""
NEAREST_EDGES = tuple(round(0.5 + 0.025 * step, 3) for step in range(20))
"""Lower edges of bands of similarity, fine where thresholds lie; below the first one nothing is reused."""
_MOST_DRIFTS = 32
"""Drifts that a slot keeps: their median hardly changes with more."""


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of time that is shown: a number of slots of a length in seconds.

    Each point of a curve is of the ``smooth`` slots that end there: of one alone, quantiles would be of few requests.
    """

    name: str
    slot_s: int
    slots: int
    smooth: int

    @property
    def seconds(self) -> int:
        """The length of the whole."""
        return self.slot_s * self.slots

    def starts(self, now: float) -> list[int]:
        """When each slot begins, the oldest first; the last one is under way."""
        last = int(now // self.slot_s) * self.slot_s
        return [last - before * self.slot_s for before in reversed(range(self.slots))]


# 180 slots each: one to every few pixels of a chart, and a few kilobytes to send.
WINDOWS: Mapping[str, Window] = {
    window.name: window for window in (Window("15m", 5, 180, 12), Window("24h", 480, 180, 2))
}
"""Windows that may be asked for: the last quarter of an hour to watch a change, a day to see when something began."""


class Slot:
    """Everything that happened between ``start`` and the next slot."""

    __slots__ = ("asked", "avoided", "drifts", "nearest", "seconds", "start", "steps", "waiting")

    def __init__(self, start: int) -> None:
        self.start: int = start
        self.asked: int = 0
        self.avoided: int = 0
        self.waiting: int = 0
        self.drifts: list[float] = []
        self.seconds: dict[str, array[int]] = {}
        """Histograms of latencies, by status."""
        self.steps: dict[str, array[int]] = {}
        """Those of what requests waited for: redis and embedding."""
        self.nearest: list[int] = [0] * (len(NEAREST_EDGES) + 1)
        """Look-ups by meaning, by the band of the nearest entry; the first is below all edges."""

    def add(self, event: Reranked, bucket: int) -> None:
        """Count an answered request, whose latency lies in this bucket."""
        _count(self.seconds, event.status, bucket)
        if event.redis_s is not None:
            _count(self.steps, "redis", bucket_of(event.redis_s))
        if event.embedding_s is not None:
            _count(self.steps, "embedding", bucket_of(event.embedding_s))
        if event.nearest is not None:
            self.nearest[bisect(NEAREST_EDGES, event.nearest)] += 1
        self.asked += event.asked
        self.avoided += event.reused + event.skipped
        if event.drift is not None and len(self.drifts) < _MOST_DRIFTS:
            self.drifts.append(event.drift)

    def dump(self) -> dict[str, Any]:
        """Ready for JSON; histograms as pairs of a bucket and its count, without empty ones."""
        return {
            "at": self.start,
            "asked": self.asked,
            "avoided": self.avoided,
            "waiting": self.waiting,
            "drifts": self.drifts,
            "nearest": self.nearest,
            "seconds": _sparse(self.seconds),
            "steps": _sparse(self.steps),
        }


class Ring:
    """The slots of a window. Not locked. ``now`` is the time of day in seconds.

    Memory is bounded by the number of slots: each takes the place of the one that has left the window.
    """

    def __init__(self, window: Window) -> None:
        self._window = window
        self._slots: list[Slot | None] = [None] * window.slots

    def at(self, now: float) -> Slot:
        """The slot of this moment."""
        number = int(now // self._window.slot_s)
        start, place = number * self._window.slot_s, number % self._window.slots
        slot = self._slots[place]
        if slot is None or slot.start != start:
            slot = self._slots[place] = Slot(start)
        return slot

    def dump(self, now: float) -> list[dict[str, Any]]:
        """The slots of the window that ends now, ready for JSON, in no order; those without anything are left out."""
        first, *_, last = self._window.starts(now)
        return [slot.dump() for slot in self._slots if slot is not None and first <= slot.start <= last]


def _count(histograms: dict[str, "array[int]"], name: str, bucket: int) -> None:
    counts = histograms.get(name)
    if counts is None:
        counts = histograms[name] = array("I", bytes(4 * BUCKETS))
    counts[bucket] += 1


def _sparse(histograms: Mapping[str, "array[int]"]) -> dict[str, list[list[int]]]:
    return {
        name: [[bucket, count] for bucket, count in enumerate(counts) if count] for name, counts in histograms.items()
    }


def bucket_of(seconds: float) -> int:
    """The bucket of a histogram in which a latency counts."""
    if seconds < _SHORTEST_S:
        return 0
    return min(int(_PER_DECADE * log10(seconds / _SHORTEST_S)) + 1, BUCKETS - 1)


def quantile_s(histogram: Iterable[Sequence[int]], share: float) -> float | None:
    """The nearest-rank quantile of latencies in seconds, to 6 %; None without any.

    ``histogram`` has pairs of a bucket and its count; a bucket may occur several times.

    Example:
        >>> quantile_s([(bucket_of(0.010), 9), (bucket_of(2.0), 1)], 0.95)
        1.99...
    """
    counts = [0] * BUCKETS
    for bucket, count in histogram:
        counts[bucket] += count
    rank = ceil(share * sum(counts))
    if not rank:
        return None
    reached = next(bucket for bucket, below in enumerate(accumulate(counts)) if below >= rank)
    # The geometric middle of the bucket.
    return float(_SHORTEST_S * 10 ** ((reached - 0.5) / _PER_DECADE))
