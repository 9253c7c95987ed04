"""Sums from which a surrogate is fitted: those of several requests, processes and tenants are added."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from semcache.pruning.features import FEATURES, Features, Floats

VERSION = 3
"""The first number of stored sums. Sums of another version are read as none."""
BANDS = (3, 6, 11, 21, 51)
"""Residuals are summed up by expected rank, in bands that begin at rank 1 and at these ranks."""

_WIDTH = len(FEATURES) + 1
_SQUARE = _WIDTH * _WIDTH
_LAYOUT = {
    "requests": 1,
    "products": _SQUARE,
    "rows": _SQUARE,
    "band_squares": len(BANDS) + 1,
    "band_rows": len(BANDS) + 1,
}
SIZE = sum(_LAYOUT.values())
"""How many float64 numbers the sums are."""


@dataclass(frozen=True, slots=True, eq=False)
class Statistics:
    """Sums over requests that were scored whole: one array of ``SIZE`` float64 numbers.

    Adding the arrays of two statistics is all that merging them takes, so a store may add them number by number.
    """

    sums: Floats

    @classmethod
    def empty(cls) -> Self:
        """Statistics of no requests."""
        return cls(np.zeros(SIZE))

    @classmethod
    def of(
        cls, features: Features, scores: Floats, expected: Floats | None = None, spread: Floats | None = None
    ) -> Self:
        """Statistics of one request, whose documents all have true ``scores`` by this reranker.

        If one of them is not finite, nothing is learned. ``expected`` and ``spread`` are what the surrogate predicted
        of them before; without them, nothing is learned of how far off it is at which expected rank.
        """
        if not len(scores) or not np.isfinite(scores).all():
            return cls.empty()
        columns = np.column_stack([features.values, scores - scores.mean()])
        known = np.append(features.available, True)
        rows = len(scores) * np.outer(known, known)
        squares: Floats = np.zeros(len(BANDS) + 1)
        counts: Floats = np.zeros(len(BANDS) + 1)
        if expected is not None and spread is not None:
            ratio = ((columns[:, -1] - expected + expected.mean()) / spread) ** 2
            band = bands(expected)
            squares = np.bincount(band, ratio, len(BANDS) + 1).astype(float)
            counts = np.bincount(band, minlength=len(BANDS) + 1).astype(float)
        parts = ([1.0], (columns.T @ columns).ravel(), rows.ravel(), squares, counts)
        return cls(np.concatenate([np.asarray(part, dtype=float) for part in parts]))

    def __add__(self, other: "Statistics") -> "Statistics":
        return Statistics(self.sums + other.sums)

    def scaled(self, share: float) -> "Statistics":
        """Statistics that count for ``share`` of what they did: how the past is forgotten."""
        return Statistics(self.sums * share)

    def to_bytes(self) -> bytes:
        """The version and the sums as little-endian float64."""
        return np.concatenate([[float(VERSION)], self.sums]).astype("<f8").tobytes()

    @classmethod
    def from_bytes(cls, stored: bytes) -> Self | None:
        """Statistics from ``to_bytes``; None for those of another version, or damaged ones."""
        if len(stored) != 8 * (SIZE + 1):
            return None
        numbers = np.frombuffer(stored, dtype="<f8").astype(float)
        return cls(numbers[1:]) if numbers[0] == VERSION and np.isfinite(numbers).all() else None

    def part(self, name: str) -> Floats:
        """One part of the sums by its name in the layout."""
        start = 0
        for other, size in _LAYOUT.items():
            if other == name:
                return self.sums[start : start + size]
            start += size
        raise KeyError(name)

    @property
    def feature_shares(self) -> dict[str, float]:
        """By name of a feature, what share of the documents came in requests that had it; without those of share 0."""
        counts = self.part("rows").reshape(_WIDTH, _WIDTH).diagonal()
        total = max(float(counts[-1]), 1e-12)
        return {name: float(count) / total for name, count in zip(FEATURES, counts[:-1], strict=True) if count > 0}

    @property
    def requests(self) -> float:
        """How many requests, less what was forgotten."""
        return float(self.sums[0])


def bands(expected: Floats) -> np.ndarray:
    """The band of each document by its expected rank."""
    ranks = np.empty(len(expected), dtype=np.intp)
    ranks[np.argsort(-expected, kind="stable")] = np.arange(1, len(expected) + 1)
    return np.searchsorted(BANDS, ranks, side="right")
