"""A ladder of one rung: a reranker that is asked directly, and whose errors are the caller's."""

import asyncio
from collections.abc import Sequence

from semcache.protocols import Ladder, Reranker, Scored
from semcache.rerankers.adapt import adapt
from semcache.rerankers.checked import checked_scores
from semcache.rerankers.priority_lock import PriorityLock


class SingleRung:
    """Asks one reranker, in the caller's thread."""

    def __init__(self, reranker: Reranker) -> None:
        self._reranker = reranker
        self._lock = PriorityLock()

    @property
    def name(self) -> str:
        return self._reranker.name

    @property
    def listwise(self) -> bool:
        return self._reranker.listwise

    def score(
        self, query: str, documents: Sequence[str], ask: Sequence[int], *, deadline_s: float | None = None
    ) -> Scored:
        """``deadline_s`` is not looked at: there is no other rung that could answer in time."""
        with self._lock.foreground():
            return self._scored(query, documents, ask)

    def score_when_idle(self, query: str, documents: Sequence[str], ask: Sequence[int]) -> Scored:
        """``score`` if nobody else needs the reranker now, else no scores, and the reason; callers then wait for it.

        Models are not safe to be called by a background thread beside their user's own.
        """
        with self._lock.background() as is_free:
            return self._scored(query, documents, ask) if is_free else Scored(None, self.name, "busy")

    def _scored(self, query: str, documents: Sequence[str], ask: Sequence[int]) -> Scored:
        pairs = [(query, documents[place]) for place in ask]
        return Scored(checked_scores(self._reranker.score(pairs), len(pairs), self.name), self.name)

    async def ascore(
        self, query: str, documents: Sequence[str], ask: Sequence[int], *, deadline_s: float | None = None
    ) -> Scored:
        """``score`` in a thread, so that the event loop goes on."""
        return await asyncio.to_thread(self.score, query, documents, ask, deadline_s=deadline_s)

    def __repr__(self) -> str:
        return f"<SingleRung {self.name}>"


def as_ladder(reranker: object) -> Ladder:
    """A ladder as it is, and any reranker as a ladder of one rung."""
    return reranker if isinstance(reranker, Ladder) else SingleRung(adapt(reranker))
