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
    "retrieval_score",
    "cosine",
    "relative_cosine",
    "overlap",
    "log_length",
    "earlier",
    "cheap_score",
)
"""Columns of ``Features.values``. ``relative_cosine`` is in standard deviations of the request: a reranker tells the
nearest from the others, however near they are. Any change of the columns needs a new version of the statistics."""
# The rank itself and its product with the cosine gained nothing on TREC DL 2019 (benchmarks/results/quality.md).

# Chinese and Japanese have no spaces between words: pairs of their letters are taken for words.
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]{1,2}|[^\W\u3040-\u30ff\u3400-\u9fff]+")
LONG_WORD = 8
"""Letters from which a word counts as fully informative. A short word is mostly a common one (Zipf 1935): on TREC DL
2019 this weighs words as well as their document frequencies in the corpus, which would have to be kept, and better than
those among the candidates."""


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
    cheap_scores: Sequence[float] | NDArray[np.floating] | None = None,
) -> Features:
    """Features of the documents ``texts``, in the retriever's order, for ``query`` (None if its text is not known).

    Optional, each with one value per document: ``retrieval_scores``, on any scale, None where there is none;
    ``document_vectors`` of shape ``(documents, dims)``, of length 1, a row of nan where there is none, with the unit
    ``query_vector`` of the same embedder; ``earlier``, how much better than the others the document scored for other
    queries (``semcache.pruning.earlier``), nan where nothing is known; ``cheap_scores`` of a cheaper reranker.
    """
    cosine = cosines(query_vector, document_vectors)
    columns = (
        np.log(np.arange(1.0, len(texts) + 1)),
        _standardised(_floats(retrieval_scores)),
        cosine,
        _standardised(cosine),
        None if query is None else overlap(query, texts),
        np.log1p([float(len(text)) for text in texts]),
        _floats(earlier),
        _floats(cheap_scores),
    )
    values = np.zeros((len(texts), len(FEATURES)))
    available = np.zeros(len(FEATURES), dtype=np.bool_)
    for at, column in enumerate(columns):
        known = None if column is None else np.isfinite(column)
        if column is not None and known is not None and known.any():
            values[known, at] = column[known] - column[known].mean()
            available[at] = True
    return Features(values, available)


def overlap(query: str, texts: Sequence[str]) -> Floats:
    """Share of the query's words that each text contains; long words count more (``LONG_WORD``).

    Words of the query are looked for as parts of the text in lower case, so that "flea" is found in "fleas".

    Example:
        >>> overlap("life of fleas", ["All about FLEAS", "Life"]).round(2)
        array([0.45, 0.36])
    """
    weights = {word: min(len(word), LONG_WORD) for word in _WORD.findall(query.lower())}
    words = list(weights.items())
    found = [sum([weight for word, weight in words if word in text]) for text in map(str.lower, texts)]
    return np.array(found, dtype=float) / max(sum(weights.values()), 1)


def cosines(query_vector: NDArray[np.floating] | None, document_vectors: NDArray[np.floating] | None) -> Floats | None:
    """Similarity of the query's vector to each document's, nan where there is none; None without vectors."""
    if query_vector is None or document_vectors is None or not len(document_vectors):
        return None
    return np.asarray(document_vectors @ query_vector, dtype=float)


def _floats(values: Sequence[float | None] | NDArray[np.floating] | None) -> Floats | None:
    return None if values is None else np.array(values, dtype=float)


def _standardised(values: Floats | None) -> Floats | None:
    """Values in standard deviations of the request: retrievers have scores on very different scales."""
    if values is None:
        return None
    known = values[np.isfinite(values)]
    return np.asarray(values / max(float(known.std()), 1e-12)) if known.size else None
