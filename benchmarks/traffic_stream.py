"""A request of the replayed stream, and its answer."""

from dataclasses import dataclass

from semcache.protocols import FloatArray
from semcache.ranking import Ranking


@dataclass(frozen=True, slots=True)
class StreamRequest:
    """A request of the stream. ``is_repeat`` is True when the stream had this query before."""

    query: str
    documents: list[str]
    is_repeat: bool


@dataclass(frozen=True, slots=True)
class Served:
    """A request with its answer and the seconds that it took.

    ``bare_s`` and ``bare_scores`` are of the same request without a cache, for those of the sample. ``entries`` and
    ``used_bytes`` are of the cache after the request, where they were read.
    """

    request: StreamRequest
    ranking: Ranking[str]
    duration_s: float
    bare_s: float | None
    bare_scores: FloatArray | None
    entries: int | None
    used_bytes: int | None
