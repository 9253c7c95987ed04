"""Documents that callers may pass, and the text of one that is sent to the reranker."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import isfinite
from numbers import Real
from typing import Any

from semcache.causes import cause_of
from semcache.errors import ConfigurationError, InvalidInputError, described

# LangChain's name is page_content, Haystack's content; LlamaIndex and most plain code use text.
_TEXT_NAMES = ("page_content", "content", "text")
# LangChain and LlamaIndex; Haystack.
_METADATA_NAMES = ("metadata", "meta")
# An attribute of LlamaIndex's NodeWithScore and of Haystack's documents; LangChain's guides and retrievers put "score"
# into the metadata, its compressors "relevance_score". "distance" is left out: it falls where a document is better.
_SCORE_NAMES = ("score", "relevance_score")

# LlamaIndex's nodes and Haystack's documents have the first as an attribute; vector stores of LangChain put either into
# the metadata.
_VECTOR_NAMES = ("embedding", "vector")

TextOf = Callable[[Any], str] | Sequence[str]
"""Says what of a document is scored: a function that gives its text, or the names of the fields that make it up."""

Reader = Callable[[Any], str]
"""Gives the text of a document, or raises InvalidInputError."""


@dataclass(frozen=True, slots=True)
class Document:
    """A passage with metadata, for callers that have no document class of their own."""

    text: str
    metadata: Mapping[str, Any] = field(default_factory=dict)


def text_of(document: object) -> str:
    """The text of a ``str``, a mapping, or a LangChain, LlamaIndex, Haystack or semcache document.

    Raises InvalidInputError when the document has no text, an empty one (as image nodes have), or one that is not a
    string. A plain ``str`` may be empty.

    Example:
        >>> text_of({"content": "a passage", "source": "manual.pdf"})
        'a passage'
    """
    # This runs for every document of every request, also on an exact hit, so the usual kinds come first, and the test
    # for a Mapping, which costs more than all attributes together, comes after them.
    if isinstance(document, str):
        return document
    for name in _TEXT_NAMES:
        text = _attribute(document, name)
        if text is not None:
            return text if text and type(text) is str else _checked(text, document)
    if isinstance(document, Mapping):
        text = next((document[name] for name in _TEXT_NAMES if document.get(name) is not None), None)
        if text is not None:
            return _checked(text, document)
    else:
        get_content = getattr(document, "get_content", None)  # LlamaIndex's nodes
        if callable(get_content):
            return _checked(get_content(), document)
    raise InvalidInputError(
        f"no text found in {described(document)}; pass a string, a mapping with one of the keys "
        f"{', '.join(_TEXT_NAMES)}, or an object with such an attribute, or say by text= what of it is scored"
    )


def reader_of(text: TextOf | None) -> Reader:
    """How the text of a document is read: by a function, from the fields of these names, or (None) by ``text_of``.

    A field is a key of a mapping, an attribute, or a key of the document's metadata. The fields are joined by line
    breaks; those that are None or empty are left out. The result is what is scored and fingerprinted. Raises
    ConfigurationError for anything else.

    Example:
        >>> reader_of(("title", "body"))({"title": "Berlin", "body": "A city.", "id": 7})
        'Berlin\\nA city.'
    """
    if text is None:
        return text_of
    if callable(text):
        return partial(_by_function, text)
    fields = (text,) if isinstance(text, str) else tuple(text) if isinstance(text, Sequence) else ()
    if not fields or not all(isinstance(name, str) and name for name in fields):
        raise ConfigurationError(
            f"text must be a function of a document, or names of fields such as ('title', 'body'), got {text!r:.80}"
        )
    return partial(_by_fields, fields)


def retriever_scores(documents: Iterable[object]) -> list[float] | None:
    """The scores that a retriever left in its documents, in order; None unless every document has a finite one.

    Read are ``score`` and ``relevance_score``: as a key of a mapping, as an attribute (LlamaIndex's NodeWithScore,
    Haystack's Document), and as a key of the metadata (LangChain). All scores are of the same name. Higher should be
    better; of a retriever that gives distances, what they mean is learned as well.

    Example:
        >>> retriever_scores([Document("a passage", {"score": 0.83}), {"text": "another", "score": 0.41}])
        [0.83, 0.41]
    """
    documents = list(documents)
    for name in _SCORE_NAMES:
        scores: list[float] = []
        for document in documents:
            score = None if isinstance(document, str) else _retriever_score(document, name)
            # Most documents without scores are strings or come from a retriever that leaves none in any of them.
            if score is None:
                break
            scores.append(score)
        else:
            return scores or None
    return None


def _retriever_score(document: object, name: str) -> float | None:
    if isinstance(document, Mapping):
        value = document.get(name)
        holders = [document.get(metadata) for metadata in _METADATA_NAMES]
    else:
        value = _attribute(document, name)
        holders = [_attribute(document, metadata) for metadata in _METADATA_NAMES]
    found = [value, *(holder.get(name) for holder in holders if isinstance(holder, Mapping))]
    # A method called score, or a text, is no score, and neither is True.
    numbers = (one for one in found if isinstance(one, Real) and not isinstance(one, bool))
    return next((float(number) for number in numbers if isfinite(number)), None)


def carried_vectors(documents: Iterable[object]) -> list[Any]:
    """The vectors that a retriever left in documents, as they are; None for a document that has none.

    They are looked for as an attribute or key ``embedding`` or ``vector``, of the document, its metadata, or the node
    inside (LlamaIndex's NodeWithScore).
    """
    return [None if isinstance(document, str) else _carried_vector(document) for document in documents]


def _carried_vector(document: object) -> Any:
    names = (*_METADATA_NAMES, "node")
    holders = [document]
    holders += [document.get(name) if isinstance(document, Mapping) else _attribute(document, name) for name in names]
    for holder in holders:
        for name in _VECTOR_NAMES:
            value = holder.get(name) if isinstance(holder, Mapping) else _attribute(holder, name)
            # A list, a tuple, or an array of any library; a text or a method of that name is none.
            if value is not None and hasattr(value, "__len__") and not isinstance(value, str | bytes | Mapping):
                return value
    return None


def _by_function(function: Callable[[Any], str], document: object) -> str:
    try:
        text = function(document)
    except Exception as error:  # the caller's own code: whatever it raises, the document is what has to be shown
        raise InvalidInputError(f"text={function!r} failed for {described(document)}: {cause_of(error)}") from error
    return _checked(text, document)


def _by_fields(fields: Sequence[str], document: object) -> str:
    if isinstance(document, str):
        return document
    parts = [_field(document, name) for name in fields]
    return _checked("\n".join(_checked(part, document) for part in parts if part not in (None, "")), document)


def _field(document: object, name: str) -> Any:
    holders = [document, *(_attribute(document, metadata) for metadata in _METADATA_NAMES)]
    for holder in holders:
        if isinstance(holder, Mapping) and name in holder:
            return holder[name]
    if hasattr(type(document), name) or name in getattr(document, "__dict__", ()):
        value = _attribute(document, name)
        if value is not None or name not in _TEXT_NAMES:
            return value
    # Every library has a name of its own for the text, so that any of them means it.
    if name in _TEXT_NAMES:
        return text_of(document)
    raise InvalidInputError(f"{described(document)} has no field {name!r}, which text= names; correct one of them")


def _attribute(document: object, name: str) -> Any:
    try:
        return getattr(document, name, None)
    except Exception:  # noqa: BLE001 - a property of another library: LlamaIndex's NodeWithScore.text raises for most nodes
        return None


def _checked(text: object, document: object) -> str:
    # Subclasses of str pass: fingerprints and models treat them as what they are.
    if not isinstance(text, str):
        raise InvalidInputError(
            f"the text of a document must be a string, not {type(text).__name__} as in {described(document)}"
        )
    # All documents without text would have the same fingerprint, so each would be served the score of another.
    if not text:
        raise InvalidInputError(
            f"the text of {described(document)} is empty, so that there is nothing to score; leave it out, or say by "
            "text= what of it is scored"
        )
    return text
