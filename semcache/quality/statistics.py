"""Statistics of reuse: what it cost to use cached scores instead of fresh ones.

One observation compares the cached with the fresh scores of the same documents for one query. Observations are kept by
band of similarity, and only as counts and sums, so that those of several processes can be added.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from semcache.quality import sequential_test
from semcache.quality.noise import beyond_noise
from semcache.quality.sequential_test import Counts, histogram

Floats = NDArray[np.float64]

CUT = 10
"""Ranks that count in a loss. Callers rarely show or pass on more documents."""

EXACT = "exact"
# Finer from 0.95 on, where trust thresholds lie; trust.py raises a threshold along these edges.
_EDGES = (0.995, 0.99, 0.98, 0.97, 0.96, 0.95, 0.9, 0.8, 0.7, 0.6)
BANDS: tuple[str, ...] = (EXACT, *map(str, _EDGES), "below")
"""Bands of similarity by their lower edge, the nearest first; ``exact`` is the same query scored again."""
GROUPS: dict[str, tuple[str, ...]] = {"exact": (EXACT,), "near": BANDS[1:7], "far": BANDS[7:]}
"""Bands that are forgotten together: when one group holds enough observations, all sums of that group are halved. Trust
rests on the near bands; in one group with the far ones, which some traffic fills faster, they would be forgotten early.
"""

# nDCG discounts of the first ten ranks, the first of them 1.
_DISCOUNTS = 1 / np.log2(np.arange(2, CUT + 2))
# Six to a factor of ten, from far below the noise of any model to far above any logit.
_DRIFT_EDGES = np.logspace(-4, 3, 43)
DRIFT_BINS = len(_DRIFT_EDGES) + 1


def band_of(similarity: float) -> str:
    """The band of a query with this similarity (a cosine) to the cached one."""
    return next((str(edge) for edge in _EDGES if similarity >= edge), BANDS[-1])


def bands_from(threshold: float) -> tuple[str, ...]:
    """Bands of near queries that reach above a threshold. A band that the threshold divides is included.

    Example:
        >>> bands_from(0.985)
        ('0.995', '0.99', '0.98')
    """
    uppers = (np.inf, *_EDGES)
    return tuple(band for band, upper in zip(BANDS[1:], uppers, strict=True) if upper > threshold)


def order_loss(cached: ArrayLike, fresh: ArrayLike, worst: float = np.inf) -> float:
    """Ranking quality that the cached order loses against the fresh one: 0 (none) to 1 (the best document is unseen).

    ``1 - sum(gain x discount(cached rank)) / sum(gain x discount(fresh rank))``: one minus the nDCG of the first 10
    ranks, with ``discount(r) = 1 / log2(r + 1)`` for ranks r = 1 .. 10 and 0 after them. The gain of a document is its
    fresh score on a scale from 0 for the worst document to 1 for the best; ``worst`` is the score of the worst
    candidate where these documents are only the best of many. Documents of equal score share the mean discount of their
    ranks (McSherry and Najork 2008). The loss is 0 where all fresh scores are equal.

    Example:
        >>> order_loss([3.0, 2.0, 1.0], [6.0, 4.0, 2.0])  # the same order on another scale
        0.0
    """
    # Gains by score and not by rank: documents of nearly equal score exchange ranks by the noise of the model alone,
    # and that must not look like the loss from scores of another query.
    cached, fresh = np.asarray(cached, dtype=float), np.asarray(fresh, dtype=float)
    # Not scaled to 1: the scale cancels in the quotient.
    gains = fresh - min(worst, fresh.min())
    best = gains @ _discounts(fresh)
    return float(np.clip(1 - gains @ _discounts(cached) / best, 0.0, 1.0)) if best > 0 else 0.0


def _discounts(scores: Floats) -> Floats:
    """The discount of each document by its rank, or the mean discount of a group of equal scores."""
    by_rank = np.zeros(len(scores))
    by_rank[:CUT] = _DISCOUNTS[: len(scores)]
    _, group, size = np.unique(-scores, return_inverse=True, return_counts=True)
    group = group.ravel()  # numpy 2.0 returns it in the shape of its argument
    order = np.argsort(-scores, kind="stable")
    return np.asarray((np.bincount(group[order], by_rank) / size)[group], dtype=float)


def top_overlap(cached: ArrayLike, fresh: ArrayLike) -> float:
    """Share of the first min(10, documents) by fresh score that are among as many first ones by cached score."""
    cached_top, fresh_top = (
        set(np.argsort(-np.asarray(scores, dtype=float), kind="stable")[:CUT].tolist()) for scores in (cached, fresh)
    )
    return len(cached_top & fresh_top) / max(len(cached_top), 1)


@dataclass(frozen=True, slots=True, eq=False)
class Observation:
    """Cached and fresh scores of the same documents for one query, in the same order.

    ``band`` says how similar the cached query was. ``worst`` is the fresh score, known or expected, of the worst
    candidate; the candidates may be more than these documents. ``tenants`` is the group of the tenant whose request it
    was (``entries.fingerprint.tenant_group``). ``tolerance`` is that of the reranker's ``Noise``, in units of its
    scores: differences as small as that cost nothing.
    """

    band: str
    cached: Floats
    fresh: Floats
    worst: float = np.inf
    tenants: str = ""
    tolerance: float = 0.0

    @property
    def group(self) -> str:
        """The name of the group of bands with which this observation is forgotten."""
        return next(name for name, bands in GROUPS.items() if self.band in bands)

    @property
    def loss(self) -> float:
        """The ``order_loss`` that the reranker's noise does not explain."""
        return order_loss(self._beyond_noise, self.fresh, self.worst)

    @property
    def _beyond_noise(self) -> Floats:
        return beyond_noise(self.cached, self.fresh, self.tolerance) if self.tolerance else self.cached

    def increments(self) -> dict[str, float]:
        """Amounts by which this observation raises the numbers of its band; see ``ReuseStatistics.of``."""
        loss = self.loss
        drifts = np.abs(self.fresh - self.cached)
        bins, counts = np.unique(np.searchsorted(_DRIFT_EDGES, drifts, side="right"), return_counts=True)
        return {
            f"r{sequential_test.bin_of(loss)}": 1.0,
            "loss": loss,
            "overlap": top_overlap(self._beyond_noise, self.fresh),
            "drift": float(drifts.sum()),
            # Only bins that are not empty: a request compares few documents, and each number is a write in Redis.
            **{f"d{index}": float(count) for index, count in zip(bins.tolist(), counts.tolist(), strict=True)},
        }


