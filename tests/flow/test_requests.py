"""Arguments that callers may pass, and the messages for those that they may not."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from semcache.documents import Document, text_of
from semcache.errors import ConfigurationError, InvalidInputError
from semcache.flow.outcome import Outcome, ranking
from semcache.flow.requests import (
    caller_positions,
    check_threshold,
    checked_forget,
    checked_request,
    checked_requests,
    deadline_after,
    is_ttl,
    records,
)
from semcache.ranking import Status


@pytest.mark.parametrize(
    "document",
    [
        "text",
        Document("text"),
        {"text": "text", "source": "a"},
        {"page_content": "text"},
        {"content": "text"},
        SimpleNamespace(page_content="text", metadata={}),
        SimpleNamespace(content="text", meta={}),
        SimpleNamespace(text="text"),
        SimpleNamespace(node=object(), get_content=lambda: "text"),
    ],
)
def test_the_documents_of_many_libraries_have_a_text(document: object) -> None:
    assert text_of(document) == "text"


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"body": "x"}, "no text found in dict {'body': 'x'}; pass a string, a mapping with one of the keys"),
        (None, "no text found in NoneType None"),
        (17, "no text found in int 17"),
        ({"text": 5}, "the text of a document must be a string, not int as in dict {'text': 5}"),
        (SimpleNamespace(content=None), "no text found in SimpleNamespace"),
    ],
)
def test_a_document_without_text_is_named(document: object, said: str) -> None:
    with pytest.raises(InvalidInputError) as raised:
        checked_request("query", ["fine", document], 5)
    assert str(raised.value).startswith(said)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("", [], 5), "query is blank (''); pass the text of the question"),
        ((" \n\t", [], 5), "query is blank"),
        ((None, [], 5), "query must be a string, got NoneType None; pass the text"),
        ((["q"], [], 5), "query must be a string, got list ['q']"),
        (("q", [], 0), "top_k must be a whole number of at least 1, got 0"),
        (("q", [], -3), "got -3"),
        (("q", [], 2.0), "got 2.0"),
        (("q", [], True), "got True"),
        (("q", [], None), "got None"),
        (("q", "a text", 5), "documents must be a list of documents, got str; put a single document in a list"),
        (("q", {"text": "a"}, 5), "documents must be a list of documents, got dict"),
        (("q", None, 5), "documents must be a list of documents, got NoneType"),
        (("q", [], 5, None), "tenant must be a string, got NoneType None; use '' for the default tenant"),
        (("q", [], 5, 7), "tenant must be a string, got int 7"),
    ],
)
def test_bad_input_is_named_with_its_remedy(arguments: tuple[Any, ...], said: str) -> None:
    with pytest.raises(InvalidInputError) as raised:
        checked_request(*arguments)
    assert said in str(raised.value)


def test_equal_texts_are_one_text_in_order_of_appearance() -> None:
    request = checked_request("q", ["b", "a", Document("b"), "c", "a"], 4)
    assert request.texts == ("b", "a", "c")
    assert request.text_positions == (0, 1, 0, 2, 1)
    assert request.top_k == 4


def test_top_k_is_at_most_the_number_of_documents() -> None:
    assert checked_request("q", ["a", "b"], 10).top_k == 2


def test_a_megabyte_is_just_text() -> None:
    request = checked_request("q" * 1_000_000, ["d" * 1_000_000], 1)
    assert len(request.fingerprints[0]) == 16


def test_the_callers_list_is_not_changed() -> None:
    documents = ["b", "a", "b"]
    checked_request("q", documents, 2)
    assert documents == ["b", "a", "b"]


class LabelledColumn:
    """A pandas Series: found by label in brackets, by position only in a loop."""

    ndim = 1

    def __init__(self, texts: list[str]) -> None:
        self._texts = texts

    def __len__(self) -> int:
        return len(self._texts)

    def __iter__(self) -> Iterator[str]:
        return iter(self._texts)

    def __getitem__(self, label: object) -> str:
        raise KeyError(label)


@pytest.mark.parametrize(
    "documents", [("a", "b"), np.array(["a", "b"]), np.array(["a", "b"], dtype=object), LabelledColumn(["a", "b"])]
)
def test_arrays_and_columns_are_lists_of_documents(documents: Any) -> None:
    request = checked_request("q", documents, 2)
    best = Outcome((1, 0), (1.0, 2.0), Status.FRESH, "any")
    assert request.texts == ("a", "b")
    assert list(ranking(request, documents, best)) == ["b", "a"]


@pytest.mark.parametrize(
    "documents",
    [np.array([["a", "b"]]), np.array("a"), {"a", "b"}, (text for text in "ab"), b"ab", bytearray(b"ab"), {}.keys()],
    ids=lambda documents: type(documents).__name__,
)
def test_what_has_no_order_or_more_than_one_dimension_is_no_list(documents: Any) -> None:
    with pytest.raises(InvalidInputError, match="documents must be a list of documents, got"):
        checked_request("q", documents, 2)


@pytest.mark.parametrize("top_k", [2, np.int64(2), np.uint8(2), np.array(2)])
def test_whole_numbers_of_numpy_are_numbers(top_k: Any) -> None:
    request = checked_request(np.str_("q"), list(np.array(["a", "b", "c"])), top_k)
    assert request.top_k == 2
    assert type(request.top_k) is int


@pytest.mark.parametrize("top_k", [np.float64(2), np.bool_(True), "2", np.array([2, 3]), np.int64(0)])
def test_other_values_of_numpy_are_no_whole_numbers(top_k: Any) -> None:
    with pytest.raises(InvalidInputError, match="top_k must be a whole number of at least 1"):
        checked_request("q", ["a"], top_k)


def test_a_deadline_in_single_precision_keeps_the_precision_of_the_clock() -> None:
    uptime_s = 40_000_000.3  # more than a year, where a float32 counts in steps of 4 seconds
    assert deadline_after(uptime_s, np.float32(0.5)) == uptime_s + 0.5


@pytest.mark.parametrize("deadline_s", [0, -1.0, float("nan"), "5", np.float32(0), np.array([1.0])])
def test_no_time_at_all_is_no_deadline(deadline_s: Any) -> None:
    with pytest.raises(InvalidInputError, match="deadline_s must be a number of seconds above 0, or None"):
        deadline_after(0.0, deadline_s)


def test_a_time_to_live_may_be_a_number_of_numpy() -> None:
    assert is_ttl(np.int64(60)) and is_ttl(np.float32(0.5))
    assert not is_ttl(np.float32(0)) and not is_ttl(np.float64("inf"))


def test_what_is_scored_of_a_document_is_what_is_fingerprinted() -> None:
    page = {"title": "Berlin", "body": "A city."}
    request = checked_request(
        "q", [page, "Berlin"], 2, read=lambda document: dict(document)["title"] if document is page else "x"
    )
    assert request.texts == ("Berlin", "x")
    assert request.fingerprints[0] == checked_request("q", ["Berlin"], 1).fingerprints[0]


def test_a_time_to_live_ends_at_ten_years() -> None:
    ten_years_s = 10 * 365 * 24 * 60 * 60
    assert is_ttl(ten_years_s)
    assert not is_ttl(ten_years_s + 1)


@pytest.mark.parametrize("threshold", [-1, 0, 0.95, 1, np.float32(0.5)])
def test_a_cosine_is_a_threshold(threshold: Any) -> None:
    check_threshold(threshold)


@pytest.mark.parametrize("threshold", [-1.01, 1.01, float("nan"), "0.9", None, True, [0.9]])
def test_anything_else_is_no_threshold(threshold: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"similarity_threshold is .*; give a cosine from -1 to 1"):
        check_threshold(threshold)


def test_scores_are_recorded_by_fingerprint_and_twice_for_equal_texts() -> None:
    request = checked_request("q", ["a", "b", "a"], 2)
    a, b = request.fingerprints
    assert records(request, [1, 2.5, 3.0]) == [(a, 1.0), (b, 2.5), (a, 3.0)]


@pytest.mark.parametrize(
    ("scores", "said"),
    [
        ([1.0], "1 scores for 2 documents; pass one score per document"),
        ([1.0, float("nan")], "the score of document 1 is nan; give a finite number"),
        ([float("-inf"), 1.0], "the score of document 0 is -inf; give a finite number"),
        ([1.0, 1e300], "the score of document 1 is 1e\\+300; give a finite number that float32 can hold"),
        ([1.0, "1.0"], "the score of document 1 is '1.0'; give a finite number"),
        ([None, 1.0], "the score of document 0 is None; give a finite number"),
    ],
)
def test_scores_that_cannot_be_compared_are_refused(scores: list[Any], said: str) -> None:
    with pytest.raises(InvalidInputError, match=said):
        records(checked_request("q", ["a", "b"], 2), scores)


def test_requests_are_checked_together() -> None:
    first, second = checked_requests(["p", "q"], [["a"], ["b", "c"]], 5, "t")
    assert (first.query, first.texts, first.top_k) == ("p", ("a",), 1)
    assert (second.query, second.texts, second.tenant) == ("q", ("b", "c"), "t")


@pytest.mark.parametrize("queries", [["p"], "pq"])
def test_each_query_has_its_own_documents(queries: Any) -> None:
    with pytest.raises(InvalidInputError, match="pass a list of queries and as many lists of documents"):
        checked_requests(queries, [["a"], ["b"]], 5)


def test_a_document_is_forgotten_by_itself_its_text_or_its_fingerprint() -> None:
    (fingerprint,) = checked_request("q", ["a"], 1).fingerprints
    assert checked_forget(None, Document("a"), None) == fingerprint
    assert checked_forget(None, "a", "t") == fingerprint
    assert checked_forget(None, fingerprint, None) == fingerprint
    assert checked_forget(None, "x", None, read=lambda document: "a") == fingerprint
    assert checked_forget("q", None, None) is None
    assert checked_forget(None, None, "t") is None


@pytest.mark.parametrize(
    ("query", "document", "tenant", "said"),
    [
        (None, None, None, "pass a query, a document or a tenant"),
        ("q", "d", "t", "not both of the first"),
        (" ", None, None, "query is blank"),
        (None, "d", 5, "tenant must be a string"),
        (None, b"the text of a document", None, "document is 22 bytes, and a fingerprint has 16"),
    ],
)
def test_what_is_to_be_forgotten_has_to_be_said(query: Any, document: Any, tenant: Any, said: str) -> None:
    with pytest.raises(InvalidInputError, match=said):
        checked_forget(query, document, tenant)


def test_positions_follow_the_order_of_the_texts() -> None:
    assert caller_positions((0, 1, 0, 2), [2, 0, 1]) == [3, 0, 2, 1]
    assert caller_positions(range(3), (2, 0, 1)) == [2, 0, 1]
