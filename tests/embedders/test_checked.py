"""Vectors of embedders: those that are accepted, those that are refused, and the errors for these."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from semcache.embedders.checked import unit_vectors
from semcache.errors import EmbedderError

TEXTS = ["one", "two"]


@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        ([[1.0, 2.0, 3.0]], "gave 1 vectors for 2 texts"),
        ([[1.0, 2.0, 3.0]] * 3, "gave 3 vectors for 2 texts"),
        ([[1.0, 2.0]] * 2, "gave vectors of 2 numbers where 3 were expected; set dims=2"),
        ([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]], r"vector that is zero for text 1 \('two'\)"),
        ([[1.0, float("nan"), 3.0], [1.0, 1.0, 1.0]], r"NaN or infinite numbers for text 0 \('one'\)"),
        ([[1.0, 2.0, 3.0], [1.0, float("-inf"), 1.0]], r"NaN or infinite numbers for text 1"),
        ([[1e300, 2.0, 3.0]] * 2, "NaN or infinite numbers for text 0"),
        ([[1.0, 2.0, 3.0], [1.0]], "instead of one vector per text"),
        ([1.0, 2.0], r"array of shape \(2,\)"),
        ("vectors", "instead of one vector per text"),
        (None, "array of shape|instead of one vector"),
        ([["a", "b", "c"]] * 2, "instead of one vector per text"),
    ],
)
def test_refuses(vectors: object, message: str) -> None:
    with pytest.raises(EmbedderError, match=message) as caught:
        unit_vectors(vectors, TEXTS, 3, "model-x")
    assert "model-x" in str(caught.value)


@pytest.mark.parametrize("kind", [list, np.asarray, lambda rows: [np.asarray(row) for row in rows]])
def test_takes_lists_and_arrays(kind: type) -> None:
    vectors = unit_vectors(kind([[3.0, 4.0], [0.0, 2.0]]), TEXTS, 2, "model-x")
    assert vectors == pytest.approx(np.array([[0.6, 0.8], [0.0, 1.0]]))
    assert vectors.dtype == np.float32


def test_takes_tensors_of_types_that_numpy_has_not() -> None:
    import torch

    rows = torch.tensor([[3.0, 4.0], [0.0, 2.0]], dtype=torch.bfloat16, requires_grad=True)
    expected = pytest.approx(np.array([[0.6, 0.8], [0.0, 1.0]]))
    assert unit_vectors(rows, TEXTS, 2, "model-x") == expected
    assert unit_vectors(list(rows), TEXTS, 2, "model-x") == expected


numbers = st.floats(-(2.0**120), 2.0**120, width=32)


@given(arrays(np.float32, (2, 4), elements=numbers))
def test_accepted_vectors_have_length_one_and_keep_their_direction(rows: np.ndarray) -> None:
    if not rows.any(axis=1).all():
        with pytest.raises(EmbedderError, match="is zero"):
            unit_vectors(rows, TEXTS, 4, "model-x")
        return
    vectors = unit_vectors(rows, TEXTS, 4, "model-x")
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1.0, abs=1e-5)
    assert (vectors * np.sign(rows) >= 0).all()
