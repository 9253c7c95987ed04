"""Pruning replayed: its savings and its loss on requests whose scores are known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from semcache.flow.drift import UNKNOWN, Prior
from semcache.flow.policy import ReusePolicy
from semcache.flow.replay import replay, top_loss
from semcache.flow.reuse import Learned, with_learned
from semcache.pruning.surrogate import Predicted

POLICY = ReusePolicy(confidence=1.0)


def expecting(scores: list[float], spread: float = 1.0) -> Prior:
    count = len(scores)
    nothing = Prior(np.full(count, np.nan), np.full(count, UNKNOWN, dtype=np.intp), np.empty(0))
    return with_learned(nothing, Learned(Predicted(np.array(scores), np.full(count, spread))))


def test_expectations_that_hold_leave_the_tail_out_and_lose_nothing() -> None:
    truth = np.arange(50.0)[::-1]
    found = replay(expecting((truth - truth.mean()).tolist(), 0.1), truth, 5, POLICY)
    assert (found.asked, found.kept, found.loss) == (7, 1.0, 0.0)
    assert found.avoided == pytest.approx(43 / 50)


def test_a_document_that_nothing_was_expected_of_is_lost() -> None:
    truth = np.arange(50.0)[::-1].copy()
    expected = (truth - truth.mean()).tolist()
    truth[49] = 60.0
    found = replay(expecting(expected, 0.1), truth, 5, POLICY)
    assert found.kept == 4 / 5
    gains, discounts = truth - truth.min(), 1 / np.log2(np.arange(2, 7))
    best, served = np.sort(gains)[::-1][:5], gains[:5]
    assert found.loss == pytest.approx(1 - (served @ discounts) / (best @ discounts))


def test_scores_that_were_known_before_cost_nothing() -> None:
    truth = np.arange(50.0)[::-1]
    known = np.where(np.arange(50) < 40, truth, np.nan)
    found = replay(expecting((truth - truth.mean()).tolist(), 0.1), truth, 5, POLICY, known=known)
    assert (found.asked, found.loss) == (0, 0.0)


def test_documents_below_the_least_score_are_neither_asked_about_nor_missed() -> None:
    random = np.random.default_rng(1)
    truth = random.normal(size=50)
    prior = expecting(np.zeros(50).tolist(), 1.0)
    whole, least = replay(prior, truth, 5, POLICY), replay(prior, truth, 5, POLICY, min_score=4.0)
    assert least.asked == 7 < whole.asked
    assert (least.loss, least.kept) == (0.0, 1.0)


def test_equal_scores_lose_nothing() -> None:
    assert replay(expecting([0.0] * 20), np.full(20, 2.0), 5, POLICY).loss == 0
    assert top_loss(np.array([1.0]), np.array([1.0]), 1.0) == 0


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10_000), st.integers(1, 40), st.integers(1, 12), st.floats(0, 3), st.integers(1, 4))
def test_a_loss_is_a_share_and_none_if_everything_was_asked_about(
    seed: int, documents: int, top_k: int, confidence: float, rounds: int
) -> None:
    random = np.random.default_rng(seed)
    truth = random.normal(size=documents) * 3
    prior = expecting((truth * random.uniform(0, 1) + random.normal(size=documents)).tolist())
    found = replay(prior, truth, min(top_k, documents), ReusePolicy(confidence=confidence, max_rounds=rounds))
    assert 0 <= found.loss <= 1
    assert 0 <= found.kept <= 1
    assert found.rounds <= rounds
    assert found.asked >= min(top_k, documents)
    if found.kept == 1:
        assert found.loss == pytest.approx(0, abs=1e-9)
