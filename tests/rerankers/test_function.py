"""Functions of pairs, and of a query and its texts, as rerankers."""

import numpy as np
import pytest

from semcache.errors import InvalidInputError
from semcache.protocols import Pair, Reranker
from semcache.rerankers import adapt
from tests.contracts.reranker import PointwiseContract


def of_pairs(pairs: list[Pair]) -> list[float]:
    return [float(len(text)) for _, text in pairs]


def of_query(query: str, texts: list[str]) -> np.ndarray:
    return np.array([len(text) for text in texts])


def of_query_with_option(query: str, texts: list[str], scale: float = 1.0) -> list[float]:
    return [scale * len(text) for text in texts]


class TestFunctionOfPairs(PointwiseContract):
    @pytest.fixture
    def reranker(self) -> Reranker:
        return adapt(of_pairs)


class TestFunctionOfQueryAndTexts(PointwiseContract):
    @pytest.fixture
    def reranker(self) -> Reranker:
        return adapt(of_query)


def test_counts_parameters_when_it_adapts() -> None:
    def three(query: str, texts: list[str], more: int) -> list[float]:
        raise AssertionError("never called")

    with pytest.raises(
        InvalidInputError, match=r"three\(\) needs more, which a rerank does not have; give it beforehand"
    ):
        adapt(three, name="three")
