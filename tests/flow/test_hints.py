"""Scores of a retriever, vectors and the least score: as given by the caller, or as found in the documents."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from semcache.documents import Document
from semcache.embedders.checked import given_vectors
from semcache.errors import InvalidInputError
from semcache.flow.hints import carried_vectors, one_per_query, retrieval_scores, with_hints
from semcache.flow.outcome import Outcome, ranking
from semcache.flow.requests import checked_request
from semcache.ranking import Status

REQUEST = checked_request("q", ["b", "a", "b"], 3)


def test_equal_texts_have_the_score_and_the_vector_of_the_first() -> None:
    hinted = with_hints(REQUEST, [0.9, 0.5, 0.1], np.eye(3, dtype=np.float32), 2)
    assert retrieval_scores(hinted) is hinted.retrieval_scores
    assert hinted.retrieval_scores is not None and hinted.retrieval_scores.tolist() == [0.9, 0.5]
    assert hinted.document_vectors is not None and hinted.document_vectors.tolist() == np.eye(3)[:2].tolist()
    assert hinted.min_score == 2.0


def test_vectors_that_documents_carry_are_made_unit_vectors_where_they_can_be() -> None:
    useless: list[Any] = [[3, 4, 5], [0, 0], [1, float("nan")], ["a", "b"], [[1], [2]], None]
    vectors = [[3, 4], *useless, np.array([0, 2.0])]
    documents = [Document(f"text {n}", {"embedding": vector}) for n, vector in enumerate(vectors)]
    found = carried_vectors(checked_request("q", [*documents, documents[7], "a plain text"], 1), 2)
    assert found is not None and found.dtype == np.float32
    assert found[0].tolist() == pytest.approx([0.6, 0.8]) and found[7].tolist() == [0, 1]
    assert np.isnan(found[[1, 2, 3, 4, 5, 6, 8]]).all()
    assert carried_vectors(checked_request("q", ["a plain text"], 1), 2) is None


def test_a_vector_that_cannot_be_read_is_none() -> None:
    class OfAnotherDevice(list[float]):
        def __iter__(self) -> Iterator[float]:
            raise RuntimeError("scripted")

        def __getitem__(self, _: Any) -> Any:
            raise RuntimeError("scripted")

        def __array__(self, *_: Any) -> Any:
            raise RuntimeError("scripted")

    documents = [Document("a", {"embedding": OfAnotherDevice([3, 4])}), Document("b", {"embedding": [3, 4]})]
    found = carried_vectors(checked_request("q", documents, 1), 2)
    assert found is not None and np.isnan(found[0]).all() and found[1].tolist() == pytest.approx([0.6, 0.8])


def test_given_scores_come_before_those_in_the_documents() -> None:
    request = checked_request("q", [Document("a", {"score": 7}), Document("b", {"score": 8})], 1)
    found, given = retrieval_scores(request), retrieval_scores(with_hints(request, [1, 2], None, None))
    assert found is not None and found.tolist() == [7, 8]
    assert given is not None and given.tolist() == [1, 2]
    assert retrieval_scores(REQUEST) is None


@pytest.mark.parametrize(
    ("scores", "said"),
    [
        ([0.9, 0.5], "retrieval_scores has shape (2,) for 3 documents"),
        ([[0.9], [0.5], [0.1]], "retrieval_scores has shape (3, 1)"),
        ([0.9, float("nan"), 0.1], "the retrieval score of document 1 is nan"),
        ([0.9, "high", 0.1], "retrieval_scores must be one number per document"),
        (0.9, "retrieval_scores has shape ()"),
    ],
)
def test_scores_that_do_not_fit_are_refused(scores: Any, said: str) -> None:
    with pytest.raises(InvalidInputError) as raised:
        with_hints(REQUEST, scores, None, None)
    assert said in str(raised.value)


@pytest.mark.parametrize("min_score", ["0.5", True, float("nan"), float("inf")])
def test_a_least_score_that_is_no_number_is_refused(min_score: Any) -> None:
    with pytest.raises(InvalidInputError, match=r"min_score is .*give a finite number"):
        with_hints(REQUEST, None, None, min_score)


@pytest.mark.parametrize(
    ("vectors", "said"),
    [
        (np.ones((2, 4)), "gave 2 vectors for 3 texts"),
        (np.ones((3, 5)), "gave vectors of 5 numbers where 4 were expected"),
        (np.zeros((3, 4)), "is zero"),
        (np.full((3, 4), np.nan), "NaN"),
        ("vectors", "instead of one vector per text"),
    ],
)
def test_vectors_that_do_not_fit_are_refused(vectors: Any, said: str) -> None:
    with pytest.raises(InvalidInputError, match="which has 4 dims, or leave out document_vectors") as raised:
        given_vectors(vectors, 3, 4)
    assert said in str(raised.value)


def test_vectors_are_brought_to_length_1() -> None:
    assert given_vectors([[3.0, 4.0]], 1, 2).tolist() == [[pytest.approx(0.6), pytest.approx(0.8)]]


def test_many_queries_have_one_item_each() -> None:
    assert one_per_query(None, 2, "x") == [None, None]
    with pytest.raises(InvalidInputError, match="x has 1 items for 2 queries"):
        one_per_query([[0.5]], 2, "x")


@pytest.mark.parametrize(
    ("status", "scores", "expected"),
    [
        (Status.FRESH, [0.9, 0.1, 0.5], ["a", "c"]),
        (Status.EXACT, [0.4, 0.1, 0.3], []),
        # Another reranker's scores say nothing about a limit in this one's units, and the retriever's order has none.
        (Status.DEGRADED, [0.4, 0.1, 0.3], ["a", "c", "b"]),
        (Status.DEGRADED, None, ["a", "b", "c"]),
    ],
)
def test_documents_below_the_least_score_are_left_out(
    status: Status, scores: list[float] | None, expected: list[str]
) -> None:
    documents = ["a", "b", "c"]
    request = with_hints(checked_request("q", documents, 3), None, None, 0.5)
    order = [0, 1, 2] if scores is None else [0, 2, 1]
    assert ranking(request, documents, Outcome(order, scores, status, "r")).to_list() == expected
