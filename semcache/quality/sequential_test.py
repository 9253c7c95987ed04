"""Sequential tests of the mean of values in [0, 1] against a limit, from a histogram of the values.

A sequential test keeps its level however often it is read, so an alarm may be checked after every value. These tests
are by betting. Their e-value is the wealth of a gambler who starts with 1 and bets a part of it on every value against
the null hypothesis; if that holds, the e-value ever reaches 1 / alpha with probability at most alpha (Ville's
inequality). The best size of the bets depends on the unknown mean, so the e-values of several sizes are averaged.

Source: Waudby-Smith and Ramdas (2024), "Estimating means of bounded random variables by betting", JRSS B 86(1). There a
bet may depend on the values before it. Here the bets are fixed, so that the order of the values does not matter: the
e-value follows from a histogram, and the histograms of several processes can be added.

Rejected: an empirical Bernstein bound (Maurer and Pontil 2009), which contains 7 log(2 / alpha) / (3 (n - 1)) for the
range of the values. With alpha 0.01 that term alone hides a mean of 0.1 above a limit of 0.01 for the first 138 values.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.float64]
"""How many values fell into each bin. Not whole numbers, because old counts are halved to forget them slowly."""

Floats = NDArray[np.float64]

# Upper edges of the bins, eight to a factor of ten: the edge that stands for a value is off by a third at most, and a
# histogram needs only 33 fields of a Redis hash.
_EDGES = np.logspace(-4, 0, 33)
_LOWER = np.concatenate(([0.0], _EDGES[:-1]))
_UPPER = _EDGES
BINS = len(_EDGES)
"""Length of a histogram of values; the first bin holds everything below 1e-4."""

# Bounds of a mean are searched to this precision, a tenth of the first bin.
_PRECISION = 1e-5


def bin_of(value: float) -> int:
    """The index of the bin of a value in [0, 1]."""
    # The value 1 lies on the last upper edge and belongs to the last bin.
    return min(int(np.searchsorted(_EDGES, value, side="right")), BINS - 1)


def histogram(numbers: Mapping[str, float], letter: str, bins: int = BINS) -> Counts:
    """A histogram that is kept as numbers of names: ``r7`` counts in bin 7 of the histogram ``r``."""
    return np.array([numbers.get(f"{letter}{index}", 0.0) for index in range(bins)])


def log_e_value_above(counts: Counts, limit: float) -> float:
    """Logarithm of the e-value against "the mean is at most ``limit``"; large when the mean is above the limit.

    Every value counts as the lower edge of its bin, so that binning never makes an alarm more likely. ``limit`` is in
    (0, 1). Without values the result is 0.

    Example:
        >>> counts = np.zeros(BINS)
        >>> counts[bin_of(0.1)] = 20
        >>> log_e_value_above(counts, 0.01) > math.log(100)  # a mean of 0.1 is above 0.01, at level 1 %
        True
    """
    return _log_e_value(counts, bet_sizes(limit), _LOWER - limit)


def bet_sizes(limit: float) -> Floats:
    """The sizes of the bets on a mean above ``limit``, the largest first."""
    # A bet loses size x limit of its wealth on a value of 0. The largest loses half of it, and wins soon when many
    # values are a little above the limit. The smaller ones win when few values are large. Each is a quarter of the one
    # before, the last below 0.5.
    return np.asarray(0.5 / limit * 0.25 ** np.arange(1 + math.ceil(math.log(2 / limit, 4))), dtype=float)


@dataclass(frozen=True, slots=True, eq=False)
class Rise:
    """Detects that the mean of values in [0, 1], which come one after another, has risen above a limit.

    The test of ``log_e_value_above``, with the difference that a bet which has less than it began with begins anew, so
    that a long past below the limit does not hide a change. While the mean is at most the limit, it takes ``exp(t)``
    values on average, or more, until ``log_value`` reaches t.

    Source: Shin, Ramdas and Rinaldo (2023), "E-detectors: a nonparametric framework for sequential change detection",
    New England Journal of Statistics in Data Science 2(2); this is their CUSUM of e-values.
    """

    limit: float
    wealth: Floats | None = None

    def after(self, value: float) -> "Rise":
        """The state after one more value."""
        won = np.log1p(bet_sizes(self.limit) * (value - self.limit))
        return Rise(self.limit, won if self.wealth is None else np.maximum(self.wealth, 0.0) + won)

    @property
    def log_value(self) -> float:
        """Logarithm of the mean wealth of the bets, each as of its last beginning; 0 before the first value."""
        if self.wealth is None:
            return 0.0
        return float(np.logaddexp.reduce(self.wealth)) - math.log(len(self.wealth))


def log_e_value_below(counts: Counts, limit: float, total: float | None = None) -> float:
    """Logarithm of the e-value against "the mean is at least ``limit``"; large when the mean is below the limit.

    Every value counts as the upper edge of its bin. With ``total``, the sum of the values themselves, they count as the
    edges of their bins in whatever way makes the e-value smallest with that sum: a twentieth to a tenth fewer values
    are needed. ``limit`` is in (0, 1).
    """
    # A bet loses size x (1 - limit) of its wealth on a value of 1, so the largest keeps 1 %. It is that large, and most
    # of the wealth is put on it, because most losses are near 0, where each value can win no more than size x limit: a
    # budget of 0.01 is proven by 240 losses of nothing. With 0.95 and 0.8 in place of 0.99 and 0.9 it takes 264, and on
    # the streams of benchmarks/results/traffic.md 40 to 60 more than now.
    sizes = np.array([0.99, 0.5, 0.2]) / (1 - limit)
    shares = np.array([0.9, 0.05, 0.05])
    # A total that no such values have was damaged.
    if total is None or total < 0.999 * float(counts @ _LOWER):
        return _log_e_value(counts, sizes, limit - _UPPER, shares)
    # The logarithm is concave: of all values in a bin with the same sum, those at its two edges win least; and it is
    # steeper for larger values, so it is smallest when the upper edges are taken from the highest bin downwards.
    room = (counts * (_UPPER - _LOWER))[::-1]
    rest = max(total - float(counts @ _LOWER), 0.0) - np.concatenate(([0.0], np.cumsum(room)[:-1]))
    at_upper = np.where(room > 0, np.clip(rest, 0.0, room) / np.maximum(room, 1e-300), 0.0)[::-1]
    edges = np.concatenate([counts * at_upper, counts * (1 - at_upper)])
    return _log_e_value(edges, sizes, limit - np.concatenate([_UPPER, _LOWER]), shares)


def _log_e_value(
    counts: Counts,
    sizes: NDArray[np.floating[Any]],
    gains: NDArray[np.floating[Any]],
    shares: NDArray[np.floating[Any]] | None = None,
) -> float:
    """Logarithm of the wealth of bets of these sizes, each multiplied by 1 + size x gain for every value.

    ``shares`` say how the wealth is divided among the bets at first; None: equally.
    """
    logs = np.log1p(sizes[:, None] * gains) @ counts
    # By logarithms, because hundreds of values over- or underflow a product.
    shares = np.full(len(sizes), 1 / len(sizes)) if shares is None else shares
    return float(np.logaddexp.reduce(logs + np.log(shares)))


def least_mean(counts: Counts) -> float:
    """Mean of the values, with every value taken as the lower edge of its bin; 0 without values."""
    return float(counts @ _LOWER / max(counts.sum(), 1e-12))


def variance(counts: Counts) -> float:
    """Variance of the values, with every value taken as the middle of its bin; 0 without values."""
    middles = (_LOWER + _UPPER) / 2
    shares = counts / max(counts.sum(), 1e-12)
    return float(shares @ (middles - shares @ middles) ** 2)


def bounds(counts: Counts, alpha: float = 0.05, total: float | None = None) -> tuple[float, float]:
    """Lower and upper confidence bound of the mean, each at level ``alpha``; (0, 1) without values.

    The bounds hold all limits that neither test rejects at that level. ``total`` is that of ``log_e_value_below``.
    """
    rejected = math.log(1 / alpha)
    low = _last_limit(lambda limit: log_e_value_above(counts, limit) >= rejected)
    high = _last_limit(lambda limit: log_e_value_below(counts, limit, total) < rejected)
    # The search never reaches 0 and 1 themselves; a bound that ends beside one of them is no bound.
    return (0.0 if low <= 2 * _PRECISION else low), (1.0 if high >= 1 - 2 * _PRECISION else high)


def _last_limit(holds: Callable[[float], bool]) -> float:
    """The largest limit for which a condition holds that holds for all smaller ones, found by halving the interval."""
    low, high = 0.0, 1.0
    while high - low > _PRECISION:
        middle = (low + high) / 2
        if holds(middle):
            low = middle
        else:
            high = middle
    return low
