"""What a reuse of scores cost, measured against fresh ones, and what many of them amount to.

One observation compares the cached with the fresh scores of the same documents for one query. Observations are kept by
band of similarity, as counts and sums only, so that those of several processes add up.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from semcache.quality import sequential_test
from semcache.quality.sequential_test import Counts

Floats = NDArray[np.float64]

CUT = 10
"""Places that count in a loss; what most callers show or pass on."""

EXACT = "exact"
_EDGES = (0.995, 0.99, 0.98, 0.97, 0.96, 0.95, 0.9, 0.8, 0.7, 0.6)
BANDS = (EXACT, *map(str, _EDGES), "below")
"""Bands by their least similarity, the nearest first; ``exact`` is the same query again."""
GROUPS = {"exact": (EXACT,), "near": BANDS[1:7], "far": BANDS[7:]}
"""Bands that age together. Trust is in the near ones: they must not age with what is seen a hundred times as often."""

_DISCOUNTS = 1 / np.log2(np.arange(2, CUT + 2))
# Six to a factor of ten, from far below any noise to far above any logit.
_DRIFT_EDGES = np.logspace(-4, 3, 43)
DRIFT_BINS = len(_DRIFT_EDGES) + 1


def band_of(similarity: float) -> str:
    """The band of a near query."""
    return next((str(edge) for edge in _EDGES if similarity >= edge), BANDS[-1])


def bands_from(threshold: float) -> tuple[str, ...]:
    """Bands of near queries that reach above a threshold; one in which it lies counts whole."""
    uppers = (np.inf, *_EDGES)
    return tuple(band for band, upper in zip(BANDS[1:], uppers, strict=True) if upper > threshold)


def order_loss(cached: ArrayLike, fresh: ArrayLike, worst: float = np.inf) -> float:
    """What the cached order loses against the fresh one, from 0 (nothing) to 1 (the best is last).

    ``1 - sum(gain x discount(cached place)) / sum(gain x discount(fresh place))``: nDCG of the first 10 places, with
    ``discount(r) = 1 / log2(r + 2)`` for places r = 0 .. 9, 0 after them, and as gain the fresh score on a scale from 0
    for the worst of these documents to 1 for the best; ``worst`` is the score of the worst candidate where these are
    only the best of many. Documents of equal cached score share the mean of their places
    (McSherry and Najork 2008). No loss where all fresh scores are equal.

    Gains by score, not by place, because a place says nothing about how much is lost. Mean loss on TREC DL 2019 (50
    candidates, a MiniLM cross-encoder), with gains by place in brackets: a second look with the noise of an int8 model,
    0.13, 0.002 (0.024); near queries above 0.97 0.006 (0.04), 0.95 to 0.97 0.012 (0.07), 0.8 to 0.9 0.05 (0.20);
    another model's scores 0.13 (0.47); an order by chance 0.43 (0.83).
    """
    cached, fresh = np.asarray(cached, dtype=float), np.asarray(fresh, dtype=float)
    gains = fresh - min(worst, fresh.min())
    best = gains @ _discounts(fresh)
    return float(np.clip(1 - gains @ _discounts(cached) / best, 0.0, 1.0)) if best > 0 else 0.0


def _discounts(scores: Floats) -> Floats:
    """The discount of each document's place, the mean of the places where scores are equal."""
    by_place = np.zeros(len(scores))
    by_place[:CUT] = _DISCOUNTS[: len(scores)]
    _, group, size = np.unique(-scores, return_inverse=True, return_counts=True)
    group = group.ravel()
    places = np.argsort(-scores, kind="stable")
    return np.asarray((np.bincount(group[places], by_place) / size)[group], dtype=float)


def top_overlap(cached: ArrayLike, fresh: ArrayLike) -> float:
    """Share of the best min(10, documents) by fresh score that are among as many best by cached score."""
    best = [
        set(np.argsort(-np.asarray(scores, dtype=float), kind="stable")[:CUT].tolist()) for scores in (cached, fresh)
    ]
    return len(best[0] & best[1]) / max(len(best[0]), 1)


