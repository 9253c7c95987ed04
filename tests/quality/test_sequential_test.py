"""Sequential tests of a mean against a limit."""

import math
from collections.abc import Iterable

import numpy as np
import pytest
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


def steps_until(values: Iterable[float], limit: float, log_value: float) -> int:
    """After how many values a rise is as sure as that."""
    rise = sequential_test.Rise(limit)
    for count, value in enumerate(values, 1):
        rise = rise.after(value)
        if rise.log_value >= log_value:
            return count
    return 0


def test_a_rise_is_falsely_seen_no_sooner_on_average_than_promised() -> None:
    rng = np.random.default_rng(2)
    # A mean exactly at the limit, of the worst kind.
    runs = [steps_until(np.where(rng.random(5000) < 0.05, 0.2, 0.0), 0.01, math.log(20)) for _ in range(60)]
    assert np.mean([run or 5000 for run in runs]) > 20


def test_a_rise_is_seen_as_soon_after_a_long_time_below_the_limit() -> None:
    at_once, later = (steps_until([0.0] * before + [0.05] * 100, 0.01, math.log(100)) for before in (0, 1000))
    assert at_once <= later - 1000 <= at_once + 2
    assert sequential_test.Rise(0.01).log_value == 0


def test_a_large_loss_is_certain_soon() -> None:
    assert sequential_test.log_e_value_above(histogram([0.1] * 20), 0.01) > math.log(1000)


def test_a_small_mean_takes_about_as_many_as_the_rule_of_three_says() -> None:
    assert sequential_test.log_e_value_below(histogram([0.0] * 350), 0.01) > math.log(10)
    assert sequential_test.log_e_value_below(histogram([0.0] * 100), 0.01) < math.log(10)


def test_no_values_prove_nothing() -> None:
    assert sequential_test.bounds(histogram([])) == (0.0, 1.0)


def test_bins_are_eight_to_a_factor_of_ten_from_1e_4_to_1() -> None:
    assert sequential_test.BINS == 33
    assert [sequential_test.bin_of(value) for value in (0.0, 0.99e-4, 1.01e-4, 0.99e-3, 1.01e-3)] == [0, 0, 1, 8, 9]
    assert [sequential_test.bin_of(value) for value in (0.099, 0.101, 0.99, 1.0)] == [24, 25, 32, 32]


@pytest.mark.parametrize(("limit", "bets"), [(0.01, 5), (0.1, 4), (0.15, 3), (0.5, 2), (0.9, 2)])
def test_the_e_value_above_is_the_mean_wealth_of_bets_on_the_lower_edges(limit: float, bets: int) -> None:
    # The largest bet is half of what a value of 0 may cost, each other a quarter of the one before.
    sizes = 0.5 / limit / 4 ** np.arange(bets)
    # 0.3 is between the edges 0.237 and 0.316.
    counts = histogram([0.3, 0.0, 0.0])
    wealth = (1 + sizes * (10**-0.625 - limit)) * (1 - sizes * limit) ** 2
    assert sequential_test.log_e_value_above(counts, limit) == pytest.approx(math.log(wealth.mean()))


def test_the_e_value_below_is_the_wealth_of_bets_on_the_upper_edges() -> None:
    sizes, shares = np.array([0.99, 0.5, 0.2]) / 0.9, np.array([0.9, 0.05, 0.05])
    wealth = shares @ ((1 + sizes * (0.1 - 10**-0.5)) * (1 + sizes * (0.1 - 1e-4)) ** 2)
    assert sequential_test.log_e_value_below(histogram([0.3, 0.0, 0.0]), 0.1) == pytest.approx(math.log(wealth))


@given(LOSSES, st.floats(0.001, 0.9))
def test_the_sum_of_the_values_proves_more_than_their_bins_and_less_than_the_values(
    losses: list[float], limit: float
) -> None:
    sizes, shares = np.array([0.99, 0.5, 0.2]) / (1 - limit), np.array([0.9, 0.05, 0.05])
    wealth = np.log1p(sizes[:, None] * (limit - np.array(losses))).sum(axis=1)
    by_values = np.logaddexp.reduce(wealth + np.log(shares))
    by_bins = sequential_test.log_e_value_below(histogram(losses), limit)
    by_sum = sequential_test.log_e_value_below(histogram(losses), limit, sum(losses))
    assert by_bins - 1e-9 <= by_sum <= by_values + 1e-9


def test_a_sum_that_the_values_cannot_have_proves_no_more_than_their_bins() -> None:
    counts = histogram([0.05] * 100)
    expected = sequential_test.log_e_value_below(counts, 0.1)
    assert sequential_test.log_e_value_below(counts, 0.1, 0.0) == expected


@pytest.mark.parametrize("losses", [[0.05] * 300, [0.0, 0.4] * 200])
def test_bounds_are_the_limits_at_which_a_test_begins_to_reject(losses: list[float]) -> None:
    counts, level = histogram(losses), math.log(20)
    low, high = sequential_test.bounds(counts)
    assert 0 < low < np.mean(losses) < high < 0.6
    assert sequential_test.log_e_value_above(counts, low) >= level
    assert sequential_test.log_e_value_above(counts, low + 2e-5) < level
    assert sequential_test.log_e_value_below(counts, high) < level
    assert sequential_test.log_e_value_below(counts, high + 2e-5) >= level


def test_values_of_0_have_no_lower_bound() -> None:
    low, high = sequential_test.bounds(histogram([0.0] * 100))
    assert low == 0
    assert high < 0.1


def test_variance_is_that_of_the_middles_of_the_bins() -> None:
    assert sequential_test.variance(histogram([])) == 0
    assert sequential_test.variance(histogram([0.3] * 7)) == pytest.approx(0)
    low, high = 0.5e-4, (10**-0.125 + 1) / 2
    counts = histogram([0.0, 0.0, 0.0, 1.0])
    assert sequential_test.variance(counts) == pytest.approx(np.var([low, low, low, high]))
    # Also where counts were halved until less than one observation is left.
    assert sequential_test.variance(counts / 100) == pytest.approx(np.var([low, low, low, high]))
