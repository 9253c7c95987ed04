"""Protocols for the parts that users bring: embedder, reranker, ladder, store, observer, guard and clock.

These are protocols, not base classes: any object with such methods will do, and nothing needs to be registered.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from semcache.entries.entry import Neighbour, Scores
from semcache.events import Event

FloatArray = NDArray[np.float32]
Pair = tuple[str, str]
"""(query, document text)"""

Clock = Callable[[], float]
"""Seconds on a clock that never goes back, such as ``time.monotonic``."""


# Checkable at run time where ``adapt`` picks by what an object can do. The check sees the names of methods only.
@runtime_checkable
class Embedder(Protocol):
    """Turns texts into unit vectors, so that a dot product of two is their cosine.

    ``name`` identifies model, revision and backend: vectors of different names are never compared. ``dims`` is the
    length of a vector.

    Example:
        class Service:
            name, dims = "our-service/v2", 384

            def embed(self, texts: Sequence[str]) -> FloatArray:
                rows = np.array(client.embed(list(texts)), dtype=np.float32)
                return rows / np.linalg.norm(rows, axis=1, keepdims=True)
    """

    @property
    def name(self) -> str: ...

    @property
    def dims(self) -> int: ...

    def embed(self, texts: Sequence[str]) -> FloatArray:
        """One row per text, shape ``(len(texts), dims)``, each of length 1. Called from several threads."""
        ...


@runtime_checkable
class Reranker(Protocol):
    """Scores pairs; higher is better.

    ``name`` identifies everything that changes a score: model, revision, backend, activation, maximum length. Scores
    of different names are never mixed. A class that cannot promise that says so by an attribute ``identified_by``
    (``semcache.identity.kinds``), and is told apart by its answers, too. A ``listwise`` reranker puts one query's
    documents in order: its scores are comparable within one call only, so one call has exactly one query and all of its
    documents.

    Example:
        class SharedWords:
            name, listwise = "shared-words/v1", False

            def score(self, pairs: Sequence[Pair]) -> FloatArray:
                shared = [len(set(query.split()) & set(text.split())) for query, text in pairs]
                return np.array(shared, dtype=np.float32)
    """

    @property
    def name(self) -> str: ...

    @property
    def listwise(self) -> bool: ...

    def score(self, pairs: Sequence[Pair]) -> FloatArray:
        """One finite float32 per pair, in the order of the pairs."""
        ...


@runtime_checkable
class Guard(Protocol):
    """Tells queries apart that an embedding confuses: negation, numbers, units, names in another order.

    A guard is never given a stored query, only the cues that it took from it: they are stored beside the vector. Where
    it raises, the two queries count as different, and the event ``TrustRefused`` says so.
    """

    def cues(self, query: str) -> bytes:
        """The parts of a query that must agree before another query's scores are trusted for it; at most 255 bytes."""
        ...

    def difference(self, ours: bytes, theirs: bytes, similarity: float = 1.0) -> str | None:
        """Why scores may not be trusted across these two queries (a short word such as "negation"), or None.

        ``similarity`` is the cosine of the two queries' vectors.
        """
        ...


class Observer(Protocol):
    """Is called with every event, in the thread where it happened, and so must be quick.

    What it raises is reported once and otherwise ignored.
    """

    def __call__(self, event: Event, /) -> None: ...


@dataclass(frozen=True, slots=True)
class Scored:
    """The answer of a ladder of rerankers.

    With ``reason`` None the primary answered, and ``scores`` has one float per document that was asked about.
    Otherwise a lower rung answered: ``scores`` covers every document of the request, or is None for retrieval order.
    ``cause`` is for people: what stands behind the reason, such as the primary's error.
    """

    scores: FloatArray | None
    reranker: str
    reason: str | None = None
    cause: str = field(default="", compare=False)


@runtime_checkable
class Ladder(Protocol):
    """Rerankers from best to cheapest. Always answers, and says which rung did.

    ``documents`` are all texts of the request, ``ask`` the positions of those that the primary is needed for. A lower
    rung ranks all of ``documents``, since its scores cannot be mixed with the primary's. Raises only when no rung
    could answer.
    """

    @property
    def name(self) -> str:
        """The primary's name."""
        ...

    @property
    def listwise(self) -> bool: ...

    def score(
        self, query: str, documents: Sequence[str], ask: Sequence[int], *, deadline_s: float | None = None
    ) -> Scored: ...

    async def ascore(
        self, query: str, documents: Sequence[str], ask: Sequence[int], *, deadline_s: float | None = None
    ) -> Scored: ...


