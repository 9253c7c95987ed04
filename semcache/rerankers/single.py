"""A ladder of one rung: it asks its reranker directly, and the reranker's errors reach the caller."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, cast

from semcache.errors import RerankerError
from semcache.models.foreign import has_members
from semcache.protocols import FloatArray, Ladder, Pair, Reranker, Scored
from semcache.rerankers.adapt import adapt
from semcache.rerankers.awaiting import is_awaited, is_loop_bound
from semcache.rerankers.checked import checked_scores
from semcache.rerankers.kind import Kind, call_kind
from semcache.rerankers.named import refuse_options
from semcache.rerankers.priority_lock import PriorityLock
from semcache.runtime.foreign_errors import awaited, called
from semcache.runtime.futures import within
from semcache.runtime.threads import MOST_THREADS, ThreadPool, in_fresh_thread

_threads = ThreadPool(MOST_THREADS, "semcache-rerank")
"""Of all single rungs together, since applications make one for each request."""


class SingleRung:
    """Asks one reranker: in the caller's thread, or, with a deadline or for an event loop, in a thread of its own."""

    def __init__(self, reranker: Reranker) -> None:
        self._reranker = reranker
        self._lock = PriorityLock()

    @property
    def name(self) -> str:
        """The reranker's name."""
        return self._reranker.name

    @property
    def primary(self) -> Reranker:
        """The reranker."""
        return self._reranker

    @property
    def listwise(self) -> bool:
        """Whether the reranker gives an order instead of scores."""
        return self._reranker.listwise

    @property
    def is_remote(self) -> bool:
        """Whether the reranker waits for a service."""
        return call_kind(self._reranker).kind is Kind.REMOTE

    def score(
        self, query: str, documents: Sequence[str], ask: Sequence[int], *, deadline_s: float | None = None
    ) -> Scored:
        """The reranker's scores of the documents at the positions ``ask``.

        Raises DeadlineExceededError after ``deadline_s`` seconds, as no other rung can answer; and what the reranker
        raises.
        """
        call = partial(self._score_in_foreground, query, documents, ask)
        if deadline_s is None:
            return in_fresh_thread(call)
        return _threads.call(call, self.name, deadline_s)

    def score_when_idle(self, query: str, documents: Sequence[str], ask: Sequence[int]) -> Scored:
        """``score`` for background work: no scores, and the reason ``busy``, while a caller uses the reranker.

        Callers who come during the background work wait for its end.
        """
        # A user's own model is often not safe to be called by our background thread beside the user's.
        with self._lock.background() as is_held:
            return self._scored(query, documents, ask) if is_held else Scored(None, self.name, "busy")

    def warmup(self) -> None:
        """Load the model, by scoring one invented pair. Raises what the reranker raises."""
        self.score("a query", ["a document"], [0])

    async def awarmup(self) -> None:
        """``warmup`` without blocking the event loop."""
        await self.ascore("a query", ["a document"], [0])

    def _score_in_foreground(self, query: str, documents: Sequence[str], ask: Sequence[int]) -> Scored:
        # Callers share the lock: our adapters lock the models that need it themselves, and a reranker of the caller's
        # own may be used by as many threads as the caller starts.
        with self._lock.foreground():
            return self._scored(query, documents, ask)

    def _scored(self, query: str, documents: Sequence[str], ask: Sequence[int]) -> Scored:
        score = partial(self._reranker.score, _pairs(query, documents, ask))
        scores = called(score, self.name, RerankerError)
        return Scored(checked_scores(scores, len(ask), self.name), self.name)

    async def ascore(
        self, query: str, documents: Sequence[str], ask: Sequence[int], *, deadline_s: float | None = None
    ) -> Scored:
        """``score`` without blocking the event loop."""
        return await _threads.acall(partial(self._score_in_foreground, query, documents, ask), self.name, deadline_s)

    def __repr__(self) -> str:
        return f"<SingleRung {self.name}>"


class AwaitedRung:
    """Asks one asynchronous reranker: on the running event loop, or for a caller without one on semcache's own.

    It has no ``score_when_idle`` for a client that must not be used on another loop than that of the requests.
    """

    is_remote = True

    def __init__(self, reranker: Any) -> None:
        self._reranker = reranker
        if not is_loop_bound(reranker):
            self.score_when_idle: Callable[[str, Sequence[str], Sequence[int]], Scored] = self._score_when_idle

    @property
    def name(self) -> str:
        """The reranker's name."""
        return str(self._reranker.name)

    @property
    def primary(self) -> Reranker:
        """The reranker."""
        return cast("Reranker", self._reranker)

    @property
    def listwise(self) -> bool:
        """Whether the reranker gives an order instead of scores."""
        return bool(self._reranker.listwise)

    def score(
        self, query: str, documents: Sequence[str], ask: Sequence[int], *, deadline_s: float | None = None
    ) -> Scored:
        """As for ``SingleRung``."""
        call = partial(called, partial(self._reranker.score, _pairs(query, documents, ask)), self.name, RerankerError)
        return self._scored(call() if deadline_s is None else _threads.call(call, self.name, deadline_s), ask)

    async def ascore(
        self, query: str, documents: Sequence[str], ask: Sequence[int], *, deadline_s: float | None = None
    ) -> Scored:
        """``score``, awaited in the running event loop; a late call is cancelled."""
        call = self._reranker.ascore_pairs(_pairs(query, documents, ask))
        return self._scored(await within(awaited(call, self.name, RerankerError), self.name, deadline_s), ask)

    def warmup(self) -> None:
        """As for ``SingleRung``."""
        self.score("a query", ["a document"], [0])

    async def awarmup(self) -> None:
        """``warmup``, awaited in the running event loop."""
        await self.ascore("a query", ["a document"], [0])

    def _score_when_idle(self, query: str, documents: Sequence[str], ask: Sequence[int]) -> Scored:
        """``score`` for background work: a service answers it beside the requests of callers."""
        return self.score(query, documents, ask)

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
    if has_members(reranker, "name", "listwise", "score", "ascore"):
        refuse_options(reranker, name=name, version=version, probe=probe)
        return cast("Ladder", reranker)
    adapted = adapt(reranker, name=name, version=version, probe=probe)
    return AwaitedRung(adapted) if is_awaited(adapted) else SingleRung(adapted)
