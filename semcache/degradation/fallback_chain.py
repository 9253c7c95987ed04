"""The fallback chain: which reranker of the ladder is called, for how long, and why the better ones were not.

It is decided once, for threads and for tasks, by a generator without I/O: ``FallbackChain.calls`` yields the calls to
make, gets their scores or errors back from ``flow.drive``, and returns the ladder's answer.

The time of a request is its caller's deadline, or else the primary's patience (``Rung.patience_s``). The primary may
use it but for what the rungs below need by their own record; without a deadline each rung below has its own patience,
since a late answer by a model is worth more than the retriever's order. A deadline of infinity means as long as it
takes: such requests are refused by a full queue, a failure or an open breaker, but not for the wait.
"""

import asyncio
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from semcache.batching.admission import Load, time_for_this_rung
from semcache.batching.batcher import Batcher
from semcache.batching.jobs import Served
from semcache.causes import cause_of, is_rate_limited
from semcache.degradation.rung import Rung
from semcache.degradation.shared_breaker import SharedBreaker
from semcache.errors import (
    ConfigurationError,
    DeadlineExceededError,
    InvalidInputError,
    QueueFullError,
    SemcacheError,
)
from semcache.events import Event, RungFailed
from semcache.protocols import Clock, FloatArray, Pair, Scored
from semcache.rerankers.awaiting import is_awaited
from semcache.rerankers.retrieval_order import RetrievalOrder


@dataclass(frozen=True, slots=True)
class RungCall:
    """Score these pairs with this rung's batcher, until the deadline (a time of the clock; None: no deadline).

    A shadow is begun and not waited for.
    """

    batcher: Batcher
    pairs: Sequence[Pair]
    deadline: float | None
    on_served: Callable[[Served], None] | None = None
    is_shadow: bool = False


_NO_SCORES: FloatArray = np.empty(0, np.float32)
# A loop keeps its tasks weakly, and shadows are awaited by nothing.
_shadows: "set[asyncio.Task[FloatArray]]" = set()


def call_rung(call: RungCall) -> FloatArray:
    """Make one call of the chain, waiting in this thread: one float32 per pair. For ``flow.drive``."""
    if call.is_shadow:
        call.batcher.submit(call.pairs, deadline=call.deadline, on_served=call.on_served)
        return _NO_SCORES
    return call.batcher.score(call.pairs, deadline=call.deadline, on_served=call.on_served)


async def acall_rung(call: RungCall) -> FloatArray:
    """``call_rung`` without blocking the event loop. For ``flow.adrive``."""
    awaited = call.batcher.ascore(call.pairs, deadline=call.deadline, on_served=call.on_served)
    if not call.is_shadow:
        return await awaited
    if not is_awaited(call.batcher.reranker):
        awaited.close()
        return call_rung(call)
    # In the caller's loop, as its client must not be used in another one.
    task = asyncio.ensure_future(awaited)
    _shadows.add(task)
    task.add_done_callback(_forget_shadow)
    return _NO_SCORES


def _forget_shadow(task: "asyncio.Task[FloatArray]") -> None:
    _shadows.discard(task)
    # Taken, or asyncio would log it as never retrieved; the breaker has been told.
    if not task.cancelled():
        task.exception()


