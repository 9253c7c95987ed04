"""One caller's pairs on their way through a batcher, settled exactly once."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from threading import Thread, current_thread

import numpy as np

from semcache.batching.plan import PairOf
from semcache.errors import DeadlineExceededError
from semcache.protocols import FloatArray, Pair


@dataclass(frozen=True, slots=True)
class Served:
    """How a job ended in the model: with scores, with an error, or (neither service time nor error) it never ran.

    ``service_s`` is the duration of the model's call that scored it, ``pairs`` the number of pairs in that call. It is
    reported to ``on_served`` even if the caller has given up, so that an observer of the model misses no call.
    ``since`` is when that call began, by the batcher's clock; requests that shared a call are told from it.
    """

    service_s: float | None = None
    pairs: int = 0
    error: BaseException | None = None
    since: float | None = field(default=None, compare=False)


NEVER_RUN = Served()

CLOSED_BEFORE = "the batcher was closed before this request was scored"
CLOSED_DURING = "the batcher was closed while this request was scored, by a call that did not end"

OnServed = Callable[[Served], None]
"""Is told once how a request ended in the model. It must neither wait nor raise."""


@contextmanager
def unasked_if_ended(on_served: OnServed) -> Iterator[None]:
    """A request that ends in the block, by an error or a cancellation, was never asked about."""
    try:
        yield
    except BaseException:  # a cancellation, for one: whatever ends the request, the breaker's ticket has to come back
        on_served(NEVER_RUN)
        raise


# Compared by identity: two callers may well send equal pairs at the same time.
@dataclass(slots=True, eq=False)
class Job:
    """One caller's pairs. Times are of the queue's clock.

    A job belongs to the queue while it waits and to one worker thread afterwards. Only ``future`` and ``has_left`` are
    touched by the caller's thread too: a future has its own lock, and ``has_left`` turns true once and stays so.
    """

    pairs: tuple[Pair, ...]
    arrived: float
    deadline: float | None
    on_served: Callable[[Served], None]
    future: Future[FloatArray] = field(default_factory=Future)
    has_left: bool = False
    known: dict[Pair, float] = field(default_factory=dict)
    """Scores that calls for other jobs gave while this one waited."""
    tenant: str | None = None
    context: Context = field(default_factory=copy_context)
    """The caller's, in which observers hear of the batch: the span of a trace is found in it."""

    @property
    def unknown(self) -> Sequence[Pair]:
        """The pairs that the model has to be asked about."""
        return [pair for pair in self.pairs if pair not in self.known] if self.known else self.pairs

    @property
    def asked(self) -> list[PairOf]:
        """The unknown pairs, and whose they are."""
        return [(self.tenant, pair) for pair in self.unknown]

    def all_scores(self, asked: FloatArray) -> FloatArray:
        """The scores of all pairs: those known, and those that the model gave for the unknown ones, in their order."""
        if not self.known:
            return asked
        scores = {**self.known, **dict(zip(self.unknown, asked.tolist(), strict=True))}
        return np.array([scores[pair] for pair in self.pairs], dtype=np.float32)

    def succeed(self, scores: FloatArray, served: Served) -> None:
        """Settle with scores."""
        # In this order, here and in fail(): a caller who has its scores finds them counted in the breaker's window.
        self.on_served(served)
        self.future.set_result(scores)

    def fail(self, error: BaseException, served: Served = NEVER_RUN) -> None:
        """Settle with an error."""
        self.on_served(served)
        self.future.set_exception(error)

    def expire(self) -> None:
        """Settle a job whose deadline passed before the model scored it."""
        self.fail(DeadlineExceededError("the deadline passed while the request waited for the reranker"))


@dataclass(slots=True, eq=False)
class Batch:
    """A call of the model that is under way, since a time of the queue's clock.

    ``jobs`` are those not settled yet. The list is replaced and never changed, so that it can be read without a lock.
    ``worker`` is the thread that is in the call. Once ``is_given_up``, its jobs are settled, and it is not waited for.
    """

    jobs: list[Job]
    asked: frozenset[PairOf]
    since: float
    worker: Thread = field(default_factory=current_thread)
    is_given_up: bool = False

    @property
    def tenants(self) -> set[str | None]:
        """The tenants whose jobs they are."""
        return {job.tenant for job in self.jobs}

    @property
    def pairs(self) -> int:
        """Number of distinct pairs."""
        return len(self.asked)


@dataclass(frozen=True, slots=True)
class Dequeued:
    """Jobs that a worker took out of the queue and has to settle.

    Those of ``batch`` are to be scored (None: there are none), ``expired`` ones are past their deadline, and the
    callers of ``cancelled`` ones have cancelled their futures.
    """

    batch: Batch | None
    expired: list[Job]
    cancelled: list[Job]
