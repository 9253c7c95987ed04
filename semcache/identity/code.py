"""Reads functions: a digest of what they do, and whether that is all there is to know of them."""

import builtins
import re
from collections.abc import Iterator, Mapping
from dis import Instruction, get_instructions
from functools import partial
from hashlib import blake2b
from pathlib import PurePath
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any, NamedTuple

import numpy as np

from semcache.identity.kinds import IdentifiedBy

_MOST_BYTES = 1 << 20
"""Larger arrays are not read: hashing a megabyte takes about a millisecond."""
_MOST_ITEMS = 10_000
"""Larger lists, sets and mappings are not read."""
_MOST_DEPTH = 8
"""Functions within functions. Those further down are mostly frameworks, whose objects lead everywhere."""

# What these do depends on their arguments alone. ``time`` is here for sleep(): a score that depends on the time of day
# does so in every process alike.
_PURE_MODULES = frozenset(
    (
        *("builtins", "collections", "difflib", "functools", "itertools", "math", "numpy", "operator", "re"),
        *("statistics", "string", "time", "unicodedata"),
    )
)
_IMPURE_NAMES = frozenset(
    ("open", "input", "eval", "exec", "globals", "locals", "vars", "__import__", "random", "load", "memmap")
)
_LOADING = ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_ATTR", "LOAD_METHOD", "IMPORT_FROM")
_WRITING = ("STORE_DEREF", "DELETE_DEREF", "STORE_GLOBAL", "DELETE_GLOBAL")
_CHANGING = frozenset(
    (
        *("add", "append", "appendleft", "clear", "discard", "extend", "insert", "pop", "popitem", "remove"),
        *("setdefault", "sort", "update"),
    )
)


class Reading(NamedTuple):
    """A digest of all that could be read of a function: 16 hexadecimal digits, and whether it is the whole of it."""

    digest: str
    is_whole: bool

    @property
    def identified_by(self) -> IdentifiedBy:
        """By its code if that is all that its scores depend on, else by probes."""
        return IdentifiedBy.CODE if self.is_whole else IdentifiedBy.PROBE


def read_function(function: Any) -> Reading:
    """Read a function, a partial, a method or a value.

    Read are its bytecode, its defaults, and what it closes over and takes from its module: numbers, texts, tuples,
    small arrays, further functions, and containers that it does not change. It is read whole if there is nothing else,
    and if it calls nothing but itself, such functions, and modules that compute, such as ``math``. Objects, files and
    services are not read, nor code of installed libraries, which is another in every release for the same behaviour.
    Two versions of Python give different digests.

    Example:
        >>> read_function(lambda text: 1).digest == read_function(lambda text: 2).digest
        False
    """
    reader = _Reader()
    digest = blake2b(digest_size=8)
    for part in reader.parts(function, _MOST_DEPTH):
        # The length in front keeps ("ab", "c") and ("a", "bc") apart.
        digest.update(len(part).to_bytes(8, "little") + part)
    return Reading(digest.hexdigest(), reader.is_whole)


