"""A document's scores for earlier queries say something about its score for another one."""

import numpy as np

from semcache.pruning.earlier import SHRINKAGE, effects


def test_one_query_says_little_and_many_say_their_mean() -> None:
    found = effects(np.array([2.0, 2000.0]), np.array([1.0, 1000.0]))
    assert found is not None
    assert found.round(2).tolist() == [round(2 / (1 + SHRINKAGE), 2), 1.98]


def test_what_is_no_number_is_unknown() -> None:
    sums = np.array([1.0, np.nan, np.inf, 1.0, 1.0])
    found = effects(sums, np.array([1.0, 1.0, 1.0, 0.0, -2.0]))
    assert found is not None
    assert np.isnan(found).tolist() == [False, True, True, True, True]
    assert effects(np.array([1.0, np.nan]), np.zeros(2)) is None


def test_a_number_far_from_all_others_is_damaged() -> None:
    found = effects(np.array([1.0, -2.0, 1e30]), np.ones(3))
    assert found is not None
    assert np.isnan(found).tolist() == [False, False, True]
