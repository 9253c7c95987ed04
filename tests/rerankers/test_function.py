"""Functions of pairs, and of a query and its texts, as rerankers."""

from typing import Any

import numpy as np
import pytest

from semcache.errors import InvalidInputError, RerankerError
from semcache.protocols import Pair, Reranker
from semcache.rerankers import adapt
from tests.contracts.reranker import PAIRS, QUERY, PointwiseContract


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


def of_one(query: str, doc: str) -> Any:
    return np.array(float(len(doc)))


class TestFunctionOfQueryAndOneText(PointwiseContract):
    @pytest.fixture
    def reranker(self) -> Reranker:
        return adapt(of_one)


class ScoresOne:
    """``score(query, doc)`` and nothing else."""

    def score(self, query: str, doc: str) -> float:
        return float(len(doc))


def test_an_object_may_score_one_text_in_a_call() -> None:
    assert adapt(ScoresOne()).score(PAIRS).tolist() == [float(len(text)) for _, text in PAIRS]


@pytest.mark.parametrize(
    "results",
    [
        lambda texts: [{"index": at, "score": float(len(text))} for at, text in enumerate(texts)][::-1],
        lambda texts: {"results": [{"document": text, "relevance_score": float(len(text))} for text in texts]},
        lambda texts: (float(len(text)) for text in texts),
    ],
)
def test_results_of_a_service_are_scores_too(results: Any) -> None:
    reranker = adapt(lambda query, texts: results(texts), name="service")
    assert reranker.score(PAIRS).tolist() == [float(len(text)) for _, text in PAIRS]


@pytest.mark.parametrize("answer", [["a"], [{"index": 0}], [{"index": 0, "score": 0.5}]])
def test_an_order_from_a_function_that_should_score_names_the_remedy(answer: Any) -> None:
    reranker = adapt(lambda query, texts: answer, name="orders")
    with pytest.raises(RerankerError, match=r"did not give a score for each of 2 documents; .*listwise=True"):
        reranker.score([(QUERY, "a"), (QUERY, "b")])


def test_merged_requests_cost_one_call_per_query_though_their_pairs_alternate() -> None:
    calls: list[tuple[str, list[str]]] = []

    def recorded(query: str, texts: list[str]) -> list[float]:
        calls.append((query, texts))
        return [len(query) + len(text) / 10 for text in texts]

    alternating = [("a", "1"), ("bb", "22"), ("a", "333"), ("bb", "4444")]
    assert adapt(recorded).score(alternating).tolist() == pytest.approx([1.1, 2.2, 1.3, 2.4])
    assert calls == [("a", ["1", "333"]), ("bb", ["22", "4444"])]


def test_no_scores_at_all_are_too_few() -> None:
    with pytest.raises(RerankerError, match="gave 0 scores for 1 pairs"):
        adapt(lambda query, texts: [], name="none", probe=False).score([("q", "a")])


def test_scores_with_their_indices_are_read_in_any_order() -> None:
    def best_first(query: str, texts: list[str]) -> list[tuple[int, float]]:
        scored = [(index, float(len(text))) for index, text in enumerate(texts)]
        return sorted(scored, key=lambda pair: -pair[1])

    assert adapt(best_first).score([("q", "a"), ("q", "ccc"), ("q", "bb")]).tolist() == [1.0, 3.0, 2.0]
