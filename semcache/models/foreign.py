"""Reads objects of other libraries: where they come from, the methods they have and the numbers they return."""

from inspect import getattr_static
from numbers import Real
from typing import Any

import numpy as np

from semcache.protocols import FloatArray

_ABSENT = object()


def has_methods(obj: Any, *methods: str) -> bool:
    """Whether all of these attributes are there and can be called."""
    return all(callable(getattr(obj, method, None)) for method in methods)


def has_members(obj: Any, *names: str) -> bool:
    """Whether an object or its class has all of these attributes. Their values are not read.

    isinstance() of a protocol reads them, until Python 3.12, and a property may have to ask a service for its value.
    """
    return all(getattr_static(obj, name, _ABSENT) is not _ABSENT for name in names)


def is_from(obj: Any, *libraries: str) -> bool:
    """Whether the class of an object, or one that it derives from, belongs to one of these top-level packages.

    Nothing is imported for it.
    """
    return any(kind.__module__.partition(".")[0] in libraries for kind in type(obj).__mro__)


def plain(value: Any) -> Any:
    """Arrays and tensors of any device as lists, those without dimensions as numbers; all else as it is."""
    # Known by their methods: importing torch to ask for its class would take seconds where it is not used.
    return value.tolist() if hasattr(value, "tolist") and hasattr(value, "ndim") else value


def as_float32(numbers: Any) -> FloatArray:
    """A float32 array of any array, number, nested sequence, or tensor on any device, also of a list of tensors.

    A float64 beyond float32 becomes infinite. Raises TypeError or ValueError for anything else.
    """
    # Tensors go through lists, since numpy reads neither those of a GPU, nor those with gradients, nor bfloat16.
    if hasattr(numbers, "detach"):
        numbers = numbers.tolist()
    elif isinstance(numbers, (list, tuple)) and numbers and hasattr(numbers[0], "detach"):
        numbers = [tensor.tolist() for tensor in numbers]
    found = np.asarray(numbers)
    # numpy would read texts as numbers, and drop the imaginary part of complex ones.
    if found.dtype.kind in "SUc":
        raise TypeError(f"{type(numbers).__name__} of {found.dtype} has no real numbers")
    # Callers refuse infinite numbers with an error of their own, so numpy need not warn about them.
    with np.errstate(over="ignore"):
        array: FloatArray = np.asarray(found, dtype=np.float32)
    # numpy makes a number of a text such as "0.5", and NaN of None.
    if array.ndim == 0 and not isinstance(plain(numbers), Real):
        raise TypeError(f"{type(numbers).__name__} is no number")
    return array
