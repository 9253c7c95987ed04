"""The text of a document: of every library's kind, by a function, or from the fields of names."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from semcache.documents import Document, carried_vectors, reader_of, retriever_scores, text_of
from semcache.errors import ConfigurationError, InvalidInputError


class NodeOfAnotherKind:
    """LlamaIndex's NodeWithScore around a Document or a Node: its ``text`` is for text nodes only."""

    def __init__(self, content: str) -> None:
        self._content = content

    @property
    def text(self) -> str:
        raise ValueError("Node must be a TextNode to get text.")

    def get_content(self) -> str:
        return self._content


def test_a_text_that_cannot_be_read_as_an_attribute_is_read_by_get_content() -> None:
    assert text_of(NodeOfAnotherKind("a passage")) == "a passage"


@pytest.mark.parametrize(
    "document",
    [
        NodeOfAnotherKind(""),
        Document(""),
        {"text": ""},
        SimpleNamespace(page_content=""),
        SimpleNamespace(content=""),
        SimpleNamespace(text="", image_path="cat.png"),
    ],
    ids=repr,
)
def test_a_document_whose_text_is_empty_is_shown(document: object) -> None:
    with pytest.raises(InvalidInputError, match=r"the text of \w+ .* is empty, so that there is nothing to score"):
        text_of(document)


def test_a_plain_string_may_be_empty() -> None:
    assert text_of("") == ""


PAGE = {"title": "Berlin", "body": "A city.", "year": 1237, "subtitle": None}


@pytest.mark.parametrize(
    ("text", "document", "expected"),
    [
        (None, "plain", "plain"),
        (lambda page: page["body"].upper(), PAGE, "A CITY."),
        (("title", "body"), PAGE, "Berlin\nA city."),
        (["body"], PAGE, "A city."),
        ("body", PAGE, "A city."),
        (("title", "subtitle", "body"), PAGE, "Berlin\nA city."),
        (("title", "body"), SimpleNamespace(title="Berlin", body="A city."), "Berlin\nA city."),
        (("title", "page_content"), SimpleNamespace(page_content="A city.", metadata={"title": "Berlin"}),
         "Berlin\nA city."),
        (("title", "content"), SimpleNamespace(content="A city.", meta={"title": "Berlin"}), "Berlin\nA city."),
        (("title", "text"), Document("A city.", {"title": "Berlin"}), "Berlin\nA city."),
        # The text has another name in each library; any of the three means it.
        (("text",), NodeOfAnotherKind("A city."), "A city."),
        (("title", "body"), "already a text", "already a text"),
    ],
)  # fmt: skip
def test_what_is_scored_can_be_said(text: Any, document: object, expected: str) -> None:
    assert reader_of(text)(document) == expected


@pytest.mark.parametrize(
    ("text", "document", "said"),
    [
        (("title", "boddy"), PAGE, "has no field 'boddy', which text= names"),
        (("title", "body"), SimpleNamespace(title="Berlin"), "has no field 'body', which text= names"),
        (("subtitle",), PAGE, "is empty, so that there is nothing to score"),
        (("year",), PAGE, "must be a string, not int"),
        (lambda page: page["boddy"], PAGE, "failed for dict {'title': 'Berlin'"),
        (lambda page: page["year"], PAGE, "must be a string, not int"),
        (lambda page: "", PAGE, "is empty"),
    ],
)
def test_a_document_that_it_does_not_fit_is_shown(
    text: Callable[[Any], str] | tuple[str, ...], document: object, said: str
) -> None:
    with pytest.raises(InvalidInputError, match=said):
        reader_of(text)(document)


@pytest.mark.parametrize("text", [(), 5, ("title", 7), "", {"title": "body"}])
def test_what_says_nothing_is_refused(text: Any) -> None:
    with pytest.raises(ConfigurationError, match="text must be a function of a document, or names of fields"):
        reader_of(text)


def langchain(**metadata: object) -> SimpleNamespace:
    return SimpleNamespace(page_content="a passage", metadata=metadata)


def haystack(score: object) -> SimpleNamespace:
    return SimpleNamespace(content="a passage", meta={}, score=score)


def node(score: object) -> SimpleNamespace:
    return SimpleNamespace(node=SimpleNamespace(metadata={"score": 99}), metadata={}, score=score)


@pytest.mark.parametrize(
    ("documents", "expected"),
    [
        ([langchain(score=0.9), langchain(score=np.float32(0.5))], [0.9, 0.5]),
        ([langchain(relevance_score=0.9), langchain(relevance_score=2)], [0.9, 2.0]),
        ([haystack(0.9), haystack(0.1)], [0.9, 0.1]),
        ([node(0.9), node(0.1)], [0.9, 0.1]),
        ([{"text": "a", "score": 0.9}, {"text": "b", "metadata": {"score": 0.1}}], [0.9, 0.1]),
        ([Document("a", {"score": 1}), Document("b", {"score": 0})], [1.0, 0.0]),
        # Not one name for some and another for the rest: those are scores of two retrievers.
        ([langchain(score=0.9), langchain(relevance_score=0.5)], None),
        ([langchain(score=0.9), langchain()], None),
        ([langchain(score=0.9), "a plain text"], None),
        ([haystack(None), haystack(None)], None),
        ([haystack(float("nan")), haystack(0.1)], None),
        ([langchain(score="0.9")], None),
        ([langchain(score=True)], None),
        ([langchain(distance=0.1)], None),
        (["a", "b"], None),
        ([], None),
    ],
)
def test_scores_of_a_retriever_are_found_if_all_documents_have_one(
    documents: list[object], expected: list[float] | None
) -> None:
    assert retriever_scores(documents) == (None if expected is None else pytest.approx(expected))


def test_vectors_of_a_retriever_are_found_where_libraries_leave_them() -> None:
    inside = SimpleNamespace(embedding=[1.0, 0.0], metadata={})
    documents = [
        SimpleNamespace(node=inside, metadata={}),
        inside,
        SimpleNamespace(content="a passage", meta={}, embedding=(0.5, 0.5)),
        langchain(vector=[0.0, 1.0]),
        langchain(embedding=np.array([3.0, 4.0])),
        {"text": "a", "embedding": [2.0]},
        SimpleNamespace(content="a passage", meta={}, embedding=None),
        langchain(vector="of a name", embedding=len),
        langchain(),
        "a plain text",
    ]
    found = [None if vector is None else list(vector) for vector in carried_vectors(documents)]
    assert found == [[1.0, 0.0], [1.0, 0.0], [0.5, 0.5], [0.0, 1.0], [3.0, 4.0], [2.0], None, None, None, None]
