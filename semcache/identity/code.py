"""Digests of functions: what can be read of them without a call."""

from collections.abc import Iterator
from dis import get_instructions
from functools import partial
from hashlib import blake2b
from pathlib import PurePath
from types import CodeType, FunctionType, MethodType
from typing import Any

import numpy as np

_MOST_BYTES = 1 << 20
"""Larger arrays in a closure are not read: hashing a megabyte takes about a millisecond."""

_MOST_DEPTH = 8
"""Functions within functions; deeper ones are mostly frameworks, whose objects lead everywhere."""


def code_digest(function: Any) -> str:
    """16 hexadecimal digits that change with what a function does, as far as it can be read.

    Read are its bytecode, its defaults, and what it closes over: numbers, strings, tuples, small arrays and further
    functions. Other objects count by their class, since many change while they are used. Functions of installed
    libraries count by their name, since every release has other bytecode for the same behaviour. Two versions of Python
    give different digests.

    Example:
        >>> code_digest(lambda text: 1) == code_digest(lambda text: 2)
        False
    """
    digest = blake2b(digest_size=8)
    for part in _parts(function, _MOST_DEPTH):
        # The length in front keeps ("ab", "c") and ("a", "bc") apart.
        digest.update(len(part).to_bytes(8, "little") + part)
    return digest.hexdigest()


def _parts(value: Any, depth: int) -> Iterator[bytes]:
    match value:
        case None | bool() | int() | float() | complex() | str() | bytes():
            yield f"{type(value).__name__} {value!r}".encode("utf-8", "surrogatepass")
        case tuple() | frozenset() if depth:
            inner = [b"".join(_parts(item, depth - 1)) for item in value]
            # A set is iterated in another order in every process, since strings are hashed by a random key.
            yield from inner if isinstance(value, tuple) else sorted(inner)
        case np.ndarray() if value.nbytes <= _MOST_BYTES and not value.dtype.hasobject:
            yield f"{value.dtype.str} {value.shape}".encode() + value.tobytes()
        case partial() if depth:
            yield from _parts(value.func, depth - 1)
            yield from _parts((value.args, tuple(sorted(value.keywords.items()))), depth - 1)
        case MethodType() if depth:
            yield from _parts(value.__func__, depth - 1)
        case FunctionType() if depth:
            yield from _function_parts(value, depth)
        case CodeType() if depth:
            yield value.co_code
            yield from _parts((value.co_consts, value.co_names), depth - 1)
        case _:
            kind = value if hasattr(value, "__qualname__") else type(value)
            yield f"{kind.__module__}.{kind.__qualname__}".encode()


def _function_parts(function: FunctionType, depth: int) -> Iterator[bytes]:
    code = function.__code__
    is_installed = {"site-packages", "dist-packages"} & set(PurePath(code.co_filename).parts)
    yield from _parts(f"{function.__module__}.{function.__qualname__}" if is_installed else code, depth - 1)
    yield from _parts((function.__defaults__, tuple(sorted((function.__kwdefaults__ or {}).items()))), depth - 1)
    # What the function assigns itself is its memory, such as a count of its calls, and not what it is.
    written = _assigned_cells(code)
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
        if name not in written:
            try:
                yield from _parts(cell.cell_contents, depth - 1)
            except ValueError:  # a name of the enclosing function that has no value yet
                yield b"unassigned"


def _assigned_cells(code: CodeType) -> set[str]:
    return {str(step.argval) for step in get_instructions(code) if step.opname in ("STORE_DEREF", "DELETE_DEREF")}
