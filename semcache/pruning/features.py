"""Cheap features of every candidate of one request: what a reranker's score can be guessed from.

All features are differences from the request's mean, since only differences decide an order.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

FEATURES = (
    "log_rank",
    "rank",
    "retrieval_score",
    "cosine",
    "overlap",
    "log_length",
    "rank_cosine",
    "earlier",
    "cheap_score",
)
"""Columns of ``Features.values``. Statistics name this number of columns, so a change of it needs a new version."""

_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """Features of one request's documents for one query.

    ``values`` has a row per document and a column per name in ``FEATURES``, each column less its mean; 0 where a value
    is missing. ``available`` says which columns are known at all, one flag per column.
    """

    values: Floats
    available: Flags


def features(
    query: str | None,
    texts: Sequence[str],
    *,
    retrieval_scores: Sequence[float | None] | Floats | None = None,
    query_vector: NDArray[np.floating] | None = None,
    document_vectors: NDArray[np.floating] | None = None,
    earlier: Sequence[float] | Floats | None = None,
    cheap_scores: Sequence[float] | Floats | None = None,
) -> Features:
    """Features of the documents ``texts``, in the retriever's order, for ``query`` (None if its text is not known).

    Optional, each with one value per document: ``retrieval_scores``, on any scale, None where there is none;
    ``document_vectors`` of shape ``(documents, dims)``, of length 1, a row of nan where there is none, with the unit
    ``query_vector`` of the same embedder; ``earlier``, how much better the document scored for other queries than was
    expected, nan where nothing is known; ``cheap_scores`` of a cheaper reranker.
    """
    ranks = np.arange(1.0, len(texts) + 1)
    columns: list[Floats | None] = [
        np.log(ranks),
        ranks / 100,
        _standardised(_floats(retrieval_scores)),
        cosines(query_vector, document_vectors),
        None if query is None else overlap(query, texts),
        np.log1p([float(len(text)) for text in texts]),
        None,
        _floats(earlier),
        _floats(cheap_scores),
    ]
    values = np.zeros((len(texts), len(FEATURES)))
    available = np.zeros(len(FEATURES), dtype=np.bool_)
    for at, column in enumerate(columns):
        known = None if column is None else ~np.isnan(column)
        if column is not None and known is not None and known.any():
            values[known, at] = column[known] - column[known].mean()
            available[at] = True
    if available[3]:
        product = values[:, 0] * values[:, 3]
        values[:, 6], available[6] = product - product.mean(), True
    return Features(values, available)


def overlap(query: str, texts: Sequence[str]) -> Floats:
    """Share of the query's words that each text contains, weighed by how few of the texts contain the word.

    Words of the query are looked for as parts of the text in lower case, so that "flea" is found in "fleas".
    """
    words = sorted(set(_WORD.findall(query.lower())))
    lowered = [text.lower() for text in texts]
    found = np.array([[word in text for word in words] for text in lowered], dtype=float).reshape(len(texts), -1)
    weights = np.log((len(texts) + 1) / (found.sum(axis=0) + 0.5))
    return np.asarray(found @ weights / max(float(weights.sum()), 1e-12))


def cosines(query_vector: NDArray[np.floating] | None, document_vectors: NDArray[np.floating] | None) -> Floats | None:
    """Similarity of the query's vector to each document's, nan where there is none; None without vectors."""
    if query_vector is None or document_vectors is None or not len(document_vectors):
        return None
    return np.asarray(document_vectors @ query_vector, dtype=float)


def _floats(values: Sequence[float | None] | Floats | None) -> Floats | None:
    return None if values is None else np.array(values, dtype=float)


def _standardised(values: Floats | None) -> Floats | None:
    """Values in standard deviations of the request: retrievers have scores on very different scales."""
    if values is None or np.isnan(values).all():
        return None
    return np.asarray(values / max(float(np.nanstd(values)), 1e-12))
