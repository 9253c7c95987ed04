"""A request of the replayed stream, and its answer."""

from dataclasses import dataclass

from semcache.protocols import FloatArray
from semcache.ranking import Ranking


@dataclass(frozen=True, slots=True)
class Asked:
    """A request of the stream; ``is_repeat`` says that the stretch had this query before."""

    query: str
    documents: list[str]
    is_repeat: bool


@dataclass(frozen=True, slots=True)
class Served:
    """An answer: seconds its caller waited, and what the same request took without a cache where that was tried."""

    asked: Asked
    ranking: Ranking[str]
    duration_s: float
    bare_s: float | None
    bare_scores: FloatArray | None
    entries: int | None
    used_bytes: int | None
