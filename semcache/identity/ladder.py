"""A ladder of rerankers that verifies whose scores its primary gives, before the first of them are remembered."""

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import partial
from time import monotonic
from typing import Any

from semcache.identity.identity import Identity
from semcache.protocols import Ladder, Reranker, Scored
from semcache.runtime.threads import in_own_thread

ScoreWhenIdle = Callable[[str, Sequence[str], Sequence[int]], Scored]
"""A ladder's ``score_when_idle``: the primary's scores of documents of a query, or none and the reason."""

AsyncScoreWhenIdle = Callable[[str, Sequence[str], Sequence[int]], Coroutine[Any, Any, Scored]]


class IdentifiedLadder:
    """The ladder inside, which has the primary's identity verified when the primary has answered.

    ``score_when_idle``, ``ascore_when_idle`` and ``pairs_at_once`` are None where the ladder inside has none.
    """

    def __init__(self, ladder: Ladder, identity: Identity) -> None:
        self._ladder = ladder
        self._identity = identity
        self.pairs_at_once: Callable[[], int] | None = getattr(ladder, "pairs_at_once", None)
        when_idle: ScoreWhenIdle | None = getattr(ladder, "score_when_idle", None)
        self.score_when_idle: partial[Scored] | None = (
            None if when_idle is None else partial(_scored_when_idle, when_idle, identity)
        )
        awhen_idle: AsyncScoreWhenIdle | None = getattr(ladder, "ascore_when_idle", None)
        self.ascore_when_idle: partial[Coroutine[Any, Any, Scored]] | None = (
            None if awhen_idle is None else partial(_ascored_when_idle, awhen_idle, identity)
        )

    @property
    def name(self) -> str:
        """The primary's name."""
        return self._ladder.name

    @property
    def listwise(self) -> bool:
        """Whether the primary gives an order instead of scores."""
        return self._ladder.listwise

    def score(
        self,
        query: str,
        documents: Sequence[str],
        ask: Sequence[int],
        *,
        deadline_s: float | None = None,
        **options: float,
    ) -> Scored:
        """The ladder's answer, whatever the identity is; for that it waits no longer than to the deadline.

        ``options`` are those that only some ladders have.
        """
        started = monotonic()
        scored = self._ladder.score(query, documents, ask, deadline_s=deadline_s, **options)
        if scored.reason is None and not self._identity.is_settled:
            self._identity.verify(_left_s(started, deadline_s))
        return scored

    async def ascore(
        self,
        query: str,
        documents: Sequence[str],
        ask: Sequence[int],
        *,
        deadline_s: float | None = None,
        **options: float,
    ) -> Scored:
        """``score`` without blocking the event loop."""
        started = monotonic()
        scored = await self._ladder.ascore(query, documents, ask, deadline_s=deadline_s, **options)
        if scored.reason is None and not self._identity.is_settled:
            await self._identity.averify(_left_s(started, deadline_s))
        return scored

    def warmup(self) -> None:
        """Load the models of the ladder, if it has a way to, and verify the identity. Raises what fails."""
        # A ladder of the caller's own need not have it.
        warming: Callable[[], None] = getattr(self._ladder, "warmup", lambda: None)
        warming()
        self._identity.verify()

    async def awarmup(self) -> None:
        """``warmup`` without blocking the event loop."""
        warming: Callable[[], Awaitable[None]] | None = getattr(self._ladder, "awarmup", None)
        if warming is not None:
            await warming()
        elif (blocking := getattr(self._ladder, "warmup", None)) is not None:
            await in_own_thread(blocking, "semcache-warming")
        await self._identity.averify()

    def close(self, timeout_s: float | None = None) -> None:
        """Close the ladder, if it has a way to. It need not know of a timeout unless there is one."""
        closing: Callable[..., None] = getattr(self._ladder, "close", lambda *_: None)
        closing(*([] if timeout_s is None else [timeout_s]))

    async def aclose(self, timeout_s: float | None = None) -> None:
        """``close`` without blocking the event loop."""
        closing: Callable[..., Awaitable[None]] | None = getattr(self._ladder, "aclose", None)
        if closing is not None:
            await closing(*([] if timeout_s is None else [timeout_s]))
        elif hasattr(self._ladder, "close"):
            await in_own_thread(partial(self.close, timeout_s), "semcache-closing")

    def __repr__(self) -> str:
        return f"<IdentifiedLadder {self._ladder!r}: {self._identity!r}>"


def primary_of(ladder: Ladder) -> Reranker | Ladder:
    """The primary of a ladder that says which it is; of a ladder of the user's own the ladder itself, for its name."""
    primary: Any = getattr(ladder, "primary", None)
    # Not by isinstance, which would read ``listwise``: some rerankers have to be asked for that.
    is_reranker = callable(getattr(primary, "score", None)) and hasattr(primary, "name")
    return primary if is_reranker else ladder


def _scored_when_idle(
    score: ScoreWhenIdle, identity: Identity, query: str, documents: Sequence[str], ask: Sequence[int]
) -> Scored:
    scope = identity.scope
    scored = score(query, documents, ask)
    if scored.reason is None:
        identity.verify()
    # What it is to be compared with was read in another scope.
    return scored if identity.scope == scope else Scored(None, scored.reranker, "identity")


async def _ascored_when_idle(
    score: AsyncScoreWhenIdle, identity: Identity, query: str, documents: Sequence[str], ask: Sequence[int]
) -> Scored:
    scope = identity.scope
    scored = await score(query, documents, ask)
    if scored.reason is None:
        await identity.averify()
    return scored if identity.scope == scope else Scored(None, scored.reranker, "identity")


def _left_s(started: float, deadline_s: float | None) -> float | None:
    return None if deadline_s is None else deadline_s - (monotonic() - started)
