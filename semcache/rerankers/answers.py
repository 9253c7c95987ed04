"""Reads what foreign rerankers answer: documents, indices, results with scores, in the shapes that libraries use."""

from collections.abc import Iterator, Mapping, Sequence
from numbers import Integral, Real
from typing import Any

from semcache.documents import text_of
from semcache.errors import InvalidInputError, RerankerError, described
from semcache.models.texts import encodable

_LISTS = ("results", "data", "documents")  # Cohere, Jina and answerdotai; Voyage; haystack
_INDICES = ("index", "corpus_id")  # Cohere, Jina, Voyage; sentence-transformers
_SCORES = ("relevance_score", "score")


class Passage(str):
    """A text that is also a document: a ``str`` with ``page_content``, ``content``, ``text`` and ``metadata``.

    Code for LangChain, LlamaIndex or Haystack documents finds its attribute, and code for plain texts finds a string
    (which tokenizers and JSON take as one).
    """

    metadata: dict[str, Any]

    def __new__(cls, text: str) -> "Passage":
        """An empty ``metadata`` of its own for each, for code that writes its score there."""
        passage = super().__new__(cls, text)
        passage.metadata = {}
        return passage

    @property
    def page_content(self) -> str:
        """The text as a plain string."""
        return str(self)

    content = page_content
    text = page_content


class Sent:
    """The passages of one call, fit to be encoded.

    Finds each that comes back, by identity, index or text; each at most once.
    """

    def __init__(self, texts: Sequence[str], reranker: str) -> None:
        self.passages = [Passage(encodable(text)) for text in texts]
        self._reranker = reranker
        self._by_identity = {id(passage): at for at, passage in enumerate(self.passages)}
        self._by_text: dict[str, list[int]] = {}
        for at, passage in enumerate(self.passages):
            self._by_text.setdefault(str(passage), []).append(at)

    def read(self, answer: Any) -> list[tuple[int, float | None]]:
        """Positions in the order of the answer, each with its score if there is one; a second mention is ignored.

        Raises RerankerError for an answer that is no list, or that has a document that was not sent.
        """
        read: dict[int, float | None] = {}
        for item, score in _items(answer, self._reranker):
            at = self._position(item, read)
            read.setdefault(at, score)
        return list(read.items())

    def _position(self, item: Any, seen: Mapping[int, object]) -> int:
        if id(item) in self._by_identity:
            return self._by_identity[id(item)]
        if isinstance(item, Integral) and not isinstance(item, bool):
            return self._checked_index(int(item))
        index = _first(item, _INDICES)
        if isinstance(index, Integral):
            return self._checked_index(int(index))
        inner = _first(item, ("document", "doc"))
        return self._position(inner, seen) if inner is not None else self._of_text(item, seen)

    def _checked_index(self, index: int) -> int:
        if not 0 <= index < len(self.passages):
            raise RerankerError(f"{self._reranker} answered index {index} for {len(self.passages)} documents")
        return index

    def _of_text(self, item: Any, seen: Mapping[int, object]) -> int:
        content = _first(item, ("content", "text", "page_content"))  # RedisVL puts what it was given in a mapping
        if id(content) in self._by_identity:
            return self._by_identity[id(content)]
        try:
            found = self._by_text.get(text_of(item), [])
        except InvalidInputError as error:
            raise RerankerError(
                f"{self._reranker} answered {described(item)}, in which no document is found"
            ) from error
        if not found:
            raise RerankerError(f"{self._reranker} answered a document that was not sent: {described(item)}")
        return next((at for at in found if at not in seen), found[0])


def _items(answer: Any, reranker: str) -> Iterator[tuple[Any, float | None]]:
    if isinstance(answer, tuple) and len(answer) == 2 and all(isinstance(part, (list, tuple)) for part in answer):
        return zip(*answer, strict=True)  # (documents, scores), as RedisVL answers
    inner = None if isinstance(answer, (list, tuple)) else _first(answer, _LISTS)
    items = answer if inner is None else inner
    if not hasattr(items, "__iter__") or isinstance(items, (str, Mapping)):
        raise RerankerError(f"{reranker} answered {described(answer)} instead of a list of documents")
    return (_item_and_score(item) for item in items)


def _item_and_score(item: Any) -> tuple[Any, float | None]:
    if isinstance(item, (tuple, list)) and len(item) == 2:
        first, second = item
        is_swapped = isinstance(first, Real) and not isinstance(second, Real)
        return (second, float(first)) if is_swapped else (first, _number(second))
    return item, _number(_first(item, _SCORES))


def _first(item: Any, names: Sequence[str]) -> Any:
    """The first of these keys or attributes that is there. A method, such as ``str.index``, is not."""
    for name in names:
        value = item.get(name) if isinstance(item, Mapping) else getattr(item, name, None)
        if value is not None and not callable(value):
            return value
    return None


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, Real) else None
