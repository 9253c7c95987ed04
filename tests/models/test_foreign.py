"""Objects and numbers of other libraries."""

from typing import Any

import numpy as np
import pytest

from semcache.models.foreign import as_float32, has_methods


@pytest.mark.parametrize(
    "numbers",
    [[[1, 2], [3, 4]], ((1.0, 2.0), (3.0, 4.0)), np.array([[1.0, 2.0], [3.0, 4.0]]), [np.array([1, 2]), [3, 4]]],
)
def test_takes_lists_tuples_and_arrays(numbers: Any) -> None:
    array = as_float32(numbers)
    assert array.tolist() == [[1.0, 2.0], [3.0, 4.0]]
    assert array.dtype == np.float32


def test_takes_tensors_that_numpy_cannot_read() -> None:
    import torch

    tensor = torch.tensor([[1.0, 2.0], [3.0, 4.0]], dtype=torch.bfloat16, requires_grad=True)
    for numbers in (tensor, list(tensor), tuple(tensor)):
        assert as_float32(numbers).tolist() == [[1.0, 2.0], [3.0, 4.0]]


def test_numbers_beyond_float32_become_infinite_without_a_warning(recwarn: pytest.WarningsRecorder) -> None:
    assert as_float32(np.array([1e300])).tolist() == [float("inf")]
    assert not recwarn.list


@pytest.mark.parametrize("wrong", [[[1.0, 2.0], [3.0]], "text", {"a": 1.0}, [object()]])
def test_refuses_other_things(wrong: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        as_float32(wrong)


def test_a_method_can_be_called() -> None:
    assert has_methods("text", "upper", "lower")
    assert not has_methods("text", "upper", "rank")
    assert not has_methods(np.empty(0), "shape")
    assert not has_methods(None, "score")
