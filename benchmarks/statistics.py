"""Means with 95 % intervals for requests that share topics."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000
SEED = 20191120


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean and the bounds of its 95 % interval."""

    mean: float
    low: float
    high: float


def clustered_interval(values: NDArray[np.float64], clusters: NDArray[np.int64], seed: int = SEED) -> Interval:
    """Bootstrap over clusters: whole topics are drawn, since the requests of a topic are not independent.

    ``values`` are paired differences, one per request, so that the difficulty of a topic cancels out.
    """
    _, place = np.unique(clusters, return_inverse=True)
    sums = np.bincount(place, weights=values)
    counts = np.bincount(place)
    drawn = np.random.default_rng(seed).integers(0, len(counts), (RESAMPLES, len(counts)))
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    low, high = np.quantile(means, (0.025, 0.975))
    return Interval(float(values.mean()), float(low), float(high))


def worst(values: NDArray[np.float64], share: float = 0.05) -> float:
    """The change that ``share`` of the requests do not reach: its quantile, not the mean below it."""
    return float(np.quantile(values, share))
