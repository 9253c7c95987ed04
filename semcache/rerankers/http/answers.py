"""Reads the answer of a rerank service into one score per document, or into an error that says what is wrong."""

import json
from collections.abc import Mapping, Sequence
from math import inf
from numbers import Real
from typing import Any

import numpy as np

from semcache.causes import message_of
from semcache.errors import RerankerError
from semcache.protocols import FloatArray
from semcache.rerankers.checked import checked_scores
from semcache.rerankers.http.dialects import Dialect

_MOST_SHOWN = 80


def read_answer(body: bytes, dialect: Dialect, documents: int, service: str) -> FloatArray:
    """One finite float32 per document, in the order in which they were sent; the order of the answer means nothing.

    ``service`` is its name for errors. Raises RerankerError for a body that is no JSON of the dialect, for documents
    that are missing, unknown or named twice, and for scores that are no finite numbers.
    """
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError) as error:  # also UnicodeDecodeError, and lists within lists without end
        # The beginning says what it is instead, such as the page of a proxy. It is no text of a request.
        raise RerankerError(f"{service} answered with no JSON but {_beginning(body)}: {message_of(error)}") from None
    scores: list[float | None] = [None] * documents
    for result in _results(answer, dialect, service):
        position = _position(result, documents, service)
        if scores[position] is not None:
            raise RerankerError(f"{service} gave document {position} of {documents} more than one score")
        scores[position] = _score(result, dialect, service)
    missing = [position for position, score in enumerate(scores) if score is None]
    if missing:
        raise RerankerError(
            f"{service} gave {documents - len(missing)} scores for {documents} documents, none for document "
            f"{missing[0]}; if it answers with the best ones only, name the field for their number: "
            "Dialect(..., count='top_n')"
        )
    return checked_scores(np.array(scores, dtype=np.float64), documents, service)


def _results(answer: Any, dialect: Dialect, service: str) -> Sequence[Any]:
    results = answer
    if dialect.results:
        if not isinstance(answer, Mapping) or dialect.results not in answer:
            raise RerankerError(
                f"{service} answered with {_shape(answer)} instead of an object with {dialect.results!r}, as dialect "
                f"{dialect.name} does; choose the dialect that it speaks"
            )
        results = answer[dialect.results]
    if not isinstance(results, list):
        raise RerankerError(
            f"{service} answered with {_shape(results)} instead of a list of results, as dialect {dialect.name} does; "
            "choose the dialect that it speaks"
        )
    return results


def _position(result: Any, documents: int, service: str) -> int:
    position = result.get("index") if isinstance(result, Mapping) else None
    if not isinstance(position, int) or isinstance(position, bool):
        raise RerankerError(f"{service} gave a result without a whole number as index: {_shape(result)}")
    if not 0 <= position < documents:
        raise RerankerError(f"{service} gave a score for document {position}; {documents} were sent, from 0 on")
    return position


def _score(result: Mapping[str, Any], dialect: Dialect, service: str) -> float:
    score = result.get(dialect.score)
    if not isinstance(score, Real) or isinstance(score, bool):
        said = "no" if dialect.score not in result else f"{type(score).__name__} as"
        raise RerankerError(
            f"{service} gave document {result['index']} {said} {dialect.score}; a number is needed, got "
            f"{_shape(result)}"
        )
    try:
        return float(score)
    except OverflowError:  # a whole number of hundreds of digits
        return inf


def _shape(value: Any) -> str:
    """Type and field names of a value, without what stands in it: that may be a document."""
    if isinstance(value, Mapping):
        return f"an object with {', '.join(sorted(map(str, value)))[:_MOST_SHOWN] or 'nothing in it'}"
    return f"a {type(value).__name__}"


def _beginning(body: bytes) -> str:
    return f"{len(body)} bytes that begin with {body[:_MOST_SHOWN]!r}" if body else "an empty body"
