"""95 % intervals by bootstrap: the spread of a figure over samples that are drawn from the sample with replacement.

No distribution is assumed, which suits durations and losses: both are skewed (Efron, 1979).
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

RESAMPLES = 2000
"""Samples drawn for an interval. For a normal figure, its bounds then have a standard error of 1.5 % of its width."""


def resampled(count: int, seed: int = 0, resamples: int = RESAMPLES) -> NDArray[np.int64]:
    """Positions of ``resamples`` samples from ``count`` values, of shape ``(resamples, count)``."""
    return np.random.default_rng(seed).integers(0, count, (resamples, count))


def bounds(figures: Floats) -> tuple[float, float]:
    """The 95 % interval of a figure that was computed for every sample."""
    low, high = np.quantile(figures, (0.025, 0.975))
    return float(low), float(high)


def mean_interval(values: Floats, weights: Floats, clusters: ArrayLike, seed: int = 0) -> tuple[float, float]:
    """The 95 % interval of a weighted mean. ``clusters`` says which values belong together.

    Whole clusters are drawn: requests for the same query are not independent, and drawing them one by one would make
    the interval too narrow.

    Example:
        mean_interval(losses, np.ones(len(losses)), ["query a", "query a", "query b"])
    """
    _, cluster = np.unique(np.asarray(clusters), return_inverse=True)
    # Sums per cluster come first: a draw then adds a few numbers, however many values a cluster has.
    sums, totals = np.bincount(cluster, values * weights), np.bincount(cluster, weights)
    drawn = resampled(len(totals), seed)
    return bounds(sums[drawn].sum(axis=1) / totals[drawn].sum(axis=1))
