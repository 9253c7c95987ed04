"""How far cached scores are trusted, by what their reuse was seen to cost."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from semcache.quality import sequential_test
from semcache.quality.statistics import BANDS, EXACT, Observation, ReuseStatistics
from semcache.quality.trust import EXACT_NOISE, NEVER, Trust, decide
from tests.quality.samples import LOSSES, add, histogram, reuse


class TestDecide:
    USER_THRESHOLD, BUDGET = 0.97, 0.01
    GOOD, BAD, USELESS = [0.002] * 500, [0.1] * 60, [0.45] * 60

    def decide(self, trust: Trust, bands: Mapping[str, Sequence[float]]) -> Trust:
        return decide(trust, {band: reuse(losses) for band, losses in bands.items()}, self.USER_THRESHOLD, self.BUDGET)

    @pytest.mark.parametrize(
        ("bands", "near", "exact"),
        [
            ({}, 0.0, True),
            ({"exact": GOOD, "0.98": GOOD, "0.8": [0.08] * 300}, 0.0, True),
            ({"0.97": BAD}, 0.98, True),
            ({"0.97": BAD, "0.98": BAD}, 0.99, True),
            ({"0.97": BAD, "0.98": BAD, "0.99": BAD}, 0.995, True),
            ({"0.97": BAD, "0.98": BAD, "0.99": BAD, "0.995": BAD}, NEVER, True),
            ({"0.96": BAD, "0.9": BAD}, 0.0, True),
            ({"exact": BAD}, NEVER, False),
            ({"0.8": USELESS}, NEVER, True),
            ({"0.98": [1.0]}, 0.0, True),
        ],
    )
    def test_from_full_trust(self, bands: Mapping[str, Sequence[float]], near: float, exact: bool) -> None:
        decided = self.decide(Trust(), bands)
        assert (decided.near, decided.exact) == (near, exact)
        assert bool(decided.reason) == (decided != Trust())

    @pytest.mark.parametrize(
        ("bands", "floor", "low"),
        [
            ({"0.96": GOOD}, 0.9, 0.96),
            ({"0.96": GOOD, "0.95": GOOD, "0.9": GOOD}, 0.9, 0.9),
            ({"0.96": GOOD, "0.95": GOOD, "0.9": GOOD}, 0.95, 0.95),
            ({"0.96": GOOD, "0.95": GOOD, "0.9": GOOD}, 1.0, 0.0),
            # Every band on the way has to be proven by itself.
            ({"0.95": GOOD, "0.9": GOOD}, 0.9, 0.0),
            ({"0.98": GOOD * 10, "0.96": [0.012] * 500}, 0.9, 0.0),
            ({"0.96": [0.002] * 200}, 0.9, 0.0),
        ],
    )
    def test_good_evidence_lowers_the_threshold_to_the_floor(
        self, bands: Mapping[str, Sequence[float]], floor: float, low: float
    ) -> None:
        statistics = {band: reuse(losses) for band, losses in bands.items()}
        decided = decide(Trust(), statistics, self.USER_THRESHOLD, self.BUDGET, floor)
        assert (decided.low, decided.near, decided.exact) == (low, 0.0, True)
        assert decided.threshold(self.USER_THRESHOLD) == (low or self.USER_THRESHOLD)

    def test_what_was_lowered_goes_back_to_the_users_threshold_first(self) -> None:
        lowered = Trust(low=0.95)
        decided = decide(lowered, {"0.95": reuse(self.BAD)}, self.USER_THRESHOLD, self.BUDGET, 0.9)
        assert (decided.low, decided.near) == (0.0, 0.0)
        assert decided.is_stricter_than(lowered) and not lowered.is_stricter_than(decided)
        worse = decide(lowered, {"0.97": reuse(self.BAD)}, self.USER_THRESHOLD, self.BUDGET, 0.9)
        assert (worse.low, worse.near) == (0.0, 0.98)

    @pytest.mark.parametrize(
        ("before", "bands", "near", "exact"),
        [
            (Trust(NEVER), {}, NEVER, True),
            (Trust(NEVER), {"0.97": [0.002] * 25}, NEVER, True),
            (Trust(NEVER), {"0.97": [0.0] * 40}, NEVER, True),
            (Trust(NEVER), {"0.97": [0.009] * 1000}, 0.0, True),
            (Trust(NEVER), {"0.97": [0.0, 0.2] * 500}, NEVER, True),
            (Trust(NEVER), {"0.97": GOOD}, 0.0, True),
            (Trust(NEVER), {"0.97": BAD, "0.98": GOOD}, 0.98, True),
            (Trust(0.99), {"0.98": GOOD, "0.97": BAD}, 0.98, True),
            (Trust(NEVER, exact=False), {"0.97": GOOD}, NEVER, False),
            (Trust(NEVER, exact=False), {"exact": GOOD, "0.97": GOOD}, NEVER, True),
            (Trust(is_cleared=True), {"0.8": USELESS}, 0.0, True),
        ],
    )
    def test_from_less_trust(
        self, before: Trust, bands: Mapping[str, Sequence[float]], near: float, exact: bool
    ) -> None:
        decided = self.decide(before, bands)
        assert (decided.near, decided.exact) == (near, exact)

    def test_a_good_past_does_not_hide_a_bad_present(self) -> None:
        past = ReuseStatistics(older=histogram([0.0] * 1000))
        present = ReuseStatistics(recent=histogram([0.1] * 40))
        assert decide(Trust(), {"0.98": past + present}, self.USER_THRESHOLD, self.BUDGET).near > self.USER_THRESHOLD

    def test_noise_of_the_model_is_no_alarm(self) -> None:
        assert self.decide(Trust(), {EXACT: [EXACT_NOISE / 2] * 1000}) == Trust()

    @given(st.dictionaries(st.sampled_from(BANDS), LOSSES, max_size=6), st.sampled_from([0.0, 0.98, 0.995, NEVER]))
    @settings(max_examples=50, deadline=None)
    def test_a_decision_is_never_taken_back_at_once(self, seen: dict[str, list[float]], near: float) -> None:
        statistics = {band: reuse(losses) for band, losses in seen.items()}
        first = decide(Trust(near), statistics, self.USER_THRESHOLD, self.BUDGET)
        if first.is_stricter_than(Trust(near)):
            # Withdrawing starts the counting anew.
            assert decide(first, {}, self.USER_THRESHOLD, self.BUDGET) is first
        else:
            assert not decide(first, statistics, self.USER_THRESHOLD, self.BUDGET).is_stricter_than(first)

    @pytest.mark.parametrize("seed", range(8))
    def test_a_healthy_scope_is_never_trusted_less(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        sums: dict[str, dict[str, float]] = {EXACT: {}, "0.97": {}, "0.8": {}}
        for _ in range(400):
            fresh = rng.normal(0, 4, 50)
            for band, noise in ((EXACT, 0.16), ("0.97", 0.3), ("0.8", 1.5)):
                add(sums[band], Observation(band, fresh + rng.normal(0, noise, 50), fresh))
            statistics = {band: ReuseStatistics.of(numbers) for band, numbers in sums.items()}
            assert decide(Trust(), statistics, self.USER_THRESHOLD, self.BUDGET) == Trust()

    @pytest.mark.parametrize("seed", range(8))
    @pytest.mark.parametrize("agreement", [0.0, 0.7])
    def test_another_reranker_is_noticed_within_60_observations(self, seed: int, agreement: float) -> None:
        """Also one whose scores have a correlation of 0.7 with the old one's."""
        rng = np.random.default_rng(seed)
        numbers: dict[str, float] = {}
        trust, count = Trust(), 0
        while trust == Trust():
            count += 1
            fresh = rng.normal(0, 4, 50)
            cached = agreement * fresh + math.sqrt(1 - agreement**2) * rng.normal(0, 4, 50)
            add(numbers, Observation(EXACT, cached, fresh))
            trust = decide(trust, {EXACT: ReuseStatistics.of(numbers)}, self.USER_THRESHOLD, self.BUDGET)
        assert count <= 60
        assert not trust.exact


