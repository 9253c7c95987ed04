"""Documents that callers may pass, and the text of one that is sent to the reranker."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from semcache.errors import InvalidInputError, described

# LangChain's name is page_content, Haystack's content; LlamaIndex and most plain code use text.
_TEXT_NAMES = ("page_content", "content", "text")


@dataclass(frozen=True, slots=True)
class Document:
    """A passage with metadata, for callers that have no document class of their own."""

    text: str
    metadata: Mapping[str, Any] = field(default_factory=dict)


def text_of(document: object) -> str:
    """The text of a ``str``, a mapping, or a LangChain, LlamaIndex, Haystack or semcache document.

    Raises InvalidInputError when the document has no text, or when its text is not a string.

    Example:
        >>> text_of({"content": "a passage", "source": "manual.pdf"})
        'a passage'
    """
    # This runs for every document of every request, also on an exact hit, so the usual kinds come first, and the test
    # for a Mapping, which costs more than all attributes together, comes after them.
    if isinstance(document, str):
        return document
    for name in _TEXT_NAMES:
        text = getattr(document, name, None)
        if text is not None:
            return text if type(text) is str else _checked(text, document)
    if isinstance(document, Mapping):
        text = next((document[name] for name in _TEXT_NAMES if document.get(name) is not None), None)
        if text is not None:
            return _checked(text, document)
    else:
        get_content = getattr(document, "get_content", None)  # LlamaIndex NodeWithScore
        if callable(get_content):
            return _checked(get_content(), document)
    raise InvalidInputError(
        f"no text found in {described(document)}; pass a string, a mapping with one of the keys "
        f"{', '.join(_TEXT_NAMES)}, or an object with such an attribute"
    )


def _checked(text: object, document: object) -> str:
    # Subclasses of str pass: fingerprints and models treat them as what they are.
    if not isinstance(text, str):
        raise InvalidInputError(
            f"the text of a document must be a string, not {type(text).__name__} as in {described(document)}"
        )
    return text
