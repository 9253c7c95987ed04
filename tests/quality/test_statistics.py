"""The loss of an order, bands of similarity, and sums of observations."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
