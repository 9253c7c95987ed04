"""Checks what a ladder answers, which may be the caller's own, as the answers of rerankers are checked."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from semcache.identity.ladder import IdentifiedLadder
from semcache.protocols import Scored
from semcache.rerankers.checked import checked_scores


class CheckedLadder:
    """The scores of the ladder inside. Raises RerankerError for those that cannot be used, and what the ladder raises.

    ``options`` are those that only some ladders have.
    """

    def __init__(self, ladder: IdentifiedLadder) -> None:
        self._ladder = ladder

    def score(self, query: str, documents: Sequence[str], ask: Sequence[int], **options: Any) -> Scored:
        """As the ladder scores."""
        return _checked(self._ladder.score(query, documents, ask, **options), len(documents), len(ask))

    async def ascore(self, query: str, documents: Sequence[str], ask: Sequence[int], **options: Any) -> Scored:
        """``score`` without blocking the event loop."""
        return _checked(await self._ladder.ascore(query, documents, ask, **options), len(documents), len(ask))

    def __repr__(self) -> str:
        return f"<CheckedLadder {self._ladder!r}>"


def _checked(scored: Scored, documents: int, asked: int) -> Scored:
    if scored.scores is None and scored.reason is not None:
        return scored
    # A lower rung scores every document.
    pairs = asked if scored.reason is None else documents
    return replace(scored, scores=checked_scores(scored.scores, pairs, scored.reranker))
