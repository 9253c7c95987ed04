"""Tests by betting whether a mean of values in [0, 1] is above or below a limit, from counts alone and at any time.

Somebody who bets a share of his wealth on every value can grow rich only if the claim he bets against is false (Ville's
inequality: a wealth of 1 / alpha has probability at most alpha, however often one looks). Bets of several sizes are
placed at once and their wealths averaged. Source: Waudby-Smith and Ramdas (2024), "Estimating means of bounded random
variables by betting", JRSS B 86(1), with fixed bets, so that the wealth follows from a histogram and histograms add up.

An empirical Bernstein bound (Maurer and Pontil 2009) needs 200 values to see that a mean of 0.1 is above 0.01, a bet
about 15: its term for the range of the values, 3 log(3 / alpha) / n, is ten times the limit there.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.float64]

# 1e-4 to 1 with 8 bins to a factor of ten: an edge is at most a third off, and a histogram has 33 numbers.
_EDGES = np.logspace(-4, 0, 33)
_LOWER = np.concatenate(([0.0], _EDGES[:-1]))
_UPPER = _EDGES
BINS = len(_EDGES)
"""Length of a histogram of values; the first bin holds everything below 1e-4."""


def bin_of(value: float) -> int:
    """The bin of a value in [0, 1]."""
    return min(int(np.searchsorted(_EDGES, value, side="right")), BINS - 1)


def log_e_value_above(counts: Counts, limit: float) -> float:
    """Logarithm of the wealth of a bet against "the mean is at most limit"; every value counts as the least of its bin.

    ``limit`` is in (0, 1).
    """
    # From bets that suit a mean just above the limit to bets that suit 1; half of what could ruin us at most.
    sizes = 0.5 / limit * 0.25 ** np.arange(1 + max(0, math.ceil(math.log(2 / limit, 4))))
    return _wealth(counts, sizes, _LOWER - limit)


def log_e_value_below(counts: Counts, limit: float) -> float:
    """The same against "the mean is at least limit"; every value counts as the most of its bin."""
    sizes = np.array([0.95, 0.5, 0.2]) / (1 - limit)
    return _wealth(counts, sizes, limit - _UPPER)


def _wealth(counts: Counts, sizes: NDArray[np.floating[Any]], gains: NDArray[np.floating[Any]]) -> float:
    logs = np.log1p(sizes[:, None] * gains) @ counts
    return float(np.logaddexp.reduce(logs) - math.log(len(sizes)))


def variance(counts: Counts) -> float:
    """Of the values, every one taken as the middle of its bin; 0 without values."""
    middles = (_LOWER + _UPPER) / 2
    shares = counts / max(counts.sum(), 1e-12)
    return float(shares @ (middles - shares @ middles) ** 2)


def bounds(counts: Counts, alpha: float = 0.05) -> tuple[float, float]:
    """Least and largest mean that the values do not speak against, each at level ``alpha``; (0, 1) without values."""
    rich = math.log(1 / alpha)
    low = _turning_point(lambda limit: log_e_value_above(counts, limit) >= rich)
    high = _turning_point(lambda limit: log_e_value_below(counts, limit) < rich)
    return (0.0 if low <= _NEAR_0 else low), (1.0 if high >= 1 - _NEAR_0 else high)


_NEAR_0 = 2e-5


def _turning_point(holds: Callable[[float], bool]) -> float:
    """Where a condition that holds for small limits ceases to, to 1e-5."""
    low, high = 0.0, 1.0
    while high - low > 1e-5:
        middle = (low + high) / 2
        if holds(middle):
            low = middle
        else:
            high = middle
    return low
