"""Digests of functions: the same for the same behaviour, another one for another."""

import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from semcache.identity.code import code_digest

Function = Callable[..., object]


def weighted(weight: object) -> Function:
    return lambda text: (weight, text)


def with_default(text: str, weight: float = 1.0) -> float:
    return weight * len(text)


def with_another_default(text: str, weight: float = 2.0) -> float:
    return weight * len(text)


def through(inner: Function) -> Function:
    return lambda text: (inner(text), text)


class Scorer:
    def __init__(self, weight: float) -> None:
        self.weight = weight

    def score(self, text: str) -> float:
        return self.weight * len(text)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (lambda text: 1, lambda text: 2),
        (lambda text: text.upper(), lambda text: text.lower()),
        (lambda text: text in {"a", "b"}, lambda text: text in {"a", "c"}),
        (with_default, with_another_default),
        (partial(with_default, weight=1.0), partial(with_default, weight=3.0)),
        *((weighted(a), weighted(b)) for a, b in [(1, 2), (1, 1.0), ("a", "b"), ((1, 2), (2, 1)), (None, False)]),
        (weighted(np.arange(3)), weighted(np.arange(3) + 1)),
        (weighted(np.zeros(3)), weighted(np.zeros((3, 1)))),
        (through(weighted(1)), through(weighted(2))),
        (through(with_default), through(with_another_default)),
    ],
)
def test_tells_functions_apart(one: Function, other: Function) -> None:
    assert code_digest(one) != code_digest(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (weighted(1), weighted(1)),
        (weighted(frozenset("abc")), weighted(frozenset("cba"))),
        (weighted(np.arange(3)), weighted(np.arange(3))),
        (partial(with_default, weight=1.0), partial(with_default, weight=1.0)),
        # Objects count by their class: many change while they are used.
        (weighted([1]), weighted([2])),
        (Scorer(1).score, Scorer(2).score),
        (weighted(Scorer(1)), weighted(Scorer(2))),
        (len, len),
    ],
)
def test_is_the_same_for_equal_functions(one: Function, other: Function) -> None:
    assert code_digest(one) == code_digest(other)


def test_a_count_of_its_own_calls_is_no_part_of_a_function() -> None:
    calls = 0

    def counting(text: str) -> int:
        nonlocal calls
        calls += 1
        return len(text)

    before = code_digest(counting)
    counting("a")
    assert code_digest(counting) == before


def test_functions_of_installed_libraries_count_by_name_and_what_they_wrap() -> None:
    def installed(inner: Function, path: str) -> Function:
        space: dict[str, Function] = {}
        source = "def wrap(inner):\n    def call(text):\n        return inner(text)\n    return call"
        exec(compile(source, path, "exec"), space)
        wrapped: Function = space["wrap"](inner)  # type: ignore[assignment]
        wrapped.__module__ = "library"
        return wrapped

    path = "/lib/site-packages/library.py"
    assert code_digest(installed(len, path)) == code_digest(installed(len, path))
    assert code_digest(installed(with_default, path)) != code_digest(installed(with_another_default, path))


def test_is_the_same_in_every_process(tmp_path: Path) -> None:
    (tmp_path / "scoring.py").write_text(
        "def make(words, weight):\n    return lambda text: weight if text in words and text in {'x', 'y', 'z'} else 0\n"
    )
    program = (
        "from scoring import make; from semcache.identity.code import code_digest; "
        "print(code_digest(make(frozenset(['a', 'b', 'c']), 0.5)))"
    )
    digests = {
        subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    }
    assert len(digests) == 1
