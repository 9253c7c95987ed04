"""A rerank request as the flow sees it: checked, with every distinct text once."""

from collections.abc import Iterable, Mapping, Sequence, Set, Sized
from dataclasses import dataclass
from math import isfinite
from numbers import Real
from operator import index
from typing import Any, TypeGuard, TypeVar, cast

from semcache.documents import Reader, text_of
from semcache.entries.fingerprint import document_fingerprint, document_fingerprints
from semcache.errors import ConfigurationError, InvalidInputError

D = TypeVar("D")


@dataclass(slots=True)
class Request:
    """One query and its distinct document texts.

    ``places`` says for every document of the caller which distinct text it is: equal texts are scored once, and each
    of them comes back. ``top_k`` is at most the number of the caller's documents.
    """

    query: str
    tenant: str
    texts: tuple[str, ...]
    fingerprints: tuple[bytes, ...]
    places: Sequence[int]
    top_k: int


def checked_request(
    query: str, documents: Sequence[object], top_k: int, tenant: str = "", read: Reader = text_of
) -> Request:
    """Check what a caller sent, before any work is done. ``read`` gives a document's text. Raises InvalidInputError."""
    check_query(query)
    top_k = checked_top_k(top_k)
    check_tenant(tenant)
    texts = texts_of(documents, read)
    # A dict keeps the order of first appearance, which is the retriever's.
    distinct = tuple(dict.fromkeys(texts))
    places: Sequence[int] = range(len(texts))
    if len(distinct) < len(texts):
        place_of = {text: place for place, text in enumerate(distinct)}
        places = tuple(map(place_of.__getitem__, texts))
    return Request(query, tenant, distinct, document_fingerprints(distinct), places, min(top_k, len(texts)))


def texts_of(documents: Sequence[object], read: Reader = text_of) -> list[str]:
    """The texts of the caller's documents, in order. The list itself is never changed."""
    documents = by_position(documents)
    if read is not text_of:
        return list(map(read, documents))
    # Most are strings already, and a call for each would cost as much as hashing them.
    return [document if type(document) is str else text_of(document) for document in documents]


def by_position(documents: Sequence[D]) -> Sequence[D]:
    """The caller's documents so that each is found by its position: a list as it is, an array or a column as a list.

    Raises InvalidInputError for what has no order, is no collection, or has more than one dimension.
    """
    if isinstance(documents, list | tuple):
        return documents
    is_text = isinstance(documents, str | bytes | bytearray | memoryview)
    if isinstance(documents, Sequence) and not is_text:
        return documents
    # Arrays of numpy, and columns of pandas, polars and datasets, are no Sequence. An index of pandas finds its labels
    # instead of positions, so that they become lists. A table would give the names of its columns.
    is_column = isinstance(documents, Sized) and isinstance(documents, Iterable) and hasattr(documents, "__getitem__")
    if not is_column or is_text or isinstance(documents, Mapping | Set) or getattr(documents, "ndim", 1) != 1:
        raise InvalidInputError(
            f"documents must be a list of documents, got {type(documents).__name__}; put a single document in a list"
        )
    return list(cast("Iterable[D]", documents))


def caller_positions(places: Sequence[int], order: Sequence[int]) -> list[int]:
    """The caller's positions in the order of their texts; equal texts stay together, in the caller's order."""
    if isinstance(places, range):  # no text twice
        return list(order)
    positions: dict[int, list[int]] = {}
    for position, place in enumerate(places):
        positions.setdefault(place, []).append(position)
    return [position for place in order for position in positions[place]]


def records(request: Request, scores: Sequence[float]) -> list[tuple[bytes, float]]:
    """Scores of the caller's documents by fingerprint. Raises InvalidInputError unless each has one finite score."""
    if len(scores) != len(request.places):
        raise InvalidInputError(
            f"{len(scores)} scores for {len(request.places)} documents; pass one score per document"
        )
    for place, score in enumerate(scores):
        if not isfinite(score):
            raise InvalidInputError(f"the score of document {place} is {score!r}; only finite scores can be compared")
    return [(request.fingerprints[text], float(score)) for text, score in zip(request.places, scores, strict=True)]


