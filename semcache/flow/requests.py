"""A rerank request as the flow sees it: checked, with every distinct text once."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

from semcache.documents import text_of
from semcache.entries.fingerprint import document_fingerprint, document_fingerprints
from semcache.errors import ConfigurationError, InvalidInputError


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


def checked_request(query: str, documents: Sequence[object], top_k: int, tenant: str = "") -> Request:
    """Check what a caller sent, before any work is done. Raises InvalidInputError."""
    check_query(query)
    check_top_k(top_k)
    check_tenant(tenant)
    texts = texts_of(documents)
    # A dict keeps the order of first appearance, which is the retriever's.
    distinct = tuple(dict.fromkeys(texts))
    places: Sequence[int] = range(len(texts))
    if len(distinct) < len(texts):
        place_of = {text: place for place, text in enumerate(distinct)}
        places = tuple(map(place_of.__getitem__, texts))
    return Request(query, tenant, distinct, document_fingerprints(distinct), places, min(top_k, len(texts)))


def texts_of(documents: Sequence[object]) -> list[str]:
    """The texts of the caller's documents, in order. The list itself is never changed."""
    if type(documents) is not list and (isinstance(documents, str | bytes) or not isinstance(documents, Sequence)):
        raise InvalidInputError(
            f"documents must be a list of documents, got {type(documents).__name__}; put a single document in a list"
        )
    # Most are strings already, and a call for each would cost as much as hashing them.
    return [document if type(document) is str else text_of(document) for document in documents]


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


def forgotten(query: str | None, document: object, tenant: str | None) -> dict[str, Any]:
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
    return {"query": query, "document": document_fingerprint(text_of(document))}


def is_ttl(ttl_s: object) -> bool:
    """True if entries can live for ``ttl_s``: a finite number of seconds above 0, or None for no expiry."""
    return ttl_s is None or (isinstance(ttl_s, int | float) and 0 < ttl_s < float("inf"))


def check_ttl(ttl_s: object) -> None:
    """Raises ConfigurationError unless ``is_ttl``."""
    if not is_ttl(ttl_s):
        raise ConfigurationError(f"ttl is {ttl_s!r}; give a number of seconds above 0, or None for no expiry")


def check_query(query: object) -> None:
    """A query is a string with something to read in it."""
    if not isinstance(query, str):
        raise InvalidInputError(f"query must be a string, got {type(query).__name__} {query!r:.80}; pass the text")
    if not query or query.isspace():
        raise InvalidInputError(f"query is blank ({query!r:.40}); pass the text of the question")


def check_top_k(top_k: object) -> None:
    """``top_k`` is a whole number of documents, at least 1."""
    if not isinstance(top_k, int) or isinstance(top_k, bool) or top_k < 1:
        raise InvalidInputError(f"top_k must be a whole number of at least 1, got {top_k!r}")


def check_tenant(tenant: object) -> None:
    """A tenant is any string; the empty one is the default tenant."""
    if not isinstance(tenant, str):
        raise InvalidInputError(
            f"tenant must be a string, got {type(tenant).__name__} {tenant!r:.80}; use '' for the default tenant"
        )
