"""Functions as embedders: of many texts, of one text, with and without a name."""

from functools import partial

import numpy as np
import pytest

from semcache.embedders import CallableEmbedder
from semcache.errors import EmbedderError, InvalidInputError
from semcache.protocols import Embedder
from tests.contracts.embedder import EmbedderContract


def letters(text: str) -> list[float]:
    """Counts of letters, and a last number so that no vector is zero."""
    text = text[:1000]
    return [float(text.count(letter)) for letter in "abcdefghi"] + [1.0 + len(text) / 10]


def many(texts: list[str]) -> list[list[float]]:
    return [letters(text) for text in texts]


def strict_one(text: str) -> list[float]:
    if not isinstance(text, str):
        raise TypeError("one text")
    return letters(text)


class TestMany(EmbedderContract):
    @pytest.fixture
    def embedder(self) -> Embedder:
        return CallableEmbedder(many)


class TestOne(EmbedderContract):
    @pytest.fixture
    def embedder(self) -> Embedder:
        return CallableEmbedder(strict_one)


class TestOneThatTakesLists(EmbedderContract):
    @pytest.fixture
    def embedder(self) -> Embedder:
        return CallableEmbedder(lambda text: np.asarray(letters(str(text))), name="letters")


def test_is_named_by_module_and_function() -> None:
    assert CallableEmbedder(many).name == f"{__name__}.many"
    assert CallableEmbedder(many, name="letters-2").name == "letters-2"


@pytest.mark.parametrize("function", [lambda texts: many(list(texts)), partial(many)])
def test_needs_a_name_where_the_function_has_none(function: object) -> None:
    with pytest.raises(InvalidInputError, match="pass name="):
        CallableEmbedder(function)  # type: ignore[arg-type]


def test_does_not_call_a_function_whose_dims_and_kind_are_given() -> None:
    def never(texts: list[str]) -> None:
        raise AssertionError("asked")

    assert CallableEmbedder(never, dims=3, per_text=False).dims == 3


def test_reports_a_wrong_length() -> None:
    with pytest.raises(EmbedderError, match="10 numbers where 7 were expected"):
        CallableEmbedder(many, dims=7).embed(["berlin"])
