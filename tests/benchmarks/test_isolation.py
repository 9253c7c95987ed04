"""What the isolation experiment makes of times."""

import numpy as np
import pytest

from benchmarks.isolation import auc


def test_the_auc_is_the_share_of_pairs_and_ties_count_half() -> None:
    value, low, high = auc(np.array([1.0, 2.0, 3.0]), np.array([2.0, 0.0]))
    assert value == pytest.approx((1 + 1.5 + 2) / 6)
    assert low <= value <= high


def test_nothing_to_tell_is_one_half() -> None:
    rng = np.random.default_rng(3)
    value, low, high = auc(rng.exponential(size=2_000), rng.exponential(size=2_000))
    assert low < 0.5 < high
    assert value == pytest.approx(0.5, abs=0.03)


def test_all_to_tell_is_one_or_zero() -> None:
    slow, quick = np.array([3.0, 4.0]), np.array([1.0, 2.0])
    assert auc(slow, quick)[0] == 1
    assert auc(quick, slow)[0] == 0
