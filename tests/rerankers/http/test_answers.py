"""Answers of services become scores in the order of the documents, or an error that says what is wrong."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from semcache.errors import RerankerError
from semcache.rerankers.http.answers import read_answer
from semcache.rerankers.http.dialects import DIALECTS, Dialect

COHERE, TEI = DIALECTS["cohere"], DIALECTS["tei"]


def results(*scores: Any) -> list[dict[str, Any]]:
    return [{"index": index, "relevance_score": score} for index, score in enumerate(scores)]


def read(answer: Any, documents: int = 2, dialect: Dialect = COHERE) -> list[float]:
    body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    return read_answer(body, dialect, documents, "ours").tolist()


@given(
    st.permutations(range(5)),
    st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=5, max_size=5),
)
def test_scores_are_in_the_order_of_the_documents_whatever_that_of_the_answer(
    order: list[int], scores: list[float]
) -> None:
    answer = {
        "results": [{"index": index, "relevance_score": scores[index], "document": {"text": "x"}} for index in order]
    }
    assert read(answer, 5) == [np.float32(score) for score in scores]


def test_whole_numbers_are_scores_too() -> None:
    assert read([{"index": 0, "score": 1}], 1, TEI) == [1.0]


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b"", "answered with no JSON but an empty body"),
        (b"<html><title>502</title>", r"no JSON but 24 bytes that begin with b'<html><title>502"),
        (b'{"results": [{"index": 0, "relev', "no JSON but"),
        (b"\xff\xfe\x00", "no JSON but 3 bytes"),
        (results(1.0, 2.0), "answered with a list instead of an object with 'results', as dialect cohere does"),
        ({"data": results(1.0, 2.0)}, "an object with data instead of an object with 'results'"),
        ({}, "an object with nothing in it instead of"),
        (None, "answered with a NoneType"),
        ({"results": {"0": 1.0}}, "an object with 0 instead of a list of results"),
        ({"results": "none"}, "a str instead of a list"),
        ({"results": results(1.0)}, "gave 1 scores for 2 documents, none for document 1; if it answers with the best"),
        ({"results": []}, "gave 0 scores for 2 documents, none for document 0"),
        ({"results": results(1.0, 2.0, 3.0)}, "gave a score for document 2; 2 were sent, from 0 on"),
        ({"results": [{"index": -1, "relevance_score": 1.0}]}, "gave a score for document -1"),
        ({"results": results(1.0) * 2}, "gave document 0 of 2 more than one score"),
        ({"results": [{"index": "0", "relevance_score": 1.0}]}, "without a whole number as index"),
        ({"results": [{"index": True, "relevance_score": 1.0}]}, "without a whole number as index"),
        ({"results": [{"index": 0.0, "relevance_score": 1.0}]}, "without a whole number as index"),
        ({"results": [{"relevance_score": 1.0}]}, "an object with relevance_score"),
        ({"results": [0.5, 0.6]}, "without a whole number as index: a float"),
        ({"results": results("0.5", 1.0)}, "gave document 0 str as relevance_score; a number is needed"),
        ({"results": results(None, 1.0)}, "gave document 0 NoneType as relevance_score"),
        ({"results": results(True, 1.0)}, "gave document 0 bool as relevance_score"),
        ({"results": [{"index": 0, "score": 1.0}]}, "document 0 no relevance_score; .* an object with index, score"),
        ({"results": results(float("nan"), 1.0)}, "gave 1 of 2 scores that are not finite, first nan for pair 0"),
        ({"results": results(1.0, 1e39)}, "not finite, first inf for pair 1"),
        ({"results": results(1.0, 10**400)}, "not finite, first inf for pair 1"),
        (b"[" * 100_000, "no JSON"),
    ],
)  # fmt: skip
def test_every_fault_has_an_error_of_its_own(answer: Any, message: str) -> None:
    with pytest.raises(RerankerError, match=message):
        read(answer)


def test_no_document_that_comes_back_is_shown() -> None:
    answer = {"results": [{"index": "0", "document": {"text": "my diagnosis"}}]}
    with pytest.raises(RerankerError) as caught:
        read(answer)
    assert "diagnosis" not in str(caught.value)
