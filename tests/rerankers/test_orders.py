"""Rerankers that give an order: retrieval order, and objects that only rank, in the shapes that libraries answer in."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from semcache.errors import InvalidInputError, RerankerError
from semcache.protocols import Reranker
from semcache.rerankers import ListwiseReranker, RetrievalOrder
from tests.contracts.reranker import PAIRS, QUERY, TEXTS, ListwiseContract

SHORTEST_FIRST = [1.0, 2.0, 3.0]  # rank scores of TEXTS, which get shorter


def by_length(query: str, documents: list[Any], top_k: int = 5) -> list[Any]:
    """As existing rerankers do: LangChain documents in, the best ``top_k`` out."""
    return sorted(documents, key=lambda document: len(document.page_content))[:top_k]


class TestRetrievalOrder(ListwiseContract):
    @pytest.fixture
    def reranker(self) -> Reranker:
        return RetrievalOrder()

    def test_falls_with_the_position(self, reranker: Reranker) -> None:
        assert reranker.score(PAIRS).tolist() == [0.0, -1.0, -2.0]


class TestListwise(ListwiseContract):
    @pytest.fixture
    def reranker(self) -> Reranker:
        return ListwiseReranker(by_length, "by-length")

    def test_first_of_n_gets_n(self, reranker: Reranker) -> None:
        assert reranker.score(PAIRS).tolist() == SHORTEST_FIRST

    def test_refuses_two_queries_in_one_call(self, reranker: Reranker) -> None:
        with pytest.raises(InvalidInputError, match="got 2 queries in one call"):
            reranker.score([*PAIRS, ("another", "text")])


@dataclass
class LangChainDocument:
    page_content: str
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass
class Result:
    index: int
    relevance_score: float = 0.0


@dataclass
class Scored:
    document: Any
    score: float


@dataclass
class Response:
    results: list[Any]


ORDER = [2, 1, 0]  # shortest first

ANSWERS: dict[str, Callable[[list[Any]], Any]] = {
    "documents": lambda d: [d[at] for at in ORDER],
    "tuple of documents": lambda d: tuple(d[at] for at in ORDER),
    "generator of documents": lambda d: (d[at] for at in ORDER),
    "copies of the text": lambda d: [str(d[at]) for at in ORDER],
    "new documents": lambda d: [LangChainDocument(d[at].page_content, {"score": 1.0}) for at in ORDER],
    "document and score": lambda d: [(d[at], 0.5) for at in ORDER],
    "score and document": lambda d: [(0.5, d[at]) for at in ORDER],
    "documents and scores": lambda d: ([d[at] for at in ORDER], [3.0, 2.0, 1.0]),
    "indices": lambda d: ORDER,
    "array of indices": lambda d: np.array(ORDER),
    "index and score": lambda d: [(at, 0.5) for at in ORDER],
    "results with index": lambda d: [Result(at) for at in ORDER],
    "response with results": lambda d: Response([Result(at) for at in ORDER]),
    "mapping with results": lambda d: {"results": [{"index": at, "relevance_score": 0.1} for at in ORDER]},
    "corpus ids": lambda d: [{"corpus_id": at, "score": np.float32(0.1)} for at in ORDER],
    "results with document": lambda d: [Scored(d[at], 0.5) for at in ORDER],
    "results with text": lambda d: [{"document": {"text": d[at].text}} for at in ORDER],
    "mappings with content": lambda d: [{"content": d[at]} for at in ORDER],
    "only the best": lambda d: [d[2], d[1]],
    "the best twice": lambda d: [d[2], d[2], d[1], d[0]],
}


@pytest.mark.parametrize("shape", ANSWERS)
def test_reads_answers_of_any_usual_shape(shape: str) -> None:
    reranker = ListwiseReranker(lambda query, documents, top_k: ANSWERS[shape](documents), "any")
    assert reranker.score(PAIRS).tolist() == SHORTEST_FIRST


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (["a document of another request"], "a document that was not sent: str 'a document of"),
        ([LangChainDocument("stranger")], "a document that was not sent"),
        ([3], "answered index 3 for 3 documents"),
        ([Result(-1)], "answered index -1 for 3 documents"),
        ([None], "in which no document is found"),
        ([True], "in which no document is found"),
        (None, "answered NoneType None instead of a list of documents"),
        ("text", "instead of a list of documents"),
        (7, "instead of a list of documents"),
        ({"answer": []}, "instead of a list of documents"),
    ],
)
def test_refuses_answers_about_other_documents(answer: Any, message: str) -> None:
    reranker = ListwiseReranker(lambda query, documents, top_k: answer, "odd")
    with pytest.raises(RerankerError, match=message):
        reranker.score(PAIRS)


def test_what_is_left_out_comes_last_in_retrieval_order() -> None:
    reranker = ListwiseReranker(lambda query, documents, top_k: [documents[1]], "one")
    assert reranker.score(PAIRS).tolist() == [2.0, 3.0, 1.0]


def test_equal_texts_are_told_apart() -> None:
    reranker = ListwiseReranker(lambda query, documents, top_k: [str(d) for d in documents][::-1], "reversed")
    assert reranker.score([(QUERY, "b"), (QUERY, "a"), (QUERY, "b")]).tolist() == [3.0, 2.0, 1.0]


class Documents:
    """A reranker that keeps what it was sent."""

    def rerank(self, query: str, documents: list[Any], top_k: int = 5) -> list[Any]:
        self.sent = documents
        return documents[:top_k]


def test_documents_look_like_those_of_every_library() -> None:
    documents = Documents()
    ListwiseReranker(documents.rerank, "kept").score(PAIRS)
    first = documents.sent[0]
    assert first == first.page_content == first.text == first.content == TEXTS[0]
    first.metadata["score"] = 0.5
    assert documents.sent[1].metadata == {}


def test_asks_for_all_documents() -> None:
    documents = Documents()
    pairs = [(QUERY, f"text {at}") for at in range(20)]
    assert ListwiseReranker(documents.rerank, "kept").score(pairs).tolist() == list(range(20, 0, -1))


def keyword_only(*, query: str, documents: list[Any], top_n: int = 3) -> list[Any]:
    return by_length(query, documents, top_n)


def documents_first(documents: list[Any], query: str, top_n: int | None = 3) -> list[Any]:
    assert query == QUERY
    return by_length(query, documents, top_n or 99)


def unknown_names(question: str, hits: list[Any]) -> list[Any]:
    return by_length(question, hits, 99)


def unknown_names_with_count(question: str, hits: list[Any], how_many: int) -> list[Any]:
    return by_length(question, hits, how_many)


def limited(query: str, docs: list[Any], **options: Any) -> list[Any]:
    return by_length(query, docs, 99)


@pytest.mark.parametrize(
    "rank", [by_length, keyword_only, documents_first, unknown_names, unknown_names_with_count, limited]
)
def test_calls_methods_whatever_their_parameters_are_called(rank: Callable[..., Any]) -> None:
    many = [(QUERY, "x" * at) for at in range(1, 11)]
    assert ListwiseReranker(rank, "any").score(many).tolist() == list(range(10, 0, -1))


@given(st.permutations(range(6)), st.integers(0, 6))
def test_an_order_becomes_the_same_order_of_scores(order: list[int], answered: int) -> None:
    reranker = ListwiseReranker(lambda query, documents, top_k: [documents[at] for at in order[:answered]], "any")
    scores = reranker.score([(QUERY, f"text {at}") for at in range(6)])
    best_first = np.argsort(-scores).tolist()
    assert best_first == [*order[:answered], *sorted(order[answered:])]
