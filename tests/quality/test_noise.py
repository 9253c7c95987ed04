"""The noise of a reranker, and losses that it explains."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from semcache.quality.noise import Noise, beyond_noise
from semcache.quality.statistics import EXACT, Floats, Observation, ReuseStatistics, order_loss
from semcache.quality.trust import EXACT_NOISE, Trust, decide
from tests.quality.samples import SCORES, TWO_SCORES, TwoScores, add

USER_THRESHOLD, BUDGET = 0.97, 0.01


def test_one_that_repeats_itself_has_none() -> None:
    assert Noise().tolerance == 0
    assert Noise().after([1.0, 5.0, 2.0], [1.0, 5.0, 2.0]).tolerance == 0


def test_what_all_scores_differ_by_is_none() -> None:
    assert Noise().after([1.0, 5.0, 2.0], [2.5, 6.5, 3.5]).tolerance == 0


def test_it_is_that_of_the_latest_requests() -> None:
    noise = Noise().after([1.0, 2.0, 3.0, 4.0], [1.1, 1.9, 3.1, 3.9])
    assert noise.tolerance == pytest.approx(0.2)
    for _ in range(7):
        noise = noise.after([1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 3.0, 4.0])
    assert noise.tolerance == pytest.approx(0.2 / math.sqrt(8))
    assert noise.after([1.0, 2.0], [1.0, 2.0]).tolerance == 0


@given(TWO_SCORES)
def test_without_noise_the_cached_scores_stay(scores: TwoScores) -> None:
    assert beyond_noise(*scores, tolerance=0.0).tolist() == scores[0]


@given(TWO_SCORES, st.floats(0, 100))
def test_no_score_moves_by_more_than_the_tolerance(scores: TwoScores, tolerance: float) -> None:
    cached = np.array(scores[0])
    assert np.abs(beyond_noise(*scores, tolerance) - cached).max() <= tolerance + 1e-9


@given(SCORES, st.floats(-50, 50))
def test_differences_within_it_cost_nothing(fresh: list[float], offset: float) -> None:
    rng = np.random.default_rng(len(fresh))
    cached = np.array(fresh) + offset + rng.uniform(-0.1, 0.1, len(fresh))
    assert order_loss(beyond_noise(cached, fresh, 0.2), np.array(fresh) + offset) == pytest.approx(0, abs=1e-9)


class Scope:
    """Audits of a scope whose reranker has noise of 0.1 and documents of which all scores spread as little as told."""

    def __init__(self, seed: int, spread: float, documents: int) -> None:
        self._rng = np.random.default_rng(seed)
        self._spread, self._documents = spread, documents
        self._noise = Noise()
        self._numbers: dict[str, float] = {}
        self.raw: list[float] = []

    def audit(self, agreement: float = 1.0, *, is_aware: bool = True) -> Trust:
        """What is trusted after one more audit of scores that another reranker gave, or (1.0) the same."""
        true = self._rng.normal(0, self._spread, self._documents)
        other = self._rng.normal(0, self._spread, self._documents)
        cached = self._answer(agreement * true + math.sqrt(1 - agreement**2) * other)
        fresh, again = self._answer(true), self._answer(true)
        self._noise = self._noise.after(fresh, again)
        tolerance = self._noise.tolerance if is_aware else 0.0
        self.raw.append(order_loss(cached, fresh))
        add(self._numbers, Observation(EXACT, cached, fresh, tolerance=tolerance))
        return decide(Trust(), {EXACT: ReuseStatistics.of(self._numbers)}, USER_THRESHOLD, BUDGET)

    def _answer(self, scores: Floats) -> Floats:
        return scores + self._rng.normal(0, 0.1, self._documents)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("documents", [2, 5, 20, 50])
@pytest.mark.parametrize("spread", [0.0, 0.1, 0.4])
def test_near_ties_of_a_noisy_reranker_are_trusted_on(seed: int, documents: int, spread: float) -> None:
    scope = Scope(seed, spread, documents)
    assert {scope.audit() for _ in range(300)} == {Trust()}
    # Two answers of the reranker itself lose that much, which looks like another model.
    assert np.mean(scope.raw) > EXACT_NOISE / 2
    if spread <= 0.1:
        unaware = Scope(seed, spread, documents)
        assert any(not unaware.audit(is_aware=False).exact for _ in range(300))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("spread", "agreement", "within"), [(4.0, 0.0, 20), (4.0, 0.7, 60), (0.4, 0.0, 40)])
def test_another_reranker_is_noticed_through_the_noise(seed: int, spread: float, agreement: float, within: int) -> None:
    """At once where scores are apart, and also where they spread by no more than four times the noise."""
    scope = Scope(seed, spread, documents=20)
    assert any(not scope.audit(agreement).exact for _ in range(within))
