"""What a flow asks its driver for, one value per kind of step; the docstrings say what the answer is.

Nobody changes a step, yet none is frozen: to make one would take twice as long, on the path of every request.
"""

from dataclasses import dataclass

from semcache.protocols import FloatArray


@dataclass(slots=True)
class ReadExact:
    """Scores by fingerprint of the entry of exactly this query, or None."""

    tenant: str
    query: str


@dataclass(slots=True)
class Embed:
    """The unit vector of the query, or None."""

    query: str


@dataclass(slots=True)
class ReadVector:
    """The stored unit vector of exactly this query, or None; saves the embedding."""

    tenant: str
    query: str


@dataclass(slots=True)
class FindNeighbours:
    """Entries near a vector, nearest first, of at least this similarity (a cosine; less is of no use)."""

    tenant: str
    vector: FloatArray
    min_similarity: float = -1.0


@dataclass(slots=True)
class Score:
    """A ``Scored`` for the documents at the positions ``ask``."""

    query: str
    texts: tuple[str, ...]
    ask: tuple[int, ...]


@dataclass(slots=True)
class Remember:
    """Store true scores of this query; whether they were stored."""

    tenant: str
    query: str
    vector: FloatArray | None
    scores: tuple[tuple[bytes, float], ...]
    cues: bytes
    ttl_s: float | None = None


@dataclass(slots=True)
class Refuse:
    """Tell the observers that a guard refused trust; the answer is not looked at."""

    difference: str
    similarity: float


Step = ReadExact | Embed | ReadVector | FindNeighbours | Score | Remember | Refuse
