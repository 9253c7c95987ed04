"""Scores of rerankers: those that are accepted, those that are refused, and the errors for these."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from semcache.errors import RerankerError
from semcache.rerankers.checked import checked_scores


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ([1.0, 2.0], "gave 2 scores for 3 pairs"),
        ([1.0, 2.0, 3.0, 4.0], "gave 4 scores for 3 pairs"),
        ([], "gave 0 scores for 3 pairs"),
        (1.0, "gave 1 scores for 3 pairs"),
        ([1.0, float("nan"), 3.0], "gave 1 of 3 scores that are not finite, first nan for pair 1"),
        ([float("inf"), float("nan"), 3.0], "gave 2 of 3 scores that are not finite, first inf for pair 0"),
        ([1.0, 2.0, 1e300], "first inf for pair 2"),
        ([[1.0, 2.0], [1.0, 2.0], [1.0, 2.0]], r"shape \(3, 2\) for 3 pairs; .*single label"),
        ([[1.0], [2.0, 3.0], [1.0]], "instead of one number per pair"),
        (["a", "b", "c"], "instead of one number per pair"),
        (["1.5", "2", "3"], "instead of one number per pair"),
        ([1 + 2j, 1.0, 1.0], "instead of one number per pair"),
        (None, "first nan|instead of one number|gave 1 scores"),
        ({"a": 1.0}, "instead of one number per pair"),
    ],
)
def test_refuses(scores: object, message: str) -> None:
    with pytest.raises(RerankerError, match=message) as caught:
        checked_scores(scores, 3, "model-x")
    assert "model-x" in str(caught.value)


@pytest.mark.parametrize(
    "scores",
    [[1, 2, 3], (1.0, 2.0, 3.0), np.array([1.0, 2.0, 3.0]), np.array([[1.0], [2.0], [3.0]]), [[1.0], [2.0], [3.0]]],
)
def test_takes_lists_arrays_and_columns(scores: object) -> None:
    taken = checked_scores(scores, 3, "model-x")
    assert taken.tolist() == [1.0, 2.0, 3.0]
    assert taken.dtype == np.float32


def test_takes_tensors_of_types_that_numpy_has_not() -> None:
    import torch

    scores = torch.tensor([1.0, 2.0, 3.0], dtype=torch.bfloat16, requires_grad=True)
    assert checked_scores(scores, 3, "model-x").tolist() == [1.0, 2.0, 3.0]


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False)))
def test_accepted_scores_are_unchanged(scores: list[float]) -> None:
    assert checked_scores(scores, len(scores), "model-x").tolist() == scores


@pytest.mark.parametrize("score", [4, 4.0, np.float64(4), np.float32(4), np.int64(4), np.array(4.0), [4.0], [[4.0]]])
def test_takes_a_bare_number_as_the_score_of_a_single_pair(score: object) -> None:
    assert checked_scores(score, 1, "model-x").tolist() == [4.0]


def test_takes_a_tensor_without_dimensions_as_the_score_of_a_single_pair() -> None:
    import torch

    assert checked_scores(torch.tensor(4.0, requires_grad=True), 1, "model-x").tolist() == [4.0]


@pytest.mark.parametrize("score", ["4.0", None, {"score": 4.0}, object()])
def test_refuses_what_is_no_number_for_a_single_pair(score: object) -> None:
    with pytest.raises(RerankerError, match="instead of one number per pair"):
        checked_scores(score, 1, "model-x")
