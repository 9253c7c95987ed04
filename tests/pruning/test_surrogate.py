"""The regression: what it learns from sums, with and without some of the features."""

import numpy as np
import pytest

from semcache.pruning.features import FEATURES, Features, Floats
from semcache.pruning.statistics import Statistics
from semcache.pruning.surrogate import Surrogate

WIDTH = len(FEATURES)
WEIGHTS = np.linspace(-2, 2, WIDTH)
EVERYTHING = np.ones(WIDTH, dtype=np.bool_)


def described(seed: int, available: np.ndarray = EVERYTHING, documents: int = 40) -> Features:
    random = np.random.default_rng(seed)
    values = random.normal(size=(documents, WIDTH))
    # Two features that go together, as rank and score of a retriever do.
    values[:, 1] = 0.8 * values[:, 0] + 0.6 * values[:, 1]
    values -= values.mean(axis=0)
    return Features(np.where(available, values, 0), available)


def scores(seed: int, noise: float = 0.5) -> Floats:
    return np.asarray(described(seed).values @ WEIGHTS + noise * np.random.default_rng(seed + 1).normal(size=40) + 3)


def taught(requests: int, available: np.ndarray = EVERYTHING) -> Statistics:
    sums = Statistics.empty()
    for seed in range(requests):
        sums += Statistics.of(described(seed, available), scores(seed))
    return sums


def surrogate(sums: Statistics) -> Surrogate:
    found = Surrogate.of(sums)
    assert found is not None
    return found


def test_it_finds_the_weights_and_how_far_off_it_is() -> None:
    predicted = surrogate(taught(200)).predict(described(999))
    true = described(999).values @ WEIGHTS
    assert predicted.scores == pytest.approx(true, abs=0.2)
    assert predicted.spread == pytest.approx(0.5, rel=0.1)


def test_expected_scores_are_differences_from_the_mean() -> None:
    assert surrogate(taught(40)).predict(described(999)).scores.mean() == pytest.approx(0, abs=1e-9)


def test_without_a_feature_the_others_take_over_as_if_it_had_never_been_there() -> None:
    some = EVERYTHING.copy()
    some[0] = False
    learned_without = surrogate(taught(150, some)).predict(described(999, some))
    learned_with = surrogate(taught(150)).predict(described(999, some))
    assert learned_with.scores == pytest.approx(learned_without.scores, abs=1e-6)
    assert learned_with.spread == pytest.approx(learned_without.spread, rel=1e-6)


def test_a_feature_that_only_some_requests_had_counts_by_those() -> None:
    some = EVERYTHING.copy()
    some[WIDTH - 1] = False
    mixed = surrogate(taught(200) + taught(200, some)).predict(described(999))
    assert mixed.scores == pytest.approx(described(999).values @ WEIGHTS, abs=0.35)


def test_a_feature_that_was_never_seen_is_not_used() -> None:
    some = EVERYTHING.copy()
    some[0] = False
    found = surrogate(taught(150, some))
    assert found.predict(described(999)).scores == pytest.approx(found.predict(described(999, some)).scores)


def test_requests_without_any_variation_predict_nothing() -> None:
    sums = Statistics.empty()
    for _ in range(40):
        sums += Statistics.of(Features(np.zeros((5, WIDTH)), EVERYTHING), np.full(5, 2.0))
    predicted = surrogate(sums).predict(described(999))
    assert not predicted.scores.any()
    assert (predicted.spread > 0).all()


def test_the_spread_follows_the_residuals_at_the_expected_rank() -> None:
    sums = taught(100)
    first = surrogate(sums)
    for seed in range(200, 400):
        known = described(seed)
        predicted = first.predict(known)
        wild = np.where(predicted.scores > np.sort(predicted.scores)[-4], 4.0, 1.0)
        truth = predicted.scores + wild * np.random.default_rng(seed).normal(size=40) * predicted.spread
        sums += Statistics.of(known, truth, predicted.scores, predicted.spread)
    spread = surrogate(sums).predict(described(999))
    order = np.argsort(-spread.scores)
    assert spread.spread[order[0]] > 2 * spread.spread[order[20]]


def test_the_change_between_two_queries_is_of_what_is_known_of_both() -> None:
    found = surrogate(taught(200))
    some = EVERYTHING.copy()
    some[2:] = False
    now, then = described(1), described(2, some)
    change = found.change(now, then)
    both = Features(np.where(some, now.values, 0), some)
    assert change == pytest.approx(found.predict(both).scores - found.predict(then).scores)


def test_scores_that_are_not_finite_teach_nothing() -> None:
    truth = scores(1)
    truth[3] = np.nan
    assert not Statistics.of(described(1), truth).sums.any()
