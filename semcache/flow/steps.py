"""The steps that a flow yields, one class per kind of step. Each docstring says what answer is sent back.

Treat steps as immutable. They are not frozen because constructing a frozen dataclass takes twice as long, and every
request constructs some. Only the driver writes to one: a cache step that failed is answered as if nothing had been
found, and its ``failure`` says why, for flows that explain themselves; what a search reads beside the neighbours stands
on it, too. The answer of a hit thus carries nothing extra.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from semcache.entries.entry import Scores
from semcache.flow.drift import Floats
from semcache.protocols import FloatArray


@dataclass(slots=True, eq=False)
class Lease:
    """The right of one of several processes to compute a request; see ``lease.py``.

    ``name`` stands for the documents and what is wanted of them, the random ``token`` for the holder. ``life_s`` is how
    long it lasts, in seconds; while the reranker is asked it is renewed, for ``longest_s`` at most. The store says by
    ``is_ours`` who holds it: None until it was claimed. ``give_up`` is called where one that is ours ends without
    scores, and must not wait.
    """

    tenant: str
    query: str
    name: str
    token: bytes
    life_s: float
    longest_s: float
    is_ours: bool | None = None
    give_up: Callable[["Lease"], None] = lambda lease: None


@dataclass(slots=True)
class ReadExact:
    """Answered by the scores by fingerprint of the entry of exactly this query, or None."""

    tenant: str
    query: str
    failure: str = field(default="", init=False, compare=False, repr=False)


@dataclass(slots=True)
class Embed:
    """Answered by the unit vector of the query, or None. The driver writes to ``took_s`` how many seconds that took."""

    query: str
    took_s: float | None = field(default=None, init=False, compare=False, repr=False)
    failure: str = field(default="", init=False, compare=False, repr=False)


@dataclass(slots=True)
class ReadVector:
    """Answered by the stored unit vector of exactly this query, or None. Reading it is cheaper than embedding."""

    tenant: str
    query: str
    failure: str = field(default="", init=False, compare=False, repr=False)


@dataclass(slots=True)
class FindNeighbours:
    """Answered by entries near the vector, nearest first. The flow has no use for any below ``min_similarity``.

    In the same round trip the driver reads into ``earlier`` how much better than the others ``documents``, given by
    their fingerprints, scored for earlier queries; nan where nothing is known, None without any. ``similarities`` are
    those of all entries that were found, the ones below ``min_similarity`` too, the greatest first. The ``lease``, if
    there is one, is claimed in the same round trip, too. ``query`` is what the vector stands for: while entries are
    migrated, another embedder is asked for a vector of it.
    """

    tenant: str
    vector: FloatArray
    min_similarity: float = -1.0
    documents: tuple[bytes, ...] = ()
    lease: Lease | None = field(default=None, compare=False)
    query: str = field(default="", compare=False, repr=False)
    earlier: Floats | None = field(default=None, init=False, compare=False, repr=False)
    similarities: Sequence[float] = field(default=(), init=False, compare=False, repr=False)
    failure: str = field(default="", init=False, compare=False, repr=False)


@dataclass(slots=True)
class ReadDocumentVectors:
    """Answered by the kept vectors of documents as rows, nan where there is none; None where none are kept at all."""

    tenant: str
    fingerprints: tuple[bytes, ...]
    failure: str = field(default="", init=False, compare=False, repr=False)


@dataclass(slots=True)
class Score:
    """Answered by a ``Scored`` for the documents at the positions ``ask`` of ``texts``.

    ``waited_s`` are the seconds for which another process was waited for before, which are no time of the reranker's.
    A ``lease`` that this process holds is renewed meanwhile.
    """

    query: str
    # All texts of the request: a lower rung of the ladder ranks all of them.
    texts: tuple[str, ...]
    ask: tuple[int, ...]
    tenant: str = ""
    waited_s: float = field(default=0.0, init=False, compare=False, repr=False)
    lease: Lease | None = field(default=None, init=False, compare=False, repr=False)


@dataclass(slots=True)
class ScoreCheaply:
    """Answered by one score per text from a cheaper reranker than the primary (setting prune.cascade), or None."""

    query: str
    texts: tuple[str, ...]
    failure: str = field(default="", init=False, compare=False, repr=False)


@dataclass(slots=True)
class Remember:
    """Store true scores of this query, as (document fingerprint, score). Answered by True if they were stored.

    A ``lease`` that this process holds ends with it.
    """

    tenant: str
    query: str
    vector: FloatArray | None
    scores: tuple[tuple[bytes, float], ...]
    cues: bytes
    ttl_s: float | None = None
    lease: Lease | None = field(default=None, init=False, compare=False, repr=False)
    failure: str = field(default="", init=False, compare=False, repr=False)


@dataclass(slots=True)
class AwaitScores:
    """Wait while another process holds the lease, until the scores of all documents are there.

    Answered by the scores of the query's entry as they are then. Those are ``known`` itself where there are no others,
    and ``lease.is_ours`` where this process has to compute them. The driver writes to ``waited_s`` how long it took.
    """

    lease: Lease
    fingerprints: tuple[bytes, ...]
    known: Scores | None = None
    waited_s: float = field(default=0.0, init=False, compare=False, repr=False)
    failure: str = field(default="", init=False, compare=False, repr=False)


@dataclass(slots=True)
class Refuse:
    """Notify observers that a guard refused to trust a neighbour. The answer is None."""

    difference: str
    similarity: float


Step = (
    ReadExact
    | Embed
    | ReadVector
    | FindNeighbours
    | ReadDocumentVectors
    | AwaitScores
    | Score
    | ScoreCheaply
    | Remember
    | Refuse
)
