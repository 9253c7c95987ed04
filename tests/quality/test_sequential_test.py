"""Sequential tests of a mean against a limit."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from semcache.quality import sequential_test
from tests.quality.samples import LOSSES, histogram


@given(LOSSES)
def test_bounds_hold_the_mean_of_what_was_seen_up_to_a_bin(losses: list[float]) -> None:
    low, high = sequential_test.bounds(histogram(losses))
    assert 0 <= low <= high <= 1
    if losses:
        assert low <= np.mean(losses) + 1e-5
        assert high >= np.mean(losses) - 1e-5


@given(LOSSES, st.floats(0.001, 0.9))
def test_nothing_is_both_above_and_below(losses: list[float], limit: float) -> None:
    counts = histogram(losses)
    above, below = (
        sequential_test.log_e_value_above(counts, limit),
        sequential_test.log_e_value_below(counts, limit),
    )
    assert not (above > math.log(20) and below > math.log(20))


def test_false_alarms_are_as_rare_as_promised_however_often_one_looks() -> None:
    rng = np.random.default_rng(1)
    alarms = 0
    for _ in range(200):
        # A mean exactly at the limit, of the worst kind: rarely large, mostly nothing.
        losses = np.where(rng.random(400) < 0.05, 0.2, 0.0)
        counts = np.zeros(sequential_test.BINS)
        wealth = []
        for loss in losses:
            counts[sequential_test.bin_of(loss)] += 1
            wealth.append(sequential_test.log_e_value_above(counts, 0.01))
        alarms += max(wealth) >= math.log(20)
    assert alarms <= 10  # at most 5 % of 200


def test_a_large_loss_is_certain_soon() -> None:
    assert sequential_test.log_e_value_above(histogram([0.1] * 20), 0.01) > math.log(1000)


def test_a_small_mean_takes_about_as_many_as_the_rule_of_three_says() -> None:
    assert sequential_test.log_e_value_below(histogram([0.0] * 350), 0.01) > math.log(10)
    assert sequential_test.log_e_value_below(histogram([0.0] * 100), 0.01) < math.log(10)


def test_no_values_prove_nothing() -> None:
    assert sequential_test.bounds(histogram([])) == (0.0, 1.0)
