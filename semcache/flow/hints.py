"""Reads what a caller or its retriever knows of documents beside their texts: scores of the retriever, and vectors."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from math import isfinite
from typing import TypeVar

import numpy as np

from semcache.documents import carried_vectors as found_vectors
from semcache.documents import retriever_scores
from semcache.errors import InvalidInputError, described
from semcache.flow.drift import Floats
from semcache.flow.requests import Request, is_number
from semcache.protocols import FloatArray

T = TypeVar("T")


def with_hints(
    request: Request,
    retrieval_scores: Sequence[float] | None,
    document_vectors: FloatArray | None,
    min_score: float | None,
) -> Request:
    """The request with what its caller gave beside the documents, checked before any work is done.

    ``retrieval_scores`` and ``document_vectors`` have one number, one row, for each of the caller's documents; equal
    texts have those of the first of them. Raises InvalidInputError.

    Example:
        >>> with_hints(checked_request("q", ["a", "b", "a"], 2), [0.9, 0.5, 0.1], None, None).retrieval_scores
        array([0.9, 0.5])
    """
    scores = None if retrieval_scores is None else _checked_scores(retrieval_scores, len(request.text_positions))
    first = _first_documents(request)
    return replace(
        with_min_score(request, min_score),
        retrieval_scores=None if scores is None else scores[first],
        document_vectors=None if document_vectors is None else document_vectors[first],
    )


def with_min_score(request: Request, min_score: float | None) -> Request:
    """The request of a caller who wants no documents that score lower. Raises InvalidInputError."""
    check_min_score(min_score)
    return request if min_score is None else replace(request, min_score=float(min_score))


def one_per_query(values: Sequence[T] | None, queries: int, name: str) -> Sequence[T | None]:
    """The values of each query, None for all where none are given. Raises InvalidInputError for another number."""
    if values is None:
        return [None] * queries
    if len(values) != queries:
        raise InvalidInputError(f"{name} has {len(values)} items for {queries} queries; give one per query, or None")
    return values


def retrieval_scores(request: Request) -> Floats | None:
    """The retriever's score of each distinct text: as given, or else as found in the caller's documents.

    None unless every document has one.
    """
    if request.retrieval_scores is not None:
        return request.retrieval_scores
    found = retriever_scores(request.documents)
    return None if found is None else np.array(found)[_first_documents(request)]


def carried_vectors(request: Request, dims: int) -> FloatArray | None:
    """Unit vectors that the caller's documents carry, a row of nan for a text without one of ``dims`` finite numbers.

    None if no document carries one.
    """
    rows = np.full((len(request.texts), dims), np.nan, dtype=np.float32)
    documents = list(request.documents)
    places = np.arange(len(documents))[_first_documents(request)].tolist()
    for row, vector in zip(rows, found_vectors(documents[place] for place in places), strict=True):
        with suppress(Exception):  # whatever a store keeps under that name, also what cannot be read
            if vector is not None and len(vector) == dims:
                row[:] = vector
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    # One number that is not finite, or a length of 0, makes the whole row useless.
    rows[~np.isfinite(rows).all(axis=1)] = np.nan
    return None if np.isnan(rows).all() else rows


def check_min_score(min_score: object) -> None:
    """Raises InvalidInputError unless ``min_score`` is None or a finite number."""
    if min_score is None:
        return
    if not is_number(min_score) or isinstance(min_score, bool) or not isfinite(min_score):
        raise InvalidInputError(
            f"min_score is {min_score!r:.80}; give a finite number in the units of the reranker's scores, or None"
        )


def _checked_scores(scores: Sequence[float], documents: int) -> Floats:
    try:
        numbers = np.asarray(scores, dtype=float)
    except (TypeError, ValueError) as error:
        raise InvalidInputError(
            f"retrieval_scores must be one number per document, got {described(scores)}; leave it out where the "
            "retriever gives no scores"
        ) from error
    if numbers.shape != (documents,):
        raise InvalidInputError(
            f"retrieval_scores has shape {numbers.shape} for {documents} documents; give one number per document"
        )
    bad = np.flatnonzero(~np.isfinite(numbers))
    if bad.size:
        raise InvalidInputError(
            f"the retrieval score of document {bad[0]} is {numbers[bad[0]]}; give finite numbers, or leave out "
            "retrieval_scores"
        )
    return numbers


def _first_documents(request: Request) -> slice | list[int]:
    """Where the first document of each distinct text stands in the caller's list."""
    positions = request.text_positions
    if isinstance(positions, range):
        return slice(None)
    first: dict[int, int] = {}
    for document, text in enumerate(positions):
        first.setdefault(text, document)
    return list(first.values())
