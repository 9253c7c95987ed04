"""The scores that are expected of documents from cached scores of near queries: worked out by hand for small cases."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from semcache.flow.drift import LEAST_DISTANCE, UNKNOWN, Floats, Prior, expect
from semcache.ranking import Drift

NAN = float("nan")
# 1.5 sqrt(1 - 0.9), the spread at similarity 0.9 before any drift was seen, in standard deviations.
BEFORE = 1.5 * np.sqrt(0.1)


def prior(scores: list[float], source: list[int], similarity: list[float]) -> Prior:
    return Prior(np.array(scores), np.array(source, dtype=np.intp), np.array(similarity))


def fresh(*scores: float) -> Floats:
    return np.array(scores)


def test_nothing_known_expects_nothing() -> None:
    expected = expect(prior([NAN, NAN], [UNKNOWN, UNKNOWN], []), fresh(NAN, NAN))
    assert np.isnan(expected.scores).all()
    assert (expected.drift, expected.distance) == (None, None)


def test_without_fresh_scores_the_cached_ones_are_expected_the_less_surely_the_farther_they_come_from() -> None:
    expected = expect(prior([3.0, 1.0, NAN], [0, 1, UNKNOWN], [0.9, 0.6]), fresh(NAN, NAN, NAN))
    assert expected.scores[:2].tolist() == [3.0, 1.0]
    assert expected.spread[:2] == pytest.approx([BEFORE, 1.5 * np.sqrt(0.4)]), "their standard deviation is 1"
    assert np.isnan(expected.spread[2])
    assert (expected.drift, expected.distance) == (None, None)


def test_a_neighbour_at_similarity_1_is_not_believed_without_a_doubt() -> None:
    expected = expect(prior([3.0, 1.0], [0, 0], [1.0]), fresh(NAN, NAN))
    assert expected.spread == pytest.approx(1.5 * np.sqrt(LEAST_DISTANCE))


def test_equal_cached_scores_have_hardly_any_spread_and_divide_nothing_by_0() -> None:
    expected = expect(prior([2.0, 2.0], [0, 0], [0.9]), fresh(1.0, NAN))
    assert expected.scores[1] == pytest.approx(1.0)
    assert np.isfinite(expected.spread).all()


def test_the_drift_of_one_document_is_expected_of_the_next() -> None:
    expected = expect(prior([3.0, 1.0], [0, 0], [0.9]), fresh(2.0, NAN))
    assert expected.scores.tolist() == [2.0, 0.0]
    assert expected.drift == Drift(median=-1.0, spread=0.0, samples=1)
    # In squares of BEFORE: 1 + 1/2 for the neighbour's offset + 1/10 for the slope, at one unit on either side of the
    # mean, and a covariance of 1/2 - 1/10. One document tells as much, and the offset over all remains to be learned.
    variance = 1.6 - 0.4**2 / 1.6 + (1 - 0.4 / 1.6) ** 2 * 1.6
    # No surprise: 15 expected samples and 1 that fits exactly, once over all neighbours and once for this one.
    own = (15 * (15 / 16)) / 16
    assert expected.spread == pytest.approx([0, BEFORE * np.sqrt(own * variance)], abs=1e-6)
    assert expected.distance == pytest.approx(1.0), "the median is the larger of the two"


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 3), st.booleans())
def test_rounds_expect_what_all_scores_at_once_do(seed: int, sources: int, is_alike: bool) -> None:
    random = np.random.default_rng(seed)
    vectors = random.normal(size=(30, 3))
    before = Prior(
        random.normal(0, 3, 30),
        random.integers(-1, sources, 30),
        random.uniform(0.6, 1, sources),
        random.uniform(0.5, 2, 30),
        np.eye(30) + vectors @ vectors.T if is_alike else None,
    )
    truth, seen = random.normal(0, 3, 30), np.full(30, NAN)
    for asked in np.array_split(random.permutation(30)[:20], 4):
        seen[asked] = truth[asked]
        by_rounds, at_once = expect(before, seen), expect(replace(before), seen)
        np.testing.assert_allclose(by_rounds.scores, at_once.scores, atol=1e-8)
        np.testing.assert_allclose(by_rounds.spread, at_once.spread, atol=1e-6)
        assert by_rounds.drift == at_once.drift
    # Other scores than those of the rounds before begin anew.
    other = np.where(np.arange(30) % 2, truth, NAN)
    np.testing.assert_allclose(expect(before, other).scores, expect(replace(before), other).scores, atol=1e-8)


def test_what_was_expected_is_not_worked_out_twice() -> None:
    cached = prior([3.0, 1.0, 0.0], [0, 0, 0], [0.9])
    assert expect(cached, fresh(2.0, NAN, NAN)) is expect(cached, fresh(2.0, NAN, NAN))
    assert expect(cached, fresh(2.0, NAN, NAN)) is not expect(cached, fresh(2.0, 1.0, NAN))


def test_a_neighbour_without_samples_of_its_own_follows_the_others_and_is_less_sure() -> None:
    expected = expect(prior([3.0, 1.0, 3.0, 1.0], [0, 0, 1, 1], [0.9, 0.9]), fresh(2.0, 0.0, NAN, NAN))
    assert expected.scores.tolist() == [2.0, 0.0, 2.0, 0.0]
    assert expected.spread[:2] == pytest.approx([0, 0], abs=1e-6)
    same = expect(prior([3.0, 1.0, 3.0, 1.0], [0, 0, 0, 0], [0.9, 0.9]), fresh(2.0, 0.0, NAN, NAN))
    assert (expected.spread[2:] > same.spread[2:]).all()


@pytest.mark.parametrize("seed", range(5))
def test_scores_and_spreads_are_those_of_a_gaussian_process_with_an_unknown_offset(seed: int) -> None:
    random = np.random.default_rng(seed)
    count, near = 12, np.array([0.9, 0.7])
    source = random.integers(0, 2, count)
    scores, true = random.normal(0, 3, (2, count))
    asked = np.arange(count) < 7
    likeness = np.corrcoef(random.normal(size=(count, 30))) + 0.1 * np.eye(count)
    expected = expect(Prior(scores, source, near, likeness=likeness), np.where(asked, true, NAN))

    unit = scores.std()
    before = 1.5 * unit * np.sqrt(1 - near)[source]
    level = (scores - scores.mean()) / unit
    covariance = (likeness + (source[:, None] == source) / 2 + np.outer(level, level) / 10) * np.outer(before, before)
    # An offset that could be anything, as a variance that is far above all others.
    covariance += 1e5
    seen, weights = true[asked] - scores[asked], np.linalg.inv(covariance[np.ix_(asked, asked)])
    across = covariance[np.ix_(~asked, asked)]
    variance = np.diagonal(covariance)[~asked] - np.einsum("ij,jk,ik->i", across, weights, across)
    assert expected.scores[~asked] == pytest.approx(scores[~asked] + across @ weights @ seen, abs=1e-3)
    ratio = expected.spread[~asked] ** 2 / variance
    for each in (0, 1):
        mine = ratio[source[~asked] == each]
        assert mine == pytest.approx(mine.mean(), rel=5e-3), "the growth is one per source"


def test_each_neighbour_has_its_own_offset_and_half_a_share_in_the_others() -> None:
    expected = expect(prior([3.0, 1.0, 3.0, 1.0], [0, 0, 1, 1], [0.9, 0.9]), fresh(4.0, NAN, 2.0, NAN))
    # Drifts of +1 and -1: the mean, 0, counts as two more samples of each neighbour.
    assert expected.scores[[1, 3]] == pytest.approx([1 + 1 / 3, 1 - 1 / 3])


def test_a_drift_that_grows_with_the_score_is_a_slope() -> None:
    expected = expect(prior([3.0, 2.0, 1.0, 0.0], [0] * 4, [0.9]), fresh(4.5, 3.0, 1.5, NAN))
    unit = np.std([3.0, 2.0, 1.0, 0.0])
    # Drifts 1.5, 1.0, 0.5 around cached 3, 2, 1: ridge regression with 10 further samples of slope 0 at one unit.
    slope = 1.0 / (2.0 + 10 * unit**2)
    assert expected.scores[3] == pytest.approx(1.0 + slope * (0.0 - 2.0))
    assert expected.drift is not None
    assert expected.drift.median == pytest.approx(1.0)
    assert expected.drift.spread == pytest.approx(1.4826 * 0.5)


def test_a_surprise_widens_the_spread_of_its_neighbour_most() -> None:
    known = prior([3.0, 1.0, 3.0, 1.0, 2.0, 2.0], [0, 0, 1, 1, 0, 1], [0.9, 0.9])
    calm = expect(known, fresh(3.0, 1.0, 3.0, 1.0, NAN, NAN)).spread
    startled = expect(known, fresh(6.0, -2.0, 3.0, 1.0, NAN, NAN)).spread
    assert startled[4] > startled[5] > calm[5]


@pytest.mark.parametrize(("moved", "median"), [((1.0, 2.0, 9.0), 2.0), ((1.0, 2.0, 4.0, 9.0), 3.0)])
def test_the_median_of_even_numbers_is_the_middle_of_the_two(moved: tuple[float, ...], median: float) -> None:
    cached = list(range(len(moved)))
    expected = expect(prior([*map(float, cached)], [0] * len(moved), [0.9]), np.array(cached) + np.array(moved))
    assert expected.drift is not None
    assert (expected.drift.median, expected.drift.samples) == (median, len(moved))
