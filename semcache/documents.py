"""What counts as a document, and which of its text is sent to the reranker."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from semcache.errors import InvalidInputError, described

# LangChain says page_content, Haystack content, LlamaIndex and most plain code text.
_TEXT_NAMES = ("page_content", "content", "text")


@dataclass(frozen=True, slots=True)
class Document:
    """A passage with metadata, for callers that have no document class of their own."""

    text: str
    metadata: Mapping[str, Any] = field(default_factory=dict)


def text_of(document: object) -> str:
    """The text of a ``str``, a mapping, or a LangChain, LlamaIndex, Haystack or semcache document.

    Raises InvalidInputError when there is none, or when it is not a string.
    """
    if isinstance(document, str):
        return document
    for name in _TEXT_NAMES:
        text = getattr(document, name, None)
        if text is not None:
            return text if type(text) is str else _checked(text, document)
    # After the attributes: asking whether something is a Mapping costs more than all of them together.
    if isinstance(document, Mapping):
        return _checked(_first_key(document), document)
    get_content = getattr(document, "get_content", None)  # LlamaIndex NodeWithScore
    if callable(get_content):
        return _checked(get_content(), document)
    raise InvalidInputError(_no_text(document))


def _first_key(document: Mapping[Any, Any]) -> object:
    for name in _TEXT_NAMES:
        if document.get(name) is not None:
            return document[name]
    raise InvalidInputError(_no_text(document))


def _checked(text: object, document: object) -> str:
    if not isinstance(text, str):
        raise InvalidInputError(
            f"the text of a document must be a string, not {type(text).__name__} as in {described(document)}"
        )
    return text


def _no_text(document: object) -> str:
    return (
        f"no text found in {described(document)}; pass a string, a mapping with one of the keys "
        f"{', '.join(_TEXT_NAMES)}, or an object with such an attribute"
    )
