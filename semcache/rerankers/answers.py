"""Reads the answers of other libraries' rerankers: documents, indices, scores, or results, in any usual shape."""

from collections.abc import Iterator, Mapping, Sequence
from numbers import Integral, Real
from typing import Any

from semcache.documents import text_of
from semcache.errors import InvalidInputError, RerankerError, described
from semcache.models.foreign import plain
from semcache.models.texts import encodable

_LISTS = ("results", "data", "documents")  # Cohere, Jina and answerdotai; Voyage; haystack
_INDICES = ("index", "corpus_id")  # Cohere, Jina, Voyage; sentence-transformers
_SCORES = ("relevance_score", "score")  # Cohere, Jina, Voyage; the others
_DOCUMENTS = ("document", "doc", "node")  # answerdotai and services; plain code; LlamaIndex


class Passage(str):
    """A text that is also a document: a ``str`` with ``page_content``, ``content``, ``text`` and ``metadata``.

    Code for LangChain, LlamaIndex or Haystack documents finds its attribute, and code for plain texts finds a string
    (which tokenizers and JSON take as one).
    """

    metadata: dict[str, Any]

    def __new__(cls, text: str) -> "Passage":
        """Gives each passage an empty ``metadata`` of its own, since some rerankers write their score there."""
        passage = super().__new__(cls, text)
        passage.metadata = {}
        return passage

    @property
    def page_content(self) -> str:
        """The text as a plain string."""
        return str(self)

    content = page_content
    text = page_content


class SentPassages:
    """The passages of one call, fit to be encoded, and the positions of those that come back.

    A passage is found by identity, index or text.
    """

    def __init__(self, texts: Sequence[str], reranker: str) -> None:
        self.passages: list[Passage] = [Passage(encodable(text)) for text in texts]
        self._reranker = reranker
        # An id stands for its passage only while the passage lives; the list above keeps all of them alive.
        self._by_identity = {id(passage): position for position, passage in enumerate(self.passages)}
        # Several positions per text, since a request may hold the same text twice.
        self._by_text: dict[str, list[int]] = {}
        for position, passage in enumerate(self.passages):
            self._by_text.setdefault(str(passage), []).append(position)

    def read(self, answer: Any) -> list[tuple[int, float | None]]:
        """Positions in the order of the answer, each with its score if there is one; a second mention is ignored.

        Numbers with a fraction, one per document, are scores in the order of the documents; whole numbers are indices.
        Raises RerankerError for an answer that is no list, or that has a document that was not sent.
        """
        items = list(_items(answer, self._reranker))
        if len(items) == len(self.passages) and all(_is_score(item) and score is None for item, score in items):
            return [(position, float(item)) for position, (item, _) in enumerate(items)]
        read: dict[int, float | None] = {}
        for item, score in items:
            read.setdefault(self._position(item, read), score)
        return list(read.items())

    def scores(self, found: Sequence[tuple[int, float | None]]) -> list[float] | None:
        """The scores of what was ``read``, in the order of the passages; None unless each has one.

        Equal texts have one score, also where the answer names only one of them.
        """
        known = {position: score for position, score in found if score is not None}
        for positions in self._by_text.values():
            score = next((known[position] for position in positions if position in known), None)
            if score is None:
                return None
            for position in positions:
                known.setdefault(position, score)
        return [known[position] for position in range(len(self.passages))]

    def _position(self, item: Any, seen: Mapping[int, object]) -> int:
        # Identity first: it alone tells two equal texts apart, and costs one look-up.
        if id(item) in self._by_identity:
            return self._by_identity[id(item)]
        # A bare True is an Integral, too, and never meant as an index.
        if isinstance(item, Integral) and not isinstance(item, bool):
            return self._checked_index(int(item))
        # Index before text: a result that has both may carry a text that the service has cut or cleaned.
        index = plain(_first(item, _INDICES))
        if isinstance(index, Integral):
            return self._checked_index(int(index))
        inner = _first(item, _DOCUMENTS)
        return self._position(inner, seen) if inner is not None else self._position_by_text(item, seen)

    def _checked_index(self, index: int) -> int:
        if not 0 <= index < len(self.passages):
            raise RerankerError(f"{self._reranker} answered index {index} for {len(self.passages)} documents")
        return index

    def _position_by_text(self, item: Any, seen: Mapping[int, object]) -> int:
        # RedisVL wraps the very object that it was given in a mapping.
        content = _first(item, ("content", "text", "page_content"))
        if id(content) in self._by_identity:
            return self._by_identity[id(content)]
        try:
            # Not text_of() where the text is at hand: it refuses a document of empty text, which may have been sent.
            found = self._by_text.get(content if isinstance(content, str) else text_of(item), [])
        except InvalidInputError as error:
            raise RerankerError(
                f"{self._reranker} answered {described(item)}, in which no document is found"
            ) from error
        if not found:
            raise RerankerError(f"{self._reranker} answered a document that was not sent: {described(item)}")
        # Equal texts are taken one after the other; once all are taken, this is a second mention of the first.
        return next((position for position in found if position not in seen), found[0])


def _items(answer: Any, reranker: str) -> Iterator[tuple[Any, float | None]]:
    """The items of an answer, each with its score if there is one."""
    answer = plain(answer)
    # RedisVL answers (documents, scores). A tuple of two (document, score) pairs would be misread, but libraries return
    # pairs in a list.
    if (
        isinstance(answer, tuple)
        and len(answer) == 2
        and all(isinstance(plain(part), (list, tuple)) for part in answer)
    ):
        documents, scores = map(plain, answer)
        yield from ((document, _number(score)) for document, score in zip(documents, scores, strict=True))
        return
    inner = None if isinstance(answer, (list, tuple)) else plain(_first(answer, _LISTS))
    items = answer if inner is None else inner
    if not hasattr(items, "__iter__") or isinstance(items, (str, Mapping)):
        raise RerankerError(f"{reranker} answered {described(answer)} instead of a list of documents")
    for item in map(plain, items):
        if isinstance(item, (tuple, list)) and len(item) == 2:
            first, second = map(plain, item)
            # The number is the score. Of two numbers the second is: (index, score) is common, (score, index) is not.
            is_swapped = isinstance(first, Real) and not isinstance(second, Real)
            yield (second, float(first)) if is_swapped else (first, _number(second))
        else:
            yield item, _score_of(item)


def _score_of(item: Any) -> float | None:
    """The score that a result says, or that a LangChain compressor wrote into its document's metadata."""
    score = _number(_first(item, _SCORES))
    return score if score is not None else _number(_first(_first(item, ("metadata",)), _SCORES))


def _first(item: Any, names: Sequence[str]) -> Any:
    """The value of the first of these keys or attributes that is there, else None."""
    for name in names:
        value = item.get(name) if isinstance(item, Mapping) else getattr(item, name, None)
        # Strings and lists have methods of these names, such as ``str.index``.
        if value is not None and not callable(value):
            return value
    return None


def _is_score(item: Any) -> bool:
    return isinstance(item, Real) and not isinstance(item, Integral)


def _number(value: Any) -> float | None:
    value = plain(value)
    # Some models have a column of scores, so that a result has a list of one.
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    return float(value) if isinstance(value, Real) and not isinstance(value, bool) else None