def forgotten(query: str | None, document: object, tenant: str | None, read: Reader = text_of) -> dict[str, Any]:
    """What is to be forgotten, checked: a query or a document (text or fingerprint), or a tenant alone."""
    if (query is not None and document is not None) or (query is None and document is None and tenant is None):
        raise InvalidInputError(
            "pass a query, a document or a tenant to forget(), and not both of the first; clear() removes everything"
        )
    if query is not None:
        check_query(query)
    if tenant is not None:
        check_tenant(tenant)
    if document is None or isinstance(document, bytes):
        return {"query": query, "document": document}
    return {"query": query, "document": document_fingerprint(read(document))}


MAX_TTL_S = 10 * 365 * 24 * 3600.0
"""Ten years, in seconds. A longer life is a mistake of the unit (milliseconds) or a point of time, and Redis itself
refuses what does not fit into 63 bits of milliseconds, with each write. Entries that never expire have None."""


def is_ttl(ttl_s: object) -> bool:
    """True if entries can live for ``ttl_s``: a number of seconds above 0, at most MAX_TTL_S, or None for no expiry."""
    return ttl_s is None or (is_number(ttl_s) and not isinstance(ttl_s, bool) and 0 < ttl_s <= MAX_TTL_S)


def check_ttl(ttl_s: object, name: str = "ttl") -> None:
    """Raises ConfigurationError, which calls the argument ``name``, unless ``is_ttl``."""
    if not is_ttl(ttl_s):
        raise ConfigurationError(
            f"{name} is {ttl_s!r:.80}; give a number of seconds above 0 and up to {MAX_TTL_S:.0f} (ten years), or None "
            "for no expiry"
        )


def check_threshold(threshold: object) -> None:
    """Raises ConfigurationError unless the argument ``similarity_threshold`` is a cosine."""
    # Written so that NaN, which is between no numbers, is refused.
    if not is_number(threshold) or isinstance(threshold, bool) or not -1 <= threshold <= 1:
        raise ConfigurationError(f"similarity_threshold is {threshold!r:.80}; give a cosine from -1 to 1, such as 0.95")


def is_number(value: object) -> TypeGuard[float]:
    """True for numbers of Python and numpy alike."""
    return isinstance(value, Real)


def check_query(query: object) -> None:
    """A query is a string with something to read in it."""
    if not isinstance(query, str):
        raise InvalidInputError(f"query must be a string, got {type(query).__name__} {query!r:.80}; pass the text")
    if not query or query.isspace():
        raise InvalidInputError(f"query is blank ({query!r:.40}); pass the text of the question")


def checked_top_k(top_k: object) -> int:
    """``top_k`` as an ``int``. Raises InvalidInputError unless it is a whole number of documents, at least 1."""
    try:
        # By its index, so that the whole numbers of numpy and torch count, and 2.0 does not.
        number = index(cast("Any", top_k))
    except TypeError:
        number = 0
    if number < 1 or isinstance(top_k, bool):
        raise InvalidInputError(f"top_k must be a whole number of at least 1, got {top_k!r}")
    return number


def deadline_after(started: float, deadline_s: object) -> float | None:
    """The time by which the answer is due, on the clock of ``started``, or None without a deadline.

    Raises InvalidInputError unless ``deadline_s`` is None or a number of seconds above 0.
    """
    if deadline_s is None:
        return None
    if not is_number(deadline_s) or not deadline_s > 0:
        raise InvalidInputError(f"deadline_s must be a number of seconds above 0, or None, got {deadline_s!r}")
    # A numpy.float32 would round the sum to its own precision, which is many seconds on a machine that runs for long.
    return started + float(deadline_s)


def check_tenant(tenant: object) -> None:
    """A tenant is any string; the empty one is the default tenant."""
    if not isinstance(tenant, str):
        raise InvalidInputError(
            f"tenant must be a string, got {type(tenant).__name__} {tenant!r:.80}; use '' for the default tenant"
        )
