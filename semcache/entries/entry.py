"""A remembered query: as it is written, as it is found again, and as it is stored."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Scores = Mapping[bytes, float]
"""Raw reranker scores by document fingerprint."""


@dataclass(frozen=True, slots=True)
class NewScores:
    """Scores that the reranker gave to documents for one query, as (document fingerprint, score), to be stored.

    ``vector`` is the query's float32 unit vector. Without one the entry can be read exactly, but is never found as a
    neighbour. ``cues`` is what the guard took from the query.
    """

    query: str
    vector: NDArray[np.float32] | None
    scores: Sequence[tuple[bytes, float]]
    cues: bytes = b""


@dataclass(frozen=True, slots=True)
class Neighbour:
    """An entry found by KNN, with its cosine similarity in [-1, 1] to the query that was asked about.

    ``created_at`` is in seconds since the epoch. ``query`` is None unless ``store_queries`` is on. ``cues`` is what the
    guard took from the remembered query. ``vector`` is its unit vector, None where a store does not give it.
    ``is_comparable``: the similarity is one of the present embedder, so thresholds are meant for it.
    """

    id: str
    similarity: float
    scores: Scores
    created_at: float
    query: str | None = None
    cues: bytes = b""
    vector: NDArray[np.float32] | None = field(default=None, compare=False, repr=False)
    is_comparable: bool = True


@dataclass(frozen=True, slots=True)
class StoredEntry:
    """A whole entry. ``vector`` is a float32 unit vector; the other fields are those of a Neighbour."""

    id: str
    vector: NDArray[np.float32]
    scores: Scores
    created_at: float
    query: str | None = None
    cues: bytes = b""
