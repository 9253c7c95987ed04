"""Digests of functions: the same for the same behaviour, another one for another; and whether all of it was read."""

import collections
import math
import random
import re
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from semcache.identity.code import read_function
from semcache.identity.kinds import IdentifiedBy

Function = Callable[..., object]

WEIGHT = 2.0
STOP_WORDS = {"a", "the"}
WORD = re.compile(r"\w+")
SEEN: list[str] = []
MEMORY: dict[str, int] = {"known": 1}
CLIENT = object()


def weighted(weight: object) -> Function:
    return lambda text: (weight, text)


def with_default(text: str, weight: float = 1.0) -> float:
    return weight * len(text)


def with_another_default(text: str, weight: float = 2.0) -> float:
    return weight * len(text)


def through(inner: Function) -> Function:
    return lambda text: (inner(text), text)


def made(source: str, **names: object) -> Function:
    """The function ``f`` of a module of its own."""
    space: dict[str, Any] = dict(names)
    exec(compile(source, "made.py", "exec"), space)
    function: Function = space["f"]
    return function


class Scorer:
    def __init__(self, weight: float) -> None:
        self.weight = weight

    def score(self, text: str) -> float:
        return self.weight * len(text)


OF_GLOBAL = "def f(text):\n    return len(text) * WEIGHT"
OF_TABLE = "def f(text):\n    return TABLE.get(text, 0)"
OF_HELPER = "def helper(text):\n    return len(text) * {}\ndef f(text):\n    return helper(text)"


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
        (weighted(["a"]), weighted(["b"])),
        (through(weighted(1)), through(weighted(2))),
        (through(with_default), through(with_another_default)),
        (made(OF_GLOBAL, WEIGHT=1.0), made(OF_GLOBAL, WEIGHT=2.0)),
        (made(OF_TABLE, TABLE={"a": 1}), made(OF_TABLE, TABLE={"a": 2})),
        (made(OF_HELPER.format(1)), made(OF_HELPER.format(2))),
    ],
)
def test_tells_functions_apart(one: Function, other: Function) -> None:
    assert read_function(one).digest != read_function(other).digest


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (weighted(1), weighted(1)),
        (weighted(frozenset("abc")), weighted(frozenset("cba"))),
        (weighted({"a": 1, "b": 2}), weighted({"b": 2, "a": 1})),
        (weighted(np.arange(3)), weighted(np.arange(3))),
        (partial(with_default, weight=1.0), partial(with_default, weight=1.0)),
        (made(OF_TABLE, TABLE={"a": 1}), made(OF_TABLE, TABLE={"a": 1})),
        (made(OF_HELPER.format(1)), made(OF_HELPER.format(1))),
        # Objects count by their class: many change while they are used.
        (Scorer(1).score, Scorer(2).score),
        (weighted(Scorer(1)), weighted(Scorer(2))),
        (len, len),
    ],
)
def test_is_the_same_for_equal_functions(one: Function, other: Function) -> None:
    assert read_function(one).digest == read_function(other).digest


def of_module(text: str) -> float:
    time.sleep(0)
    words = [word for word in WORD.findall(text) if word not in STOP_WORDS]
    return WEIGHT * math.sqrt(len(words)) + float(np.mean([len(word) for word in words])) + with_default(text)


def logging_what_it_saw(text: str) -> int:
    SEEN.append(text)
    return len(text)


def calling_itself(text: str) -> int:
    return calling_itself(text[1:]) if text else 0


def counting(text: str) -> int:
    return len(collections.Counter(text))


def remembering(text: str) -> int:
    return MEMORY.setdefault(text, len(text))


def by_client(text: str) -> object:
    return CLIENT


def by_chance(text: str) -> float:
    return random.random()


def by_chance_of_numpy(text: str) -> float:
    return float(np.random.random())


def of_a_file(text: str) -> str:
    with open(text) as file:  # noqa: PTH123 - a user's function
        return file.read()


def of_an_import(text: str) -> object:
    from subprocess import run

    return run


def decorated(text: str) -> int:
    return len(text)


decorated.weight = 3  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "function",
    [
        of_module,
        logging_what_it_saw,
        calling_itself,
        counting,
        weighted(1),
        weighted(("a", 1.0)),
        partial(with_default),
    ],
)
def test_a_function_that_computes_is_read_whole(function: Function) -> None:
    assert read_function(function).identified_by is IdentifiedBy.CODE


@pytest.mark.parametrize(
    "function",
    [
        *(remembering, by_client, by_chance, by_chance_of_numpy, of_a_file, of_an_import, decorated),
        weighted(Scorer(1)),
        Scorer(1).score,
        through(weighted(object())),
        partial(with_default, weight=CLIENT),
        made("def f(text):\n    return later(text)"),
        made("def f(text):\n    return helper.score(text)", helper=sys.modules[__name__]),
        made("def f(text):\n    return Own(text)", Own=Scorer),
        weighted(np.zeros(1 << 18)),
    ],
)
def test_one_that_uses_what_cannot_be_read_is_not(function: Function) -> None:
    assert read_function(function).identified_by is IdentifiedBy.PROBE


def test_a_count_of_its_own_calls_is_no_part_of_a_function() -> None:
    calls = 0

    def counting_calls(text: str) -> int:
        nonlocal calls
        calls += 1
        return len(text)

    before = read_function(counting_calls)
    counting_calls("a")
    assert read_function(counting_calls) == before
    assert before.is_whole


def test_functions_of_installed_libraries_count_by_name_and_what_they_wrap() -> None:
    def installed(inner: Function) -> Function:
        space: dict[str, Function] = {}
        source = "def wrap(inner):\n    def call(text):\n        return inner(text)\n    return call"
        exec(compile(source, "/lib/site-packages/library.py", "exec"), space)
        wrapped: Function = space["wrap"](inner)  # type: ignore[assignment]
        wrapped.__module__ = "library"
        return wrapped

    assert read_function(installed(with_default)) == read_function(installed(with_default))
    assert read_function(installed(with_default)) != read_function(installed(with_another_default))
    assert not read_function(installed(with_default)).is_whole


def test_is_the_same_in_every_process(tmp_path: Path) -> None:
    (tmp_path / "scoring.py").write_text(
        "TABLE = {'a': 1, 'b': 2}\n"
        "def make(words, weight):\n"
        "    return lambda text: TABLE.get(text, weight) if text in words and text in {'x', 'y', 'z'} else 0\n"
    )
    program = (
        "from scoring import make; from semcache.identity.code import read_function; "
        "print(read_function(make(frozenset(['a', 'b', 'c']), 0.5)))"
    )
    command = [sys.executable, "-c", program]
    runs = [subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True) for _ in range(2)]
    assert runs[0].stdout == runs[1].stdout
    assert "is_whole=True" in runs[0].stdout
