"""Answers of ranking methods, in every shape that libraries use, and answers that are refused."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from semcache.errors import RerankerError
from semcache.rerankers import RankingReranker
from tests.contracts.reranker import PAIRS

SHORTEST_FIRST = [1.0, 2.0, 3.0]  # rank scores of the contract's texts, which get shorter


@dataclass
class LangChainDocument:
    page_content: str
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass
class ResultWithIndex:
    index: int
    relevance_score: float = 0.0


@dataclass
class ResultWithDocument:
    document: Any
    score: float


@dataclass
class ResponseWithResults:
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
    "results with index": lambda d: [ResultWithIndex(at) for at in ORDER],
    "response with results": lambda d: ResponseWithResults([ResultWithIndex(at) for at in ORDER]),
    "mapping with results": lambda d: {"results": [{"index": at, "relevance_score": 0.1} for at in ORDER]},
    "corpus ids": lambda d: [{"corpus_id": at, "score": np.float32(0.1)} for at in ORDER],
    "results with document": lambda d: [ResultWithDocument(d[at], 0.5) for at in ORDER],
    "results with text": lambda d: [{"document": {"text": d[at].text}} for at in ORDER],
    "mappings with content": lambda d: [{"content": d[at]} for at in ORDER],
    "only the best": lambda d: [d[2], d[1]],
    "the best twice": lambda d: [d[2], d[2], d[1], d[0]],
}


@pytest.mark.parametrize("shape", ANSWERS)
def test_reads_answers_of_any_usual_shape(shape: str) -> None:
    reranker = RankingReranker(lambda query, documents, top_k: ANSWERS[shape](documents), "any", listwise=True)
    assert reranker.score(PAIRS).tolist() == SHORTEST_FIRST


def test_an_empty_text_that_was_sent_may_come_back_in_a_document() -> None:
    reranker = RankingReranker(lambda query, docs: [LangChainDocument(str(doc)) for doc in docs[::-1]], "any")
    assert reranker.score([("q", "a"), ("q", ""), ("q", "b")]).tolist() == [1.0, 2.0, 3.0]


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (["a document of another request"], "a document that was not sent: str 'a document of"),
        ([LangChainDocument("stranger")], "a document that was not sent"),
        ([3], "answered index 3 for 3 documents"),
        ([ResultWithIndex(-1)], "answered index -1 for 3 documents"),
        ([None], "in which no document is found"),
        ([True], "in which no document is found"),
        (None, "answered NoneType None instead of a list of documents"),
        ("text", "instead of a list of documents"),
        (7, "instead of a list of documents"),
        ({"answer": []}, "instead of a list of documents"),
    ],
)
def test_refuses_answers_about_other_documents(answer: Any, message: str) -> None:
    reranker = RankingReranker(lambda query, documents, top_k: answer, "odd")
    with pytest.raises(RerankerError, match=message):
        reranker.score(PAIRS)