@runtime_checkable
class Store(Protocol):
    """Remembers reranker scores by tenant and query, and finds them again by exact query or by vector.

    A tenant is any string, "" is the default tenant; nothing is read across tenants. Queries that differ only in white
    space or Unicode normal form are one query (``semcache.entries.fingerprint.normalised_query``). Documents are named
    by 16 bytes (``document_fingerprint``), vectors are float32 of length 1. Methods are called from several threads.

    When a method raises, the step counts as a miss and is an event, and the request goes on; only errors of
    ``forget``, ``clear`` and ``count`` reach the caller. ``semcache.testing.StoreContract`` checks an implementation.

    Example:
        >>> store.remember("", "how far is the moon", vector, [(document_fingerprint("384,400 km"), 9.2)])
        True
        >>> store.read_exact("", "how far is the moon")[document_fingerprint("384,400 km")]
        9.2
    """

    def read_exact(self, tenant: str, query: str) -> Scores | None:
        """All scores of the entry of exactly this query, by fingerprint; None where there is no entry."""
        ...

    def read_exact_many(self, tenant: str, queries: Sequence[str]) -> Sequence[Scores | None]:
        """``read_exact`` of each query, in order."""
        ...

    def read_vector(self, tenant: str, query: str) -> FloatArray | None:
        """The vector remembered for exactly this query, shape ``(dims,)``; None where there is none."""
        ...

    def find_neighbours(
        self, tenant: str, vector: FloatArray, k: int, min_similarity: float = -1.0
    ) -> Sequence[Neighbour]:
        """At most k entries of at least this cosine similarity to the vector, nearest first.

        ``Neighbour.id`` is ``entry_id(tenant, query)``, by which a flow knows its own query's entry.
        """
        ...

    def find_neighbours_many(
        self, tenant: str, vectors: Sequence[FloatArray], k: int, min_similarity: float = -1.0
    ) -> Sequence[Sequence[Neighbour]]:
        """``find_neighbours`` of each vector, in order."""
        ...

    def remember(
        self,
        tenant: str,
        query: str,
        vector: FloatArray | None,
        scores: Sequence[tuple[bytes, float]],
        *,
        cues: bytes = b"",
        ttl_s: float | None = None,
    ) -> bool:
        """Add scores to the query's entry, the new score of a document in place of its old one; False without scores.

        A listwise store replaces all scores of the entry instead: places in two orders cannot be compared. An entry
        that has no vector yet takes this one, and ``cues`` with it; without a vector it is found by its exact query
        only.
        Several threads and processes may add to an entry at once, and no score may be lost.
        ``ttl_s`` is how many seconds a new entry lives (None: as the store is set up); an entry that is there keeps its
        end.
        """
        ...

    def forget(self, tenant: str | None = None, *, query: str | None = None, document: bytes | None = None) -> int:
        """Remove one query's entry, one document's scores, or everything of a tenant; gives the entries touched.

        With a query, no tenant means the default one; with a document, every tenant. Query and document together
        remove that document from that entry. An entry without scores is removed whole.
        """
        ...

    def clear(self) -> int:
        """Remove every entry of every tenant; gives their number."""
        ...

    def count(self) -> int:
        """How many entries can be found as neighbours, of all tenants."""
        ...


@runtime_checkable
class AsyncStore(Protocol):
    """``Store`` for event loops: the same methods as coroutines, called from any number of loops."""

    async def read_exact(self, tenant: str, query: str) -> Scores | None: ...

    async def read_exact_many(self, tenant: str, queries: Sequence[str]) -> Sequence[Scores | None]: ...

    async def read_vector(self, tenant: str, query: str) -> FloatArray | None: ...

    async def find_neighbours(
        self, tenant: str, vector: FloatArray, k: int, min_similarity: float = -1.0
    ) -> Sequence[Neighbour]: ...

    async def find_neighbours_many(
        self, tenant: str, vectors: Sequence[FloatArray], k: int, min_similarity: float = -1.0
    ) -> Sequence[Sequence[Neighbour]]: ...

    async def remember(
        self,
        tenant: str,
        query: str,
        vector: FloatArray | None,
        scores: Sequence[tuple[bytes, float]],
        *,
        cues: bytes = b"",
        ttl_s: float | None = None,
    ) -> bool: ...

    async def forget(
        self, tenant: str | None = None, *, query: str | None = None, document: bytes | None = None
    ) -> int: ...

    async def clear(self) -> int: ...

    async def count(self) -> int: ...
