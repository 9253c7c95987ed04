"""Reads objects of other libraries: the methods they have and the numbers they return."""

from typing import Any

import numpy as np

from semcache.protocols import FloatArray


def has_methods(obj: Any, *methods: str) -> bool:
    """Whether all of these attributes are there and can be called."""
    return all(callable(getattr(obj, method, None)) for method in methods)


def as_float32(numbers: Any) -> FloatArray:
    """A float32 array of any array, nested sequence, or tensor on any device, also of a list of tensors.

    A float64 beyond float32 becomes infinite. Raises TypeError or ValueError for anything else.
    """
    # Tensors go through lists, since numpy reads neither those of a GPU, nor those with gradients, nor bfloat16. They
    # are known by their method: importing torch to ask for its class would take seconds where it is not used.
    if hasattr(numbers, "detach"):
        numbers = numbers.tolist()
    elif isinstance(numbers, (list, tuple)) and numbers and hasattr(numbers[0], "detach"):
        numbers = [tensor.tolist() for tensor in numbers]
    # Callers refuse infinite numbers with an error of their own, so numpy need not warn about them.
    with np.errstate(over="ignore"):
        return np.asarray(numbers, dtype=np.float32)
