"""The result of a rerank: the caller's own documents in order, and where their scores came from."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from math import isfinite
from typing import Any, ClassVar, Generic, TypeVar, overload

from semcache.documents import text_of

D = TypeVar("D")


class Status(StrEnum):
    """Where the scores of a ranking came from."""

    EXACT = "exact"  # every score was computed earlier for this query text
    SEMANTIC = "semantic"  # scores of a trusted similar query; no model call
    VERIFIED = "verified"  # the returned top k was scored for this query; the tail was skipped by a bound on the drift
    PARTIAL = "partial"  # the query was known, and only the unknown documents were scored
    # the returned top k was scored for this query; the tail was skipped by what earlier scores taught
    PRUNED = "pruned"
    FRESH = "fresh"  # every score was computed now
    DEGRADED = "degraded"  # the primary reranker did not answer; the reason says why


@dataclass(frozen=True, slots=True)
class Drift:
    """How far fresh scores moved from a similar query's cached ones, over ``samples`` documents.

    ``median`` is of fresh minus cached score, ``spread`` is 1.4826 times the median absolute deviation from it (the
    standard deviation if drifts are normal); both are in score units.
    """

    median: float
    spread: float
    samples: int


@dataclass(frozen=True, slots=True)
class Ranking(Sequence[D], Generic[D]):
    """The caller's documents, best first: a sequence of the very objects that were passed in.

    ``indices`` are their positions in the caller's list. ``scores`` are the raw scores in the same order, or None when
    the order is the retriever's (last rung of the ladder). ``reranker`` is the name of the reranker that gave them.
    ``similarity`` is the cosine of the nearest similar query used, None without one. ``asked`` and ``reused`` count
    (query, document) pairs: sent to a reranker now; answered from the cache or skipped thanks to it. ``skipped`` counts
    the others: the cache knows no score of them, and what it learned from earlier scores says that they cannot be among
    the best; ``cheap_asked`` counts pairs that a cheaper reranker scored to tell that. ``rounds`` is the number of
    times that the reranker was asked. ``reason`` is a word for programs: why an answer is degraded, or a verification
    stopped early. ``why`` is for people: why the status is no better, such as "guard: negation (similarity 0.981)"; it
    is empty for exact and semantic answers, and without a cache.

    Example:
        >>> ranking = pipeline.rerank("how to reset a password", documents, top_k=5)
        >>> best, status = ranking[0], ranking.status
    """

    documents: tuple[D, ...]
    indices: tuple[int, ...]
    scores: tuple[float, ...] | None
    status: Status
    reranker: str
    reason: str | None = None
    similarity: float | None = None
    asked: int = 0
    reused: int = 0
    rounds: int = 0
    drift: Drift | None = None
    why: str = ""
    skipped: int = 0
    cheap_asked: int = 0

    def to_list(self) -> list[D]:
        """The documents as a list of the caller's own, best first."""
        return list(self.documents)

    def to_dict(self, documents: bool | Callable[[D], Any] = False) -> dict[str, Any]:
        """Everything but the documents, fit for ``json.dumps``: a score that is not finite is None.

        ``documents`` True adds the list of their texts; a function adds the list of what it makes of each.

        Example:
            >>> return JSONResponse(ranking.to_dict(documents=lambda document: document.metadata))
        """
        values: dict[str, Any] = {
            "indices": list(self.indices),
            "scores": None if self.scores is None else [_plain(score) for score in self.scores],
            "status": self.status.value,
            "reason": self.reason,
            "why": self.why,
            "reranker": self.reranker,
            "similarity": None if self.similarity is None else _plain(self.similarity),
            "asked": self.asked,
            "reused": self.reused,
            "skipped": self.skipped,
            "cheap_asked": self.cheap_asked,
            "rounds": self.rounds,
            "drift": None
            if self.drift is None
            else {name: _plain(number) for name, number in asdict(self.drift).items()},
        }
        if documents:
            read: Callable[[D], Any] = documents if callable(documents) else text_of
            values["documents"] = [read(document) for document in self.documents]
        return values

    def __len__(self) -> int:
        return len(self.documents)

    @overload
    def __getitem__(self, index: int) -> D: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[D, ...]: ...
    def __getitem__(self, index: int | slice) -> D | tuple[D, ...]:
        return self.documents[index]

    def __eq__(self, other: object) -> bool:
        """Equal to a ranking of the same documents, scores and status, and to a list or tuple of the same documents."""
        # Equal to a list, because users compare results with what a reranker without a cache returns. Asked, reused and
        # similarity do not count: they say how the same answer was found.
        if isinstance(other, Ranking):
            return self is other or (
                self.documents == other.documents and self.scores == other.scores and self.status == other.status
            )
        return isinstance(other, (list, tuple)) and list(self.documents) == list(other)

    # Documents need not be hashable, and an equal list never is.
    __hash__: ClassVar[None] = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        why = f" ({self.reason})" if self.reason else ""
        skipped = f", {self.skipped} skipped" if self.skipped else ""
        return (
            f"<Ranking {self.status}{why}: {len(self)} documents by {self.reranker}, "
            f"{self.asked} pairs asked, {self.reused} reused{skipped}>"
        )


def _plain(number: float) -> float | None:
    # JSON has no word for nan, which a document has that nothing is known of.
    return float(number) if isfinite(number) else None
