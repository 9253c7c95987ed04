"""What a caller may send, and the message that names what may not be sent."""

from types import SimpleNamespace

import pytest

from semcache.documents import Document, text_of
from semcache.errors import InvalidInputError
from semcache.flow.requests import checked_request


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
def test_the_documents_of_many_libraries_have_a_text(document):
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
def test_a_document_without_text_is_named(document, said):
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
def test_bad_input_is_named_with_its_remedy(arguments, said):
    with pytest.raises(InvalidInputError) as raised:
        checked_request(*arguments)
    assert said in str(raised.value)


def test_equal_texts_are_one_text_in_order_of_appearance():
    wanted = checked_request("q", ["b", "a", Document("b"), "c", "a"], 4)
    assert wanted.texts == ("b", "a", "c")
    assert wanted.places == (0, 1, 0, 2, 1)
    assert wanted.top_k == 4


def test_top_k_is_at_most_the_number_of_documents():
    assert checked_request("q", ["a", "b"], 10).top_k == 2


def test_a_megabyte_is_just_text():
    wanted = checked_request("q" * 1_000_000, ["d" * 1_000_000], 1)
    assert len(wanted.fingerprints[0]) == 16


def test_the_callers_list_is_not_changed():
    documents = ["b", "a", "b"]
    checked_request("q", documents, 2)
    assert documents == ["b", "a", "b"]
