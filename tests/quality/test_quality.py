"""What a reuse costs, what many of them prove, and what is decided from that."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from semcache.quality import sequential_test
from semcache.quality.statistics import (
    BANDS,
    EXACT,
    Observation,
    ReuseStatistics,
    band_of,
    bands_from,
    order_loss,
    top_overlap,
)
from semcache.quality.trust import EXACT_NOISE, NEVER, Trust, decide

SCORES = st.lists(st.integers(-50, 50).map(float), min_size=1, max_size=40)
TWO_SCORES = SCORES.flatmap(
    lambda fresh: st.tuples(
        st.lists(st.integers(-50, 50).map(float), min_size=len(fresh), max_size=len(fresh)), st.just(fresh)
    )
)
LOSSES = st.lists(st.floats(0, 1), max_size=200)


def histogram(losses):
    counts = np.zeros(sequential_test.BINS)
    for loss in losses:
        counts[sequential_test.bin_of(loss)] += 1
    return counts


def reuse(losses):
    """Observations with these losses, all of them recent."""
    return ReuseStatistics(recent=histogram(losses), drifts=np.full(44, float(len(losses))), loss=float(np.sum(losses)))


class TestOrderLoss:
    @given(TWO_SCORES)
    def test_lies_between_0_and_1(self, scores):
        assert 0 <= order_loss(*scores) <= 1

    @given(SCORES, st.floats(0.1, 100), st.floats(-100, 100))
    def test_nothing_is_lost_by_the_same_order_on_another_scale(self, fresh, scale, offset):
        cached = scale * np.array(fresh) + offset
        # Scaling may make equal what was not, but never the other way round.
        if len(np.unique(cached)) == len(np.unique(fresh)):
            assert order_loss(cached, fresh) == pytest.approx(0, abs=1e-9)

    @given(TWO_SCORES, st.floats(0.1, 100), st.floats(-100, 100))
    def test_the_scale_of_the_fresh_scores_does_not_matter(self, scores, scale, offset):
        cached, fresh = scores
        moved = scale * np.array(fresh) + offset
        assert order_loss(cached, moved) == pytest.approx(order_loss(cached, fresh), abs=1e-6)

    def test_an_order_among_equals_costs_nothing(self):
        assert order_loss([1, 2, 3, 4], [5, 5, 5, 5]) == 0
        assert order_loss([4, 3, 1, 2], [9, 8, 1, 1]) == pytest.approx(0)

    def test_two_documents_exchanged(self):
        # DCG of the best first is 1, of the best second 1 / log2(3).
        assert order_loss([0, 1], [1, 0]) == pytest.approx(1 - 1 / math.log2(3))

    def test_the_worst_candidate_sets_the_scale(self):
        restricted = order_loss([9, 10, 8], [10, 9, 8])
        assert order_loss([9, 10, 8], [10, 9, 8], worst=0) < restricted / 2
        assert order_loss([9, 10, 8, 0], [10, 9, 8, 0]) == pytest.approx(
            order_loss([9, 10, 8], [10, 9, 8], worst=0), abs=1e-9
        )

    def test_the_best_out_of_sight_costs_everything(self):
        assert order_loss(np.arange(20.0), [1.0] + [0.0] * 19) == 1

    def test_noise_costs_far_less_than_another_order(self):
        rng = np.random.default_rng(0)
        fresh = rng.normal(0, 4, (300, 50))
        noise = np.mean([order_loss(row + rng.normal(0, 0.16, 50), row) for row in fresh])
        chance = np.mean([order_loss(rng.permutation(row), row) for row in fresh])
        assert noise < 0.002
        assert chance > 0.3

    @given(TWO_SCORES)
    def test_overlap_is_a_share(self, scores):
        cached, fresh = scores
        assert 0 <= top_overlap(cached, fresh) <= 1
        assert top_overlap(fresh, fresh) == 1


class TestBands:
    @pytest.mark.parametrize(
        ("similarity", "band"),
        [
            (1.0, "0.995"),
            (0.995, "0.995"),
            (0.98, "0.98"),
            (0.9799, "0.97"),
            (0.6, "0.6"),
            (0.1, "below"),
            (-1, "below"),
        ],
    )
    def test_every_similarity_has_one(self, similarity, band):
        assert band_of(similarity) == band

    @given(st.floats(-1, 1), st.floats(-1, 1))
    def test_what_is_above_a_threshold_is_in_a_band_that_counts(self, similarity, threshold):
        if similarity > threshold:
            assert band_of(similarity) in bands_from(threshold)

    def test_a_threshold_on_an_edge_leaves_out_the_band_below(self):
        assert bands_from(0.98) == ("0.995", "0.99", "0.98")
        assert bands_from(NEVER) == ()
        assert EXACT not in bands_from(-1)
        assert set(bands_from(-1)) == set(BANDS) - {EXACT}


class TestBetting:
    @given(LOSSES)
    def test_bounds_hold_the_mean_of_what_was_seen_up_to_a_bin(self, losses):
        low, high = sequential_test.bounds(histogram(losses))
        assert 0 <= low <= high <= 1
        if losses:
            assert low <= np.mean(losses) + 1e-5
            assert high >= np.mean(losses) - 1e-5

    @given(LOSSES, st.floats(0.001, 0.9))
    def test_nothing_is_both_above_and_below(self, losses, limit):
        counts = histogram(losses)
        above, below = (
            sequential_test.log_e_value_above(counts, limit),
            sequential_test.log_e_value_below(counts, limit),
        )
        assert not (above > math.log(20) and below > math.log(20))

    def test_false_alarms_are_as_rare_as_promised_however_often_one_looks(self):
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

    def test_a_large_loss_is_certain_soon(self):
        assert sequential_test.log_e_value_above(histogram([0.1] * 20), 0.01) > math.log(1000)

    def test_a_small_mean_takes_about_as_many_as_the_rule_of_three_says(self):
        assert sequential_test.log_e_value_below(histogram([0.0] * 350), 0.01) > math.log(10)
        assert sequential_test.log_e_value_below(histogram([0.0] * 100), 0.01) < math.log(10)

    def test_no_values_prove_nothing(self):
        assert sequential_test.bounds(histogram([])) == (0.0, 1.0)


class TestTally:
    @settings(max_examples=50)
    @given(st.lists(TWO_SCORES, min_size=1, max_size=8), st.integers(0, 8))
    def test_processes_add_up(self, pairs, split):
        observations = [Observation("0.98", np.array(cached), np.array(fresh)) for cached, fresh in pairs]
        whole, left, right = (
            ReuseStatistics.of(_sums(part)) for part in (observations, observations[:split], observations[split:])
        )
        both = left + right
        np.testing.assert_allclose(both.losses, whole.losses)
        np.testing.assert_allclose(both.drifts, whole.drifts)
        assert (both.loss, both.overlap, both.drift) == pytest.approx((whole.loss, whole.overlap, whole.drift))

    def test_a_summary_says_what_was_seen(self):
        fresh = np.linspace(5, -5, 20)
        summary = ReuseStatistics.of(_sums([Observation("0.98", fresh - 0.5, fresh)] * 30)).summary()
        assert summary["n"] == 30
        assert summary["loss"] == 0
        assert summary["overlap"] == 1
        assert summary["drift"] == pytest.approx(0.5)
        assert 0.5 <= summary["drift_p95"] <= 0.8
        assert summary["loss_low"] == 0
        assert 0 < summary["loss_high"] < 0.15

    def test_nothing_seen_is_said_so(self):
        assert ReuseStatistics().summary() == {"n": 0}


def _sums(observations):
    sums = {}
    for observation in observations:
        for name, amount in observation.increments().items():
            sums[name] = sums.get(name, 0.0) + amount
    return sums


class TestDecide:
    WANTED, BUDGET = 0.97, 0.01
    GOOD, BAD, USELESS = [0.002] * 500, [0.1] * 60, [0.45] * 60

    def decide(self, trust, bands):
        return decide(trust, {band: reuse(losses) for band, losses in bands.items()}, self.WANTED, self.BUDGET)

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
    def test_from_full_trust(self, bands, near, exact):
        decided = self.decide(Trust(), bands)
        assert (decided.near, decided.exact) == (near, exact)
        assert bool(decided.reason) == (decided != Trust())

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
    def test_from_less_trust(self, before, bands, near, exact):
        decided = self.decide(before, bands)
        assert (decided.near, decided.exact) == (near, exact)

    def test_a_good_past_does_not_hide_a_bad_present(self):
        past = ReuseStatistics(older=histogram([0.0] * 1000))
        present = ReuseStatistics(recent=histogram([0.1] * 40))
        assert decide(Trust(), {"0.98": past + present}, self.WANTED, self.BUDGET).near > self.WANTED

    def test_noise_of_the_model_is_no_alarm(self):
        assert self.decide(Trust(), {EXACT: [EXACT_NOISE / 2] * 1000}) == Trust()

    @given(st.dictionaries(st.sampled_from(BANDS), LOSSES, max_size=6), st.sampled_from([0.0, 0.98, 0.995, NEVER]))
    @settings(max_examples=50, deadline=None)
    def test_a_decision_is_never_taken_back_at_once(self, seen, near):
        statistics = {band: reuse(losses) for band, losses in seen.items()}
        first = decide(Trust(near), statistics, self.WANTED, self.BUDGET)
        if first.is_stricter_than(Trust(near)):
            # Withdrawing starts the counting anew.
            assert decide(first, {}, self.WANTED, self.BUDGET) is first
        else:
            assert not decide(first, statistics, self.WANTED, self.BUDGET).is_stricter_than(first)

    @pytest.mark.parametrize("seed", range(8))
    def test_a_healthy_scope_is_never_trusted_less(self, seed):
        rng = np.random.default_rng(seed)
        sums = {EXACT: {}, "0.97": {}, "0.8": {}}
        for _ in range(400):
            fresh = rng.normal(0, 4, 50)
            for band, noise in ((EXACT, 0.16), ("0.97", 0.3), ("0.8", 1.5)):
                _count(sums[band], Observation(band, fresh + rng.normal(0, noise, 50), fresh))
            statistics = {band: ReuseStatistics.of(numbers) for band, numbers in sums.items()}
            assert decide(Trust(), statistics, self.WANTED, self.BUDGET) == Trust()

    @pytest.mark.parametrize("seed", range(8))
    @pytest.mark.parametrize("agreement", [0.0, 0.7])
    def test_another_reranker_is_noticed_within_60_observations(self, seed, agreement):
        """Also one whose scores have a correlation of 0.7 with the old one's."""
        rng = np.random.default_rng(seed)
        numbers, trust, count = {}, Trust(), 0
        while trust == Trust():
            count += 1
            fresh = rng.normal(0, 4, 50)
            cached = agreement * fresh + math.sqrt(1 - agreement**2) * rng.normal(0, 4, 50)
            _count(numbers, Observation(EXACT, cached, fresh))
            trust = decide(trust, {EXACT: ReuseStatistics.of(numbers)}, self.WANTED, self.BUDGET)
        assert count <= 60
        assert not trust.exact


def _count(numbers, observation):
    for name, amount in observation.increments().items():
        numbers[name] = numbers.get(name, 0.0) + amount


def test_thresholds_in_force_never_fall_below_what_the_user_wants():
    assert Trust().threshold(0.99) == 0.99
    assert Trust(0.98).threshold(0.99) == 0.99
    assert replace(Trust(), near=NEVER).threshold(0.99) == NEVER
