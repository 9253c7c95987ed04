"""Down the ladder, rung by rung: who is asked, for how long, and why not - decided once, for threads and for tasks.

``attempts`` is a generator. It yields an Ask; its driver asks that rung's batcher, and sends the scores or throws what
came instead. In the end it returns what the ladder answers.
"""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from functools import partial

from semcache.batching.admission import is_too_busy, time_for_this_rung
from semcache.batching.batcher import Batcher
from semcache.batching.jobs import Served
from semcache.degradation.shared_breaker import SharedBreaker
from semcache.errors import DeadlineExceededError, InvalidInputError, QueueFullError
from semcache.events import Event, RungFailed
from semcache.protocols import Clock, FloatArray, Pair, Scored
from semcache.rerankers.retrieval_order import RetrievalOrder


@dataclass(frozen=True, slots=True)
class Ask:
    """Score these pairs with this batcher, until the deadline (a time of the clock)."""

    batcher: Batcher
    pairs: Sequence[Pair]
    deadline: float | None
    on_served: Callable[[Served], None] | None = None


@dataclass(frozen=True, slots=True)
class Rungs:
    """The primary's breaker, the batchers of all rungs from best to cheapest, and what they share.

    ``max_wait_s`` is how long, with its own service, a request may wait for a busy rung.
    """

    breaker: SharedBreaker
    batchers: tuple[Batcher, ...]
    max_wait_s: float
    clock: Clock
    on_event: Callable[[Event], None]

    def attempts(
        self, query: str, documents: Sequence[str], ask: Sequence[int], deadline: float | None
    ) -> Generator[Ask, FloatArray, Scored]:
        """Ask the primary about the documents ``ask``, and each further rung about all of them, until one answers.

        The reason is why the primary did not. Raises only InvalidInputError, for which no rung could do better.
        """
        pairs = [(query, documents[place]) for place in ask]
        everything = [(query, text) for text in documents]
        reason: str | None = None
        for place, batcher in enumerate(self.batchers):
            try:
                until = self._until(place, len(documents), deadline)
                scores = yield from self._ask(place, pairs if place == 0 else everything, until)
            except InvalidInputError:
                raise
            except Exception as error:  # noqa: BLE001 - whatever a reranker raises, the next rung answers; it is told
                reason = reason or self._reason(batcher, error)
            else:
                return Scored(scores, batcher.name, reason)
        return Scored(None, RetrievalOrder.name, reason)

    def _until(self, place: int, documents: int, deadline: float | None) -> float | None:
        """Until when a rung may take: an inner timeout equal to the outer one would leave the next rung no time."""
        if deadline is None:
            return None
        now = self.clock()
        left_s = deadline - now
        if left_s <= 0:
            raise _RefusedError("deadline")
        if place + 1 == len(self.batchers):
            return deadline
        return now + time_for_this_rung(left_s, self.batchers[place + 1].load().expected_s(documents))

    def _ask(self, place: int, pairs: Sequence[Pair], until: float | None) -> Generator[Ask, FloatArray, FloatArray]:
        if place > 0:
            self._check_load(place, len(pairs), until)
            return (yield Ask(self.batchers[place], pairs, until))
        ticket = self.breaker.admit()
        if ticket is None:
            raise _RefusedError("open")
        try:
            self._check_load(place, len(pairs), until)
        except _RefusedError:
            self.breaker.cancel(ticket)
            raise
        return (yield Ask(self.batchers[place], pairs, until, partial(self.breaker.settle, ticket)))

    def _check_load(self, place: int, pairs: int, until: float | None) -> None:
        limit_s = self.max_wait_s if until is None else min(self.max_wait_s, until - self.clock())
        if is_too_busy(self.batchers[place].load(), pairs, limit_s):
            raise _RefusedError("busy")

    def _reason(self, batcher: Batcher, error: Exception) -> str:
        if isinstance(error, _RefusedError):
            return error.reason
        if isinstance(error, QueueFullError):
            return "busy"
        if isinstance(error, DeadlineExceededError):
            return "deadline"
        self.on_event(RungFailed(batcher.name, f"{type(error).__name__}: {error}"))
        return "error"


def ask_rung(step: Ask) -> FloatArray:
    """The scores of one step of the chain, waiting in this thread."""
    return step.batcher.score(step.pairs, deadline=step.deadline, on_served=step.on_served)


async def aask_rung(step: Ask) -> FloatArray:
    """``ask_rung`` without blocking the event loop."""
    return await step.batcher.ascore(step.pairs, deadline=step.deadline, on_served=step.on_served)


class _RefusedError(Exception):
    """A rung was not asked."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
