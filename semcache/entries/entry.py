"""A remembered query: as it is found again, and as it is stored."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Neighbour:
    """An entry found by KNN, with its cosine similarity in [-1, 1] to the query that was asked about.

    ``scores`` are raw reranker scores by document fingerprint. ``created_at`` is in seconds since the epoch.
    ``query`` is None unless ``store_queries`` is on. ``cues`` is what the guard took from the remembered query.
    """

    id: str
    similarity: float
    scores: Mapping[bytes, float]
    created_at: float
    query: str | None = None
    cues: bytes = b""


@dataclass(frozen=True, slots=True)
class StoredEntry:
    """A whole entry. ``vector`` is a float32 unit vector; the other fields are those of a Neighbour."""

    id: str
    vector: NDArray[np.float32]
    scores: Mapping[bytes, float]
    created_at: float
    query: str | None = None
    cues: bytes = b""
