"""Asks the primary for work in the background, while it is healthy and no request needs it."""

from collections.abc import Sequence

from semcache.degradation.rung import Rung
from semcache.degradation.tally import Tally
from semcache.protocols import Clock, Scored
from semcache.rerankers.awaiting import is_loop_bound


class IdlePrimary:
    """The first rung of a ladder, for audits and repairs. The breaker does not count these calls."""

    def __init__(self, primary: Rung, tally: Tally, clock: Clock) -> None:
        self._primary = primary
        self._tally = tally
        self._clock = clock

    def score(self, query: str, documents: Sequence[str], ask: Sequence[int]) -> Scored:
        """Its scores, or none and the reason: "degraded", "busy", "awaited".

        An asynchronous client must not be used on another event loop than that of the requests, unless it says that it
        may (``is_loop_bound``), so for it there is ``ascore``. Raises what the primary raises.
        """
        if is_loop_bound(self._primary.batcher.reranker):
            return Scored(None, self._primary.name, "awaited")
        if reason := self._not_idle():
            return Scored(None, self._primary.name, reason)
        pairs = [(query, documents[position]) for position in ask]
        return Scored(self._primary.batcher.score(pairs, deadline=self._latest()), self._primary.name)

    async def ascore(self, query: str, documents: Sequence[str], ask: Sequence[int]) -> Scored:
        """``score`` on the running event loop, also of a primary that is awaited."""
        if reason := self._not_idle():
            return Scored(None, self._primary.name, reason)
        pairs = [(query, documents[position]) for position in ask]
        return Scored(await self._primary.batcher.ascore(pairs, deadline=self._latest()), self._primary.name)

    def _not_idle(self) -> str | None:
        # Half-open, too: such a call would compete with the probe.
        if self._primary.breaker.is_degraded or self._tally.is_failing(self._primary.name):
            return "degraded"
        # A request may still arrive between this check and the call. The two then wait for each other or share a batch,
        # so background work should send few pairs at a time.
        batcher = self._primary.batcher
        return "busy" if batcher.load().since is not None or batcher.waiting_pairs else None

    def _latest(self) -> float:
        """When background work gives up a primary that hangs, as a time of the clock."""
        return self._clock() + self._primary.longest_s

    def __repr__(self) -> str:
        return f"<IdlePrimary {self._primary.name}: {self._not_idle() or 'idle'}>"
