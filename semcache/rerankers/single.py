"""A ladder of one rung: it asks its reranker directly, and the reranker's errors reach the caller."""

import asyncio
from collections.abc import Sequence
from typing import Any

from semcache.protocols import FloatArray, Ladder, Pair, Reranker, Scored
from semcache.rerankers.adapt import adapt
from semcache.rerankers.awaiting import is_awaited
from semcache.rerankers.checked import checked_scores
from semcache.rerankers.named import refuse_options
from semcache.rerankers.priority_lock import PriorityLock


class SingleRung:
    """Asks one reranker, in the caller's thread."""

    def __init__(self, reranker: Reranker) -> None:
        self._reranker = reranker
        self._lock = PriorityLock()

    @property
    def name(self) -> str:
        """The reranker's name."""
        return self._reranker.name

    @property
    def listwise(self) -> bool:
        """Whether the reranker gives an order instead of scores."""
        return self._reranker.listwise

    def score(
        self, query: str, documents: Sequence[str], ask: Sequence[int], *, deadline_s: float | None = None
    ) -> Scored:
        """The reranker's scores of the documents at the positions ``ask``; ``deadline_s`` is ignored.

        No other rung could answer in time, so a late answer is better than none.
        """
        # Callers share the lock: our adapters lock the models that need it themselves, and a reranker of the caller's
        # own may be used by as many threads as the caller starts.
        with self._lock.foreground():
            return self._scored(query, documents, ask)

    def score_when_idle(self, query: str, documents: Sequence[str], ask: Sequence[int]) -> Scored:
        """``score`` for background work: no scores, and the reason ``busy``, while a caller uses the reranker.

        Callers who come during the background work wait for its end.
        """
        # A user's own model is often not safe to be called by our background thread beside the user's.
        with self._lock.background() as is_held:
            return self._scored(query, documents, ask) if is_held else Scored(None, self.name, "busy")

    def _scored(self, query: str, documents: Sequence[str], ask: Sequence[int]) -> Scored:
        scores = self._reranker.score(_pairs(query, documents, ask))
        return Scored(checked_scores(scores, len(ask), self.name), self.name)

    async def ascore(
        self, query: str, documents: Sequence[str], ask: Sequence[int], *, deadline_s: float | None = None
    ) -> Scored:
        """``score`` in a thread, so that the event loop goes on."""
        return await asyncio.to_thread(self.score, query, documents, ask, deadline_s=deadline_s)

    def __repr__(self) -> str:
        return f"<SingleRung {self.name}>"


class AwaitedRung:
    """Asks one asynchronous reranker: on the running event loop, or for a caller without one on semcache's own.

    It has no ``score_when_idle``, since a client must not be used on another loop than that of the requests.
    """

    def __init__(self, reranker: Any) -> None:
        self._reranker = reranker

    @property
    def name(self) -> str:
        """The reranker's name."""
        return str(self._reranker.name)

    @property
    def listwise(self) -> bool:
        """Whether the reranker gives an order instead of scores."""
        return bool(self._reranker.listwise)

    def score(
        self, query: str, documents: Sequence[str], ask: Sequence[int], *, deadline_s: float | None = None
    ) -> Scored:
        """As for ``SingleRung``."""
        return self._scored(self._reranker.score(_pairs(query, documents, ask)), ask)

    async def ascore(
        self, query: str, documents: Sequence[str], ask: Sequence[int], *, deadline_s: float | None = None
    ) -> Scored:
        """``score``, awaited in the running event loop."""
        return self._scored(await self._reranker.ascore(_pairs(query, documents, ask)), ask)

    def _scored(self, scores: FloatArray, ask: Sequence[int]) -> Scored:
        return Scored(checked_scores(scores, len(ask), self.name), self.name)

    def __repr__(self) -> str:
        return f"<AwaitedRung {self.name}>"


def _pairs(query: str, documents: Sequence[str], ask: Sequence[int]) -> list[Pair]:
    return [(query, documents[position]) for position in ask]


def as_ladder(reranker: object, *, name: str | None = None, version: str | None = None, probe: bool = True) -> Ladder:
    """A ladder as it is, and any reranker as a ladder of one rung; the options are those of ``adapt``.

    Raises ConfigurationError for options beside a ladder, whose primary has its name already.
    """
    if isinstance(reranker, Ladder):
        refuse_options(reranker, name=name, version=version, probe=probe)
        return reranker
    adapted = adapt(reranker, name=name, version=version, probe=probe)
    return AwaitedRung(adapted) if is_awaited(adapted) else SingleRung(adapted)
