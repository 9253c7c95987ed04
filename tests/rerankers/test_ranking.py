"""Objects that only rank as rerankers: rank scores, and the documents that such objects get."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from semcache.errors import InvalidInputError
from semcache.protocols import Reranker
from semcache.rerankers import RankingReranker
from tests.contracts.reranker import PAIRS, QUERY, TEXTS, ListwiseContract


def by_length(query: str, documents: list[Any], top_k: int = 5) -> list[Any]:
    """As existing rerankers do: LangChain documents in, the best ``top_k`` out."""
    return sorted(documents, key=lambda document: len(document.page_content))[:top_k]


class TestListwise(ListwiseContract):
    @pytest.fixture
    def reranker(self) -> Reranker:
        return RankingReranker(by_length, "by-length")

    def test_first_of_n_gets_n(self, reranker: Reranker) -> None:
        assert reranker.score(PAIRS).tolist() == [1.0, 2.0, 3.0]

    def test_refuses_two_queries_in_one_call(self, reranker: Reranker) -> None:
        with pytest.raises(InvalidInputError, match="got 2 queries in one call"):
            reranker.score([*PAIRS, ("another", "text")])


def test_what_is_left_out_comes_last_in_retrieval_order() -> None:
    reranker = RankingReranker(lambda query, documents, top_k: [documents[1]], "one")
    assert reranker.score(PAIRS).tolist() == [2.0, 3.0, 1.0]


def test_equal_texts_are_told_apart() -> None:
    reranker = RankingReranker(lambda query, documents, top_k: [str(d) for d in documents][::-1], "reversed")
    assert reranker.score([(QUERY, "b"), (QUERY, "a"), (QUERY, "b")]).tolist() == [3.0, 2.0, 1.0]


class RecordingRanker:
    """Keeps the documents that it was sent."""

    def rerank(self, query: str, documents: list[Any], top_k: int = 5) -> list[Any]:
        self.sent = documents
        return documents[:top_k]


def test_documents_look_like_those_of_every_library() -> None:
    ranker = RecordingRanker()
    RankingReranker(ranker.rerank, "kept").score(PAIRS)
    first = ranker.sent[0]
    assert first == first.page_content == first.text == first.content == TEXTS[0]
    first.metadata["score"] = 0.5
    assert ranker.sent[1].metadata == {}


def test_asks_for_all_documents() -> None:
    ranker = RecordingRanker()
    pairs = [(QUERY, f"text {at}") for at in range(20)]
    assert RankingReranker(ranker.rerank, "kept").score(pairs).tolist() == list(range(20, 0, -1))


@given(st.permutations(range(6)), st.integers(0, 6))
def test_an_order_becomes_the_same_order_of_scores(order: list[int], answered: int) -> None:
    reranker = RankingReranker(lambda query, documents, top_k: [documents[at] for at in order[:answered]], "any")
    scores = reranker.score([(QUERY, f"text {at}") for at in range(6)])
    best_first = np.argsort(-scores).tolist()
    assert best_first == [*order[:answered], *sorted(order[answered:])]