@dataclass(frozen=True, slots=True, eq=False)
class ReuseStatistics:
    """Observations of one or more bands; statistics can be added.

    ``recent`` and ``older`` are histograms of the loss, by observation. ``drifts`` is a histogram of |drift|, by
    document. ``loss`` and ``overlap`` are sums over observations, ``drift`` is the sum of |drift| over documents.
    """

    recent: Counts = field(default_factory=lambda: np.zeros(sequential_test.BINS))
    older: Counts = field(default_factory=lambda: np.zeros(sequential_test.BINS))
    drifts: Counts = field(default_factory=lambda: np.zeros(DRIFT_BINS))
    loss: float = 0.0
    overlap: float = 0.0
    drift: float = 0.0

    @classmethod
    def of(cls, numbers: Mapping[str, float]) -> Self:
        """Statistics from sums of ``Observation.increments``.

        ``r7`` and ``d7`` count in bin 7 of the recent losses and of the drifts. ``o7`` counts older losses: the store
        renames ``r7`` to it when a group has enough recent observations.
        """
        return cls(
            histogram(numbers, "r"),
            histogram(numbers, "o"),
            histogram(numbers, "d", DRIFT_BINS),
            *(numbers.get(name, 0.0) for name in ("loss", "overlap", "drift")),
        )

    @property
    def losses(self) -> Counts:
        """Histogram of all losses, recent and older."""
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
        """For display: ``n`` observations, means of loss and overlap, 95 % bounds of the loss, mean and p95 of |drift|.

        Only ``n`` when there are no observations.
        """
        n, documents = float(self.losses.sum()), float(self.drifts.sum())
        if not n or not documents:
            return {"n": 0}
        low, high = sequential_test.bounds(self.losses)
        # Nearest rank, and the upper edge of its bin; drifts beyond the last edge are shown as that edge.
        p95_bin = int(np.searchsorted(np.cumsum(self.drifts), 0.95 * documents))
        return {
            "n": round(n),
            "loss": self.loss / n,
            "loss_low": low,
            "loss_high": high,
            "overlap": self.overlap / n,
            "drift": self.drift / documents,
            "drift_p95": float(_DRIFT_EDGES[min(p95_bin, len(_DRIFT_EDGES) - 1)]),
        }