@dataclass(frozen=True, slots=True)
class FallbackChain:
    """All rungs, from best to cheapest. ``on_event`` is called with a RungFailed for each rung that fails."""

    rungs: tuple[Rung, ...]
    clock: Clock
    on_event: Callable[[Event], None]

    def calls(
        self, query: str, documents: Sequence[str], ask: Sequence[int], deadline: float | None, spent_s: float = 0.0
    ) -> Generator[RungCall, FloatArray, Scored]:
        """Call the primary with the documents at the positions ``ask``, then each rung with all, until one answers.

        The reason in the answer is why the primary did not give it: "open", "busy", "deadline" or "error". If no rung
        answers, the answer is the order of the retriever. Without a deadline the primary has ``spent_s`` seconds less,
        which the request has taken already. Raises only InvalidInputError, for which no rung could do
        better, and QueueFullError of a rung that is told to reject what it has no room for.
        """
        first: tuple[str, str] | None = None
        for number, rung in enumerate(self.rungs):
            try:
                # A lower rung scores all documents, since its scores cannot be mixed with scores of the primary.
                positions = ask if number == 0 else range(len(documents))
                pairs = [(query, documents[position]) for position in positions]
                scores = yield from self._call(number, pairs, len(documents), deadline, spent_s)
            except InvalidInputError:
                raise
            except Exception as error:  # whatever a reranker raises, the next rung answers
                if isinstance(error, QueueFullError) and rung.batcher.on_full == "reject":
                    raise
                # The first ones stay: callers want to know why the primary did not answer.
                why = self._reason(rung, error, (query, *documents))
                first = first or why
                yield from self._check_health(rung)
            else:
                return Scored(scores, rung.name, *(first or ()))
        return Scored(None, RetrievalOrder.name, *(first or ()))

    def call_of(
        self, number: int, query: str, texts: Sequence[str], deadline: float | None
    ) -> Generator[RungCall, FloatArray, FloatArray | None]:
        """Call one rung with all texts; None where it does not answer."""
        try:
            return (yield from self._call(number, [(query, text) for text in texts], len(texts), deadline, 0.0))
        except Exception as error:  # noqa: BLE001 - whatever a reranker raises, the primary is asked without its help
            self._reason(self.rungs[number], error, (query, *texts))
            yield from self._check_health(self.rungs[number])
            return None

    def number_of(self, reranker: str) -> int:
        """The place of the rung of this name below the primary."""
        return next(number for number, rung in enumerate(self.rungs) if number and rung.name == reranker)

    def breaker_of(self, reranker: str | None) -> SharedBreaker:
        """The breaker of the rung of this name, for None the primary's. Raises ConfigurationError without one."""
        for rung in self.rungs:
            if reranker in (None, rung.name):
                return rung.breaker
        names = ", ".join(rung.name for rung in self.rungs)
        raise ConfigurationError(f"no rung of this ladder is called {reranker!r}; its rungs are {names}")

    def _call(
        self, number: int, pairs: Sequence[Pair], documents: int, deadline: float | None, spent_s: float
    ) -> Generator[RungCall, FloatArray, FloatArray]:
        """One rung's scores, if it can be called now."""
        rung = self.rungs[number]
        load = rung.batcher.load()
        now = self.clock()
        left_s = self._time_for(number, load, len(pairs), documents, None if deadline is None else deadline - now)
        if deadline is None and number == 0:
            left_s -= spent_s
        if left_s <= 0:
            raise _NotCalledError("deadline")
        # The breaker comes first, since the load does not matter while it is open. So a probe may be admitted and then
        # be refused for the load; its ticket must come back, or there would be no further probe.
        ticket = rung.breaker.admit()
        if ticket is None:
            raise _NotCalledError("open", rung.breaker.shown)
        is_shadow = rung.breaker.policy.shadow and rung.breaker.is_degraded
        refused = rung.refusal(len(pairs), load, left_s, has_deadline=deadline is not None)
        if refused or (is_shadow and load.busy):
            rung.breaker.cancel(ticket)
            self._watch(rung)
            raise _NotCalledError("open", rung.breaker.shown) if is_shadow else _NotCalledError(refused or "busy")
        # From here on the batcher returns the ticket: it calls on_served exactly once, however the call ends.
        settle = partial(rung.breaker.settle, ticket, pairs=pairs)
        if is_shadow:
            yield RungCall(rung.batcher, pairs, None, settle, is_shadow=True)
            raise _NotCalledError("open", rung.breaker.shown)
        return (yield RungCall(rung.batcher, pairs, now + left_s, settle))

    def _check_health(self, rung: Rung) -> Generator[RungCall, FloatArray, None]:
        """Send a request again that this rung scored lately, if its breaker wants to know whether it would now."""
        check = rung.breaker.take_check()
        if check is None:
            return
        ticket, pairs = check
        try:
            yield RungCall(rung.batcher, pairs, None, partial(rung.breaker.settle, ticket), is_shadow=True)
        except SemcacheError:  # its queue is full or closed, which the batcher has told the breaker
            return

    def _time_for(self, number: int, load: Load, pairs: int, documents: int, left_s: float | None) -> float:
        """How many seconds a rung may take: fewer than the request has left, so that the rungs below have some, too.

        ``left_s`` is until the caller's deadline. All documents count for the rungs below, as they are called with all.
        """
        rung = self.rungs[number]
        if left_s is None:
            left_s = rung.patience_s(pairs, load)
        left_s = min(left_s, rung.longest_s)
        below = self.rungs[number + 1 :]
        if below and left_s > 0:
            needed = [lower.batcher.load().expected_s(documents) for lower in below]
            left_s = time_for_this_rung(left_s, None if needed[0] is None else sum(s or 0.0 for s in needed))
        return left_s if rung.timeout_s is None else min(left_s, rung.timeout_s)

    def _watch(self, rung: Rung) -> None:
        """Look at the calls under way of a rung that a request could not wait for."""
        failed = rung.watch(rung.batcher.load(), self.clock())
        if failed is not None:
            self.on_event(failed)

    def _reason(self, rung: Rung, error: Exception, texts: Sequence[str]) -> tuple[str, str]:
        """The word for why a rung did not answer, and its cause. A failure of the reranker is reported to observers."""
        if isinstance(error, _NotCalledError):
            return error.reason, error.cause
        if isinstance(error, QueueFullError) or is_rate_limited(error):
            return "busy", ""
        if isinstance(error, DeadlineExceededError):
            self._watch(rung)
            return "deadline", ""
        cause = cause_of(error, texts)
        self.on_event(RungFailed(rung.name, cause))
        return "error", cause


class _NotCalledError(Exception):
    """A rung was not called, for a reason of one word."""

    def __init__(self, reason: str, cause: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.cause = cause
