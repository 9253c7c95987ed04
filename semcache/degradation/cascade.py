"""A rung of the ladder that scores all documents of a request, so that the primary need not be asked about most."""

from asyncio import AbstractEventLoop, run_coroutine_threadsafe
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import wait
from dataclasses import dataclass

from semcache.degradation.fallback_chain import FallbackChain, RungCall, acall_rung, call_rung
from semcache.errors import ConfigurationError
from semcache.flow.drive import adrive, drive
from semcache.protocols import FloatArray
from semcache.rerankers.awaiting import is_loop_bound
from semcache.rerankers.learned import LearnedReranker

# The documents of a usual request: a call has costs of its own, which its pairs share.
_COMPARED_PAIRS = 50
# How often it is looked whether a loop that does not answer has ended, in seconds. An answer is noticed at once.
_LOOK_S = 1.0


@dataclass(frozen=True, slots=True)
class Cascade:
    """Scores by the rung called ``reranker`` of a chain, for what they tell about those of its primary.

    It never raises: without an answer in time the primary is asked as if there were no such rung. A failure is the
    rung's own event. Raises ConfigurationError when it is made for a rung that cannot serve.
    """

    chain: FallbackChain
    reranker: str

    def __post_init__(self) -> None:
        below = self.chain.rungs[1:]
        usable = [rung.name for rung in below if not isinstance(rung.batcher.reranker, LearnedReranker)]
        if self.reranker not in usable:
            names = ", ".join(usable) or "there is none that computes scores of its own"
            raise ConfigurationError(
                f"prune.cascade is {self.reranker!r}; name a rung below the primary ({names}), or leave it out"
            )

    def cost_share(self) -> float | None:
        """The time of a pair of this rung, as a share of the primary's; None before both were called."""
        rungs = [self.chain.rungs[0], self.chain.rungs[self.chain.number_of(self.reranker)]]
        costs = [rung.batcher.load().cost for rung in rungs]
        primary, cheap = (None if cost is None else cost.seconds(_COMPARED_PAIRS) for cost in costs)
        return None if primary is None or cheap is None else cheap / max(primary, 1e-9)

    def score(self, query: str, texts: Sequence[str], *, deadline_s: float | None = None) -> FloatArray | None:
        """One score per text; None when the rung is busy, late, failing or left alone."""
        return drive(self._calls(query, texts, deadline_s), call_rung)

    async def ascore(self, query: str, texts: Sequence[str], *, deadline_s: float | None = None) -> FloatArray | None:
        """``score`` without blocking the event loop."""
        return await adrive(self._calls(query, texts, deadline_s), acall_rung)

    def score_from(self, loop: AbstractEventLoop | None, query: str, texts: Sequence[str]) -> FloatArray | None:
        """``score`` for the background, of a request that came from this event loop (None: from a thread).

        A client that belongs to the loop is asked there; None when the loop has ended. Not to be called in the loop.
        """
        rung = self.chain.rungs[self.chain.number_of(self.reranker)]
        if loop is None or not is_loop_bound(rung.batcher.reranker):
            return self.score(query, texts)
        call = self.ascore(query, texts)
        try:
            future = run_coroutine_threadsafe(call, loop)
        except RuntimeError:  # it is closed
            call.close()
            return None
        while not future.done():
            wait([future], _LOOK_S)
            if not loop.is_running():
                future.cancel()
        return None if future.cancelled() else future.result()

    def _calls(
        self, query: str, texts: Sequence[str], deadline_s: float | None
    ) -> Generator[RungCall, FloatArray, FloatArray | None]:
        deadline = None if deadline_s is None else self.chain.clock() + deadline_s
        return (yield from self.chain.call_of(self.chain.number_of(self.reranker), query, texts, deadline))


def cascade_of(ladder: object, name: str | None) -> Cascade | None:
    """The rung of this name (setting ``prune.cascade``) as one that scores all documents first; None without a name.

    Raises ConfigurationError if the ladder has no such rung.
    """
    if name is None:
        return None
    # A ladder of one rung, or of the caller's own, has none.
    making: Callable[[str], Cascade] | None = getattr(ladder, "cascade", None)
    if making is None:
        raise ConfigurationError(
            f"prune.cascade is {name!r}, and this reranker has no rungs below it; use a pipeline or a "
            "DegradableReranker, or leave prune.cascade out"
        )
    return making(name)