@dataclass(frozen=True, slots=True, eq=False)
class Observation:
    """Cached and fresh scores of the same documents for one query; ``band`` says how near the cached query was.

    ``worst`` is the fresh score, known or expected, of the worst candidate.
    """

    band: str
    cached: Floats
    fresh: Floats
    worst: float = np.inf

    @property
    def group(self) -> str:
        """The name of the group of bands that this ages with."""
        return next(name for name, bands in GROUPS.items() if self.band in bands)

    def increments(self) -> dict[str, float]:
        """What this adds to the numbers of a ReuseStatistics."""
        loss = order_loss(self.cached, self.fresh, self.worst)
        moved = np.abs(self.fresh - self.cached)
        bins, counts = np.unique(np.searchsorted(_DRIFT_EDGES, moved, side="right"), return_counts=True)
        return {
            f"r{sequential_test.bin_of(loss)}": 1.0,
            "loss": loss,
            "overlap": top_overlap(self.cached, self.fresh),
            "drift": float(moved.sum()),
            **{f"d{at}": float(count) for at, count in zip(bins.tolist(), counts.tolist(), strict=True)},
        }


@dataclass(frozen=True, slots=True, eq=False)
class ReuseStatistics:
    """Observations of one band. ``recent`` and ``older`` are histograms of the loss, ``drifts`` one of |drift|.

    The other fields are sums: of the loss and the overlap over observations, of |drift| over documents.
    """

    recent: Counts = field(default_factory=lambda: np.zeros(sequential_test.BINS))
    older: Counts = field(default_factory=lambda: np.zeros(sequential_test.BINS))
    drifts: Counts = field(default_factory=lambda: np.zeros(DRIFT_BINS))
    loss: float = 0.0
    overlap: float = 0.0
    drift: float = 0.0

    @classmethod
    def of(cls, numbers: Mapping[str, float]) -> Self:
        """From sums of increments; ``o7`` is what has become of ``r7`` after a while."""
        return cls(
            _histogram(numbers, "r", sequential_test.BINS),
            _histogram(numbers, "o", sequential_test.BINS),
            _histogram(numbers, "d", DRIFT_BINS),
            *(numbers.get(name, 0.0) for name in ("loss", "overlap", "drift")),
        )

    @property
    def losses(self) -> Counts:
        return self.recent + self.older

    def __add__(self, other: "ReuseStatistics") -> "ReuseStatistics":
        return ReuseStatistics(
            self.recent + other.recent,
            self.older + other.older,
            self.drifts + other.drifts,
            self.loss + other.loss,
            self.overlap + other.overlap,
            self.drift + other.drift,
        )

    def summary(self) -> dict[str, Any]:
        """For people: ``n``, means of loss and overlap, 95 % bounds of the loss, mean and p95 of |drift|."""
        n, documents = float(self.losses.sum()), float(self.drifts.sum())
        if not n or not documents:
            return {"n": 0}
        low, high = sequential_test.bounds(self.losses)
        return {
            "n": round(n),
            "loss": self.loss / n,
            "loss_low": low,
            "loss_high": high,
            "overlap": self.overlap / n,
            "drift": self.drift / documents,
            "drift_p95": _p95(self.drifts),
        }


def _histogram(numbers: Mapping[str, float], letter: str, bins: int) -> Counts:
    return np.array([numbers.get(f"{letter}{at}", 0.0) for at in range(bins)])


def _p95(drifts: Counts) -> float:
    """The upper edge of the bin that holds the nearest-rank p95."""
    at = int(np.searchsorted(np.cumsum(drifts), 0.95 * drifts.sum()))
    return float(_DRIFT_EDGES[min(at, len(_DRIFT_EDGES) - 1)])
