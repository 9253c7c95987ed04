"""Intervals by bootstrap."""

import numpy as np
import pytest

from semcache.commands.bootstrap import mean_interval


def test_the_interval_holds_the_mean_and_knows_clusters() -> None:
    values, weights = np.array([0.0, 0.0, 0.3, 0.3]), np.array([1.0, 2.0, 1.0, 1.0])
    low, high = mean_interval(values, weights, ["a", "b", "c", "d"])
    assert low < np.average(values, weights=weights) < high
    assert mean_interval(values, weights, ["a"] * 4) == pytest.approx((0.12, 0.12))
