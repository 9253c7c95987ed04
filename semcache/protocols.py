"""The sockets of semcache: what an embedder, a reranker, an observer, a guard and a clock must offer."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from semcache.events import Event

FloatArray = NDArray[np.float32]
Pair = tuple[str, str]
"""(query, document text)"""

Clock = Callable[[], float]
"""Seconds on a clock that never goes back, such as ``time.monotonic``."""


@runtime_checkable
class Embedder(Protocol):
    """Text to unit vectors. ``name`` identifies model, revision and backend: vectors of different names never meet."""

    @property
    def name(self) -> str: ...

    @property
    def dims(self) -> int: ...

    def embed(self, texts: Sequence[str]) -> FloatArray:
        """One row per text, shape ``(len(texts), dims)``, each of length 1. Safe to call from several threads."""
        ...


@runtime_checkable
class Reranker(Protocol):
    """Scores for pairs; higher is better.

    ``name`` identifies everything that changes a score: model, revision, backend, activation, maximum length. Scores
    of different names are never mixed. A ``listwise`` reranker says an order of one query's documents: its scores are
    comparable only within one call, so one call carries exactly one query and all of its documents.
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

    A guard never sees a stored query: it sees the cues it took from it, which are stored beside the vector.
    """

    def cues(self, query: str) -> bytes:
        """What of this query must agree before another query's scores may be trusted for it; at most 255 bytes."""
        ...

    def difference(self, ours: bytes, theirs: bytes) -> str | None:
        """Why scores may not be trusted across these two queries (a short word such as "negation"), or None."""
        ...


class Observer(Protocol):
    """Is told what happened. Must be quick; what it raises is reported once and otherwise ignored."""

    def __call__(self, event: Event, /) -> None: ...


@dataclass(frozen=True, slots=True)
class Scored:
    """What a ladder of rerankers answered.

    With ``reason`` None the primary answered, and ``scores`` has one float per document that was asked about.
    Otherwise a lower rung answered: ``scores`` covers every document of the request, or is None for retrieval order.
    """

    scores: FloatArray | None
    reranker: str
    reason: str | None = None


@runtime_checkable
class Ladder(Protocol):
    """Rerankers from best to cheapest. Always answers; which rung did is in the answer.

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
