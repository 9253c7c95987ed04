"""The fallback chain: which reranker of the ladder is called, for how long, and why the better ones were not.

It is decided once, for threads and for tasks, by a generator without I/O: ``FallbackChain.calls`` yields the calls to
make, gets their scores or errors back from ``flow.drive``, and returns the ladder's answer.
"""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from functools import partial

from semcache.batching.admission import is_too_busy, time_for_this_rung
from semcache.batching.batcher import Batcher
from semcache.batching.jobs import Served
from semcache.causes import cause_of
from semcache.degradation.shared_breaker import SharedBreaker
from semcache.errors import DeadlineExceededError, InvalidInputError, QueueFullError
from semcache.events import Event, RungFailed
from semcache.protocols import Clock, FloatArray, Pair, Scored
from semcache.rerankers.retrieval_order import RetrievalOrder


@dataclass(frozen=True, slots=True)
class RungCall:
    """Score these pairs with this rung's batcher, until the deadline (a time of the clock; None: no deadline)."""

    batcher: Batcher
    pairs: Sequence[Pair]
    deadline: float | None
    on_served: Callable[[Served], None] | None = None


def call_rung(call: RungCall) -> FloatArray:
    """Make one call of the chain, waiting in this thread: one float32 per pair. For ``flow.drive``."""
    return call.batcher.score(call.pairs, deadline=call.deadline, on_served=call.on_served)


async def acall_rung(call: RungCall) -> FloatArray:
    """``call_rung`` without blocking the event loop. For ``flow.adrive``."""
    return await call.batcher.ascore(call.pairs, deadline=call.deadline, on_served=call.on_served)


@dataclass(frozen=True, slots=True)
class FallbackChain:
    """The batchers of all rungs, from best to cheapest, and the circuit breaker of the first, the primary.

    ``max_wait_s`` is how many seconds a request may wait for a busy rung, its own service included. ``on_event`` is
    called with a RungFailed for each rung that fails.
    """

    breaker: SharedBreaker
    batchers: tuple[Batcher, ...]
    max_wait_s: float
    clock: Clock
    on_event: Callable[[Event], None]

    def calls(
        self, query: str, documents: Sequence[str], ask: Sequence[int], deadline: float | None
    ) -> Generator[RungCall, FloatArray, Scored]:
        """Call the primary with the documents at the positions ``ask``, then each rung with all, until one answers.

        The reason in the answer is why the primary did not give it: "open", "busy", "deadline" or "error". If no rung
        answers, the answer is the order of the retriever. Raises only InvalidInputError, for which no rung could do
        better.
        """
        pairs = [(query, documents[position]) for position in ask]
        # A lower rung scores all documents, since its scores cannot be mixed with scores of the primary.
        all_pairs = [(query, text) for text in documents]
        reason: str | None = None
        for rung, batcher in enumerate(self.batchers):
            try:
                until = self._rung_deadline(rung, len(documents), deadline)
                scores = yield from self._call(rung, pairs if rung == 0 else all_pairs, until)
            except InvalidInputError:
                raise
            except Exception as error:  # noqa: BLE001 - whatever a reranker raises, the next rung answers
                why = self._reason(batcher, error, (query, *documents))
                # The first one stays: callers want to know why the primary did not answer.
                reason = reason or why
            else:
                return Scored(scores, batcher.name, reason)
        return Scored(None, RetrievalOrder.name, reason)

    def _rung_deadline(self, rung: int, documents: int, deadline: float | None) -> float | None:
        """The time until which a rung may take: an earlier one than the caller's, so that the next rung has some left.

        All documents count for the next rung, since it is called with all of them.
        """
        if deadline is None:
            return None
        now = self.clock()
        left_s = deadline - now
        if left_s <= 0:
            raise _NotCalledError("deadline")
        if rung + 1 == len(self.batchers):
            return deadline
        return now + time_for_this_rung(left_s, self.batchers[rung + 1].load().expected_s(documents))

    def _call(
        self, rung: int, pairs: Sequence[Pair], until: float | None
    ) -> Generator[RungCall, FloatArray, FloatArray]:
        """One rung's scores, if it can be called now."""
        if rung > 0:
            self._check_load(rung, len(pairs), until)
            return (yield RungCall(self.batchers[rung], pairs, until))
        # The breaker comes first, since the load does not matter while it is open. So a probe may be admitted and then
        # be refused for the load; its ticket must come back, or there would be no further probe.
        ticket = self.breaker.admit()
        if ticket is None:
            raise _NotCalledError("open")
        try:
            self._check_load(rung, len(pairs), until)
        except _NotCalledError:
            self.breaker.cancel(ticket)
            raise
        # From here on the batcher returns the ticket: it calls on_served exactly once, however the call ends.
        return (yield RungCall(self.batchers[rung], pairs, until, partial(self.breaker.settle, ticket)))

    def _check_load(self, rung: int, pairs: int, until: float | None) -> None:
        limit_s = self.max_wait_s if until is None else min(self.max_wait_s, until - self.clock())
        if is_too_busy(self.batchers[rung].load(), pairs, limit_s):
            raise _NotCalledError("busy")

    def _reason(self, batcher: Batcher, error: Exception, texts: Sequence[str]) -> str:
        """The word for why a rung did not answer. A failure of the reranker itself is reported to observers."""
        if isinstance(error, _NotCalledError):
            return error.reason
        if isinstance(error, QueueFullError):
            return "busy"
        if isinstance(error, DeadlineExceededError):
            return "deadline"
        self.on_event(RungFailed(batcher.name, cause_of(error, texts)))
        return "error"


class _NotCalledError(Exception):
    """A rung was not called, for a reason of one word."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