def test_thresholds_in_force_never_fall_below_the_users() -> None:
    assert Trust().threshold(0.99) == 0.99
    assert Trust(0.98).threshold(0.99) == 0.99
    assert replace(Trust(), near=NEVER).threshold(0.99) == NEVER


@pytest.mark.parametrize(
    ("trust", "other", "expected"),
    [
        (Trust(), Trust(), False),
        (Trust(0.99), Trust(0.98), True),
        (Trust(0.98), Trust(0.98), False),
        (Trust(0.98), Trust(0.99), False),
        (Trust(exact=False), Trust(), True),
        (Trust(), Trust(exact=False), False),
        (Trust(exact=False), Trust(exact=False), False),
    ],
)
def test_stricter_is_what_withdraws_something(trust: Trust, other: Trust, expected: bool) -> None:
    assert trust.is_stricter_than(other) is expected


@pytest.mark.parametrize(("observations", "near"), [(29, NEVER), (30, 0.0)])
def test_trust_returns_after_30_good_observations_at_the_earliest(observations: int, near: float) -> None:
    seen = {"0.97": reuse([0.0] * observations)}
    assert decide(Trust(NEVER), seen, 0.97, budget=0.05).near == near


@pytest.mark.parametrize(("budget", "near"), [(0.0160, NEVER), (0.0163, 0.0)])
def test_one_loss_of_chance_is_added_before_trust_returns(budget: float, near: float) -> None:
    # 0.5 / (30 + 1) = 0.0161
    assert decide(Trust(NEVER), {"0.97": reuse([0.0] * 30)}, 0.97, budget).near == near


@pytest.mark.parametrize(("errors", "near"), [(1.2, NEVER), (1.4, 0.0)])
def test_trust_returns_when_the_mean_and_1_28_standard_errors_are_below_the_budget(errors: float, near: float) -> None:
    losses = [0.0, 0.05] * 200
    statistics = reuse(losses)
    standard_error = math.sqrt(sequential_test.variance(statistics.losses) / 400)
    budget = (sum(losses) + 0.5) / 401 + errors * standard_error
    assert decide(Trust(NEVER), {"0.97": statistics}, 0.97, budget).near == near


def test_near_queries_that_have_proved_good_are_cleared() -> None:
    good = {"0.97": reuse([0.002] * 500)}
    assert decide(Trust(NEVER), good, 0.97, 0.01).is_cleared
    assert not decide(Trust(NEVER, exact=False), {EXACT: reuse([0.002] * 500)}, 0.97, 0.01).is_cleared


@pytest.mark.parametrize(("budget", "exact"), [(0.001, True), (0.1, True), (0.03, False)])
def test_the_limit_of_the_same_query_is_noise_or_a_larger_budget(budget: float, exact: bool) -> None:
    loss = {0.001: 0.015, 0.1: 0.08, 0.03: 0.2}[budget]
    assert decide(Trust(), {EXACT: reuse([loss] * 300)}, 0.97, budget).exact is exact


def test_what_the_user_trusts_least_is_not_far() -> None:
    """Bands that the user's threshold reaches are judged by the budget, all others by whether they are useless."""
    bad = reuse([0.3] * 60)
    assert decide(Trust(), {"0.8": bad}, 0.85, 0.5) == Trust()
    assert decide(Trust(), {"0.8": bad}, 0.9, 0.5).near == NEVER
