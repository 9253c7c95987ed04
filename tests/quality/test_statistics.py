"""The loss of an order, bands of similarity, and sums of observations."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from semcache.quality.statistics import (
    BANDS,
    DRIFT_BINS,
    EXACT,
    GROUPS,
    Observation,
    ReuseStatistics,
    band_of,
    bands_from,
    order_loss,
    top_overlap,
)
from semcache.quality.trust import NEVER
from tests.quality.samples import SCORES, TWO_SCORES, TwoScores, sums_of


class TestOrderLoss:
    @given(TWO_SCORES)
    def test_lies_between_0_and_1(self, scores: TwoScores) -> None:
        assert 0 <= order_loss(*scores) <= 1

    @given(SCORES, st.floats(0.1, 100), st.floats(-100, 100))
    def test_nothing_is_lost_by_the_same_order_on_another_scale(
        self, fresh: list[float], scale: float, offset: float
    ) -> None:
        cached = scale * np.array(fresh) + offset
        # Scaling may make equal what was not, but never the other way round.
        if len(np.unique(cached)) == len(np.unique(fresh)):
            assert order_loss(cached, fresh) == pytest.approx(0, abs=1e-9)

    @given(TWO_SCORES, st.floats(0.1, 100), st.floats(-100, 100))
    def test_the_scale_of_the_fresh_scores_does_not_matter(
        self, scores: TwoScores, scale: float, offset: float
    ) -> None:
        cached, fresh = scores
        moved = scale * np.array(fresh) + offset
        assert order_loss(cached, moved) == pytest.approx(order_loss(cached, fresh), abs=1e-6)

    def test_an_order_among_equals_costs_nothing(self) -> None:
        assert order_loss([1, 2, 3, 4], [5, 5, 5, 5]) == 0
        assert order_loss([4, 3, 1, 2], [9, 8, 1, 1]) == pytest.approx(0)

    def test_two_documents_exchanged(self) -> None:
        # DCG of the best first is 1, of the best second 1 / log2(3).
        assert order_loss([0, 1], [1, 0]) == pytest.approx(1 - 1 / math.log2(3))

    def test_equal_cached_scores_share_the_mean_of_their_discounts(self) -> None:
        first, second, third = 1.0, 1 / math.log2(3), 0.5
        assert order_loss([5, 5], [1, 0]) == pytest.approx(1 - (first + second) / 2)
        assert order_loss([5, 5, 9], [1, 0, 0]) == pytest.approx(1 - (second + third) / 2)

    def test_only_the_first_ten_ranks_count(self) -> None:
        cached = [*range(20, 0, -1)]
        eleventh_best, tenth_best = [0.0] * 20, [0.0] * 20
        eleventh_best[10] = tenth_best[9] = 1.0
        assert order_loss(cached, eleventh_best) == 1
        assert order_loss(cached, tenth_best) == pytest.approx(1 - 1 / math.log2(11))

    def test_the_worst_candidate_sets_the_scale(self) -> None:
        restricted = order_loss([9, 10, 8], [10, 9, 8])
        assert order_loss([9, 10, 8], [10, 9, 8], worst=0) < restricted / 2
        assert order_loss([9, 10, 8, 0], [10, 9, 8, 0]) == pytest.approx(
            order_loss([9, 10, 8], [10, 9, 8], worst=0), abs=1e-9
        )

    def test_the_best_out_of_sight_costs_everything(self) -> None:
        assert order_loss(np.arange(20.0), [1.0] + [0.0] * 19) == 1

    def test_noise_costs_far_less_than_another_order(self) -> None:
        rng = np.random.default_rng(0)
        fresh = rng.normal(0, 4, (300, 50))
        noise = np.mean([order_loss(row + rng.normal(0, 0.16, 50), row) for row in fresh])
        chance = np.mean([order_loss(rng.permutation(row), row) for row in fresh])
        assert noise < 0.002
        assert chance > 0.3

    @given(TWO_SCORES)
    def test_overlap_is_a_share(self, scores: TwoScores) -> None:
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
    def test_every_similarity_has_one(self, similarity: float, band: str) -> None:
        assert band_of(similarity) == band

    @given(st.floats(-1, 1), st.floats(-1, 1))
    def test_what_is_above_a_threshold_is_in_a_band_that_counts(self, similarity: float, threshold: float) -> None:
        if similarity > threshold:
            assert band_of(similarity) in bands_from(threshold)

    @pytest.mark.parametrize(
        ("band", "group"),
        [("exact", "exact"), ("0.995", "near"), ("0.95", "near"), ("0.9", "far"), ("0.6", "far"), ("below", "far")],
    )
    def test_every_band_is_forgotten_with_a_group(self, band: str, group: str) -> None:
        assert Observation(band, np.zeros(1), np.zeros(1)).group == group

    def test_groups_hold_every_band_once(self) -> None:
        assert sorted(band for bands in GROUPS.values() for band in bands) == sorted(BANDS)

    def test_a_threshold_on_an_edge_leaves_out_the_band_below(self) -> None:
        assert bands_from(0.98) == ("0.995", "0.99", "0.98")
        assert bands_from(NEVER) == ()
        assert EXACT not in bands_from(-1)
        assert set(bands_from(-1)) == set(BANDS) - {EXACT}


class TestReuseStatistics:
    @settings(max_examples=50)
    @given(st.lists(TWO_SCORES, min_size=1, max_size=8), st.integers(0, 8))
    def test_processes_add_up(self, pairs: list[TwoScores], split: int) -> None:
        observations = [Observation("0.98", np.array(cached), np.array(fresh)) for cached, fresh in pairs]
        whole, left, right = (
            ReuseStatistics.of(sums_of(part)) for part in (observations, observations[:split], observations[split:])
        )
        both = left + right
        np.testing.assert_allclose(both.losses, whole.losses)
        np.testing.assert_allclose(both.drifts, whole.drifts)
        assert (both.loss, both.overlap, both.drift) == pytest.approx((whole.loss, whole.overlap, whole.drift))

    def test_a_summary_says_what_was_seen(self) -> None:
        fresh = np.linspace(5, -5, 20)
        summary = ReuseStatistics.of(sums_of([Observation("0.98", fresh - 0.5, fresh)] * 30)).summary()
        assert summary["n"] == 30
        assert summary["loss"] == 0
        assert summary["overlap"] == 1
        assert summary["drift"] == pytest.approx(0.5)
        assert 0.5 <= summary["drift_p95"] <= 0.8
        assert summary["loss_low"] == 0
        assert 0 < summary["loss_high"] < 0.15

    def test_nothing_seen_is_said_so(self) -> None:
        assert ReuseStatistics().summary() == {"n": 0}

    def test_means_are_over_observations_and_drift_over_documents(self) -> None:
        same = Observation("0.98", np.array([2.0, 1.0]), np.array([2.0, 1.0]))
        exchanged = Observation("0.98", np.array([1.0, 2.0]), np.array([2.0, 1.0]))
        summary = ReuseStatistics.of(sums_of([same, exchanged])).summary()
        assert summary["n"] == 2
        assert summary["loss"] == pytest.approx((1 - 1 / math.log2(3)) / 2)
        assert summary["overlap"] == 1
        assert summary["drift"] == pytest.approx(0.5)
        assert 0 <= summary["loss_low"] <= summary["loss"] <= summary["loss_high"] <= 1

    @pytest.mark.parametrize(("large", "p95"), [(5, 0.681), (6, 68.1)])
    def test_p95_is_by_nearest_rank_and_the_upper_edge_of_a_bin(self, large: int, p95: float) -> None:
        drifts = np.array([0.5] * (100 - large) + [50.0] * large)
        summary = ReuseStatistics.of(sums_of([Observation("0.98", np.zeros(100), drifts)])).summary()
        assert summary["drift_p95"] == pytest.approx(p95, rel=0.001)

    def test_a_drift_beyond_the_last_edge_is_shown_as_that_edge(self) -> None:
        assert DRIFT_BINS == 44
        summary = ReuseStatistics.of(sums_of([Observation("0.98", np.zeros(2), np.full(2, 1e6))])).summary()
        assert summary["drift_p95"] == pytest.approx(1000)

    def test_without_documents_nothing_was_seen(self) -> None:
        assert ReuseStatistics.of({"r3": 2.0, "loss": 1.0}).summary() == {"n": 0}

    def test_losses_are_recent_and_older_ones(self) -> None:
        statistics = ReuseStatistics.of({"r3": 2.0, "o3": 5.0, "o4": 1.0, "d7": 3.0, "overlap": 4.0})
        assert (statistics.recent[3], statistics.older[3], statistics.losses[3], statistics.losses[4]) == (2, 5, 7, 1)
        assert (statistics.drifts[7], statistics.loss, statistics.overlap, statistics.drift) == (3, 0, 4, 0)

    def test_empty_statistics_add_nothing(self) -> None:
        some = ReuseStatistics.of(sums_of([Observation("0.98", np.array([1.0, 2.0]), np.array([2.0, 1.0]))]))
        both = ReuseStatistics() + some
        assert (both.loss, both.overlap, both.drift) == (some.loss, some.overlap, some.drift)
        np.testing.assert_array_equal(both.losses, some.losses)
        np.testing.assert_array_equal(both.drifts, some.drifts)


@pytest.mark.parametrize(
    ("cached", "fresh", "overlap"),
    [
        ([], [], 0.0),
        ([1, 2, 3], [3, 2, 1], 1.0),
        (range(20), range(20, 0, -1), 0.0),
        (range(15), range(15, 0, -1), 0.5),
    ],
)
def test_top_overlap(cached: Sequence[float], fresh: Sequence[float], overlap: float) -> None:
    assert top_overlap(list(cached), list(fresh)) == overlap