class _Reader:
    """Yields the parts of one function, and sees whether anything was left out."""

    def __init__(self) -> None:
        self.is_whole = True
        # Functions that are being read: one that calls itself is not read again.
        self._open: set[int] = set()

    def parts(self, value: Any, depth: int, *, may_change: bool = True) -> Iterator[bytes]:
        """The readable parts of a value. ``may_change``: containers are memory, and not what the function is."""
        plain = _plain(value)
        if plain is not None:
            yield plain
        elif depth and _is_readable(value, may_change):
            yield from self._container(value, depth, may_change)
        else:
            yield from self._code(value, depth)

    def _code(self, value: Any, depth: int) -> Iterator[bytes]:
        match value:
            case partial() if depth:
                yield from self.parts(value.func, depth - 1)
                yield from self.parts((value.args, value.keywords), depth - 1, may_change=False)
            case MethodType() if depth:
                # What its object holds is not read.
                self.is_whole = False
                yield from self.parts(value.__func__, depth - 1)
            case FunctionType() if depth and not _is_pure(value):
                yield from self._function(value, depth)
            case CodeType() if depth:
                yield value.co_code
                yield from self.parts((value.co_consts, value.co_names), depth - 1)
            case _:
                self.is_whole = self.is_whole and _is_pure(value)
                kind = value if hasattr(value, "__qualname__") else type(value)
                yield f"{getattr(kind, '__module__', '')}.{getattr(kind, '__qualname__', kind)}".encode()

    def _container(self, value: Any, depth: int, may_change: bool) -> Iterator[bytes]:
        items = list(value.items()) if isinstance(value, Mapping) else list(value)
        inner = [b"".join(self.parts(item, depth - 1, may_change=may_change)) for item in items]
        yield f"{type(value).__name__} {len(inner)}".encode()
        # A set is iterated in another order in every process, since strings are hashed by a random key.
        yield from inner if isinstance(value, list | tuple) else sorted(inner)

    def _function(self, function: FunctionType, depth: int) -> Iterator[bytes]:
        if id(function) in self._open:
            yield b"itself"
            return
        self._open.add(id(function))
        code = function.__code__
        if {"site-packages", "dist-packages"} & set(PurePath(code.co_filename).parts):
            self.is_whole = False
            yield f"{function.__module__}.{function.__qualname__}".encode()
        else:
            yield from self.parts(code, depth - 1)
        # Attributes of a function may be settings, or set by a decorator.
        self.is_whole = self.is_whole and not vars(function)
        yield from self.parts((function.__defaults__, function.__kwdefaults__), depth - 1, may_change=False)
        yield from self._outside(function, depth)
        self._open.discard(id(function))

    def _outside(self, function: FunctionType, depth: int) -> Iterator[bytes]:
        """The parts of all that a function closes over, and of all that it takes from its module."""
        steps = list(_steps(function.__code__))
        loaded = {step.argval for step in steps if step.opname in _LOADING}
        may_change = bool(loaded & _CHANGING) or any(
            step.opname.endswith("_SUBSCR") and step.opname != "BINARY_SUBSCR" for step in steps
        )
        # What the function assigns itself is its memory, such as a count of its calls, and not what it is.
        written = {step.argval for step in steps if step.opname in _WRITING}
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
            if name not in written:
                try:
                    yield from self._named(name, cell.cell_contents, depth, may_change)
                except ValueError:  # a name of the enclosing function that has no value yet
                    self.is_whole = False
        for name in sorted({step.argval for step in steps if step.opname == "LOAD_GLOBAL"} - written):
            if name in function.__globals__:
                yield from self._named(name, function.__globals__[name], depth, may_change)
            elif name in _IMPURE_NAMES or not hasattr(builtins, name):
                self.is_whole = False
        if loaded & _IMPURE_NAMES or any(step.opname == "IMPORT_NAME" for step in steps):
            self.is_whole = False

    def _named(self, name: str, value: Any, depth: int, may_change: bool) -> Iterator[bytes]:
        yield name.encode()
        if isinstance(value, list | set | dict) and may_change:
            # What a function appends to is empty at first, and says nothing about it.
            self.is_whole = self.is_whole and not value
            yield type(value).__name__.encode()
        else:
            yield from self.parts(value, depth - 1, may_change=may_change)


def _plain(value: Any) -> bytes | None:
    """A number, a text, a pattern or a small array; None for anything else."""
    match value:
        case None | bool() | int() | float() | complex() | str() | bytes():
            return f"{type(value).__name__} {value!r}".encode("utf-8", "surrogatepass")
        case re.Pattern():
            return f"pattern {value.pattern!r} {value.flags}".encode("utf-8", "surrogatepass")
        case np.ndarray() if value.nbytes <= _MOST_BYTES and not value.dtype.hasobject:
            return f"{value.dtype.str} {value.shape}".encode() + value.tobytes()
    return None


def _is_readable(value: Any, may_change: bool) -> bool:
    """Whether a value is a container that stays as it is, and not too large to be read."""
    kinds = tuple | frozenset if may_change else tuple | frozenset | list | set | dict
    return isinstance(value, kinds) and len(value) <= _MOST_ITEMS


def _steps(code: CodeType) -> Iterator[Instruction]:
    """The instructions of a function and of all functions inside it."""
    yield from get_instructions(code)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _steps(constant)


def _is_pure(value: Any) -> bool:
    """Whether a module, or a class or function of one, computes from its arguments alone."""
    if isinstance(value, ModuleType):
        return value.__name__.partition(".")[0] in _PURE_MODULES
    if not isinstance(value, type | BuiltinFunctionType | FunctionType):
        return False
    return str(value.__module__).partition(".")[0] in _PURE_MODULES and value.__name__ not in _IMPURE_NAMES
