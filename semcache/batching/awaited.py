"""Calls of an asynchronous reranker: each request at once and by itself, since a service needs no queue here."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from threading import Lock
from typing import Any

from semcache.batching.jobs import NEVER_RUN, Served
from semcache.errors import DeadlineExceededError, QueueFullError, SemcacheError
from semcache.events import BatchScored
from semcache.observers import notify
from semcache.protocols import Clock, FloatArray, Observer, Pair
from semcache.rerankers.awaiting import OWN_LOOP
from semcache.rerankers.checked import checked_scores
from semcache.runtime.forking import renew_in_child
from semcache.runtime.futures import until_done

OnServed = Callable[[Served], None]


class AwaitedCalls:
    """Awaits ``ascore_pairs`` of a reranker: in the caller's event loop, or in semcache's own for callers without one.

    At most ``max_pairs`` pairs are under way at once; a single larger request is let through alone. ``on_service`` is
    told pairs and seconds of every call. A caller whose deadline passes is freed, and the call goes on, so that
    ``on_served`` hears how long it really took; a caller who is cancelled cancels it.
    """

    def __init__(
        self,
        reranker: Any,
        max_pairs: int,
        clock: Clock,
        on_service: Callable[[int, float], None],
        on_event: Observer | None,
    ) -> None:
        self._reranker = reranker
        self._max_pairs = max_pairs
        self._clock = clock
        self._on_service = on_service
        self._observers = () if on_event is None else (on_event,)
        self._is_closed = False
        self.after_fork_in_child()
        renew_in_child(self)

    def after_fork_in_child(self) -> None:
        """Have no calls under way, as their loops run in the parent; also used for the beginning itself."""
        # Guards the number of pairs, and whether this is closed. Loops and threads may share these calls.
        self._changing = Lock()
        self._pairs = 0
        # A loop keeps its tasks weakly, and those of callers whose deadline has passed are awaited by nothing else.
        self._tasks: set[asyncio.Task[FloatArray]] = set()

    def submit(self, pairs: Sequence[Pair], on_served: OnServed) -> Future[FloatArray]:
        """A future of one float32 per pair; cancelling it cancels the call. Raises QueueFullError or SemcacheError."""
        settle = self._enter(len(pairs), on_served)
        future = OWN_LOOP.submit(self._call(pairs, settle))
        # For a call that is cancelled before it has begun, of which nothing else would be heard.
        future.add_done_callback(lambda _: settle(NEVER_RUN))
        return future

    def score(self, pairs: Sequence[Pair], left_s: float | None, on_served: OnServed) -> FloatArray:
        """Wait at most ``left_s`` seconds for the scores. Raises what the reranker raised, or DeadlineExceededError."""
        future = self.submit(pairs, on_served)
        try:
            until_done(future, left_s)
        except BaseException:  # KeyboardInterrupt, for one: this caller no longer waits, so its pairs need no scores
            future.cancel()
            raise
        if not future.done():
            raise self._too_late()
        return future.result()

    async def ascore(self, pairs: Sequence[Pair], left_s: float | None, on_served: OnServed) -> FloatArray:
        """``score`` in the running event loop."""
        settle = self._enter(len(pairs), on_served)
        task = asyncio.ensure_future(self._call(pairs, settle))
        self._tasks.add(task)
        task.add_done_callback(lambda task: self._forget(task, settle))
        try:
            await asyncio.wait([task], timeout=left_s)
        except BaseException:  # CancelledError, for one: this caller no longer waits, so its pairs need no scores
            task.cancel()
            raise
        if not task.done():
            raise self._too_late()
        return task.result()

    def close(self) -> None:
        """Take no more requests; those that are under way end by themselves."""
        with self._changing:
            self._is_closed = True

    @property
    def pairs(self) -> int:
        """Number of (query, document) pairs that are under way."""
        return self._pairs

    async def _call(self, pairs: Sequence[Pair], settle: OnServed) -> FloatArray:
        served, started = NEVER_RUN, self._clock()
        try:
            scores = checked_scores(await self._reranker.ascore_pairs(pairs), len(pairs), self._reranker.name)
            served = Served(self._clock() - started, len(pairs), since=started)
        except asyncio.CancelledError:  # by the caller, which says nothing about the reranker
            raise
        except BaseException as error:  # whatever was raised goes on to the caller; the breaker is told before
            served = Served(error=error, since=started)
            raise
        finally:
            settle(served)
        return scores

    def _enter(self, pairs: int, on_served: OnServed) -> OnServed:
        """Count a request as under way, and give what ends it; one that is refused is settled at once."""
        with self._changing:
            is_full = self._pairs > 0 and self._pairs + pairs > self._max_pairs
            if not is_full and not self._is_closed:
                self._pairs += pairs
                return partial(self._settle, Lock(), pairs, on_served)
        on_served(NEVER_RUN)
        if self._is_closed:
            raise SemcacheError("this batcher is closed; make a new one")
        raise QueueFullError(
            f"{self._pairs} pairs are under way, {pairs} more would exceed {self._max_pairs}; send fewer at once, or "
            "raise max_queue_pairs"
        )

    def _settle(self, once: Lock, pairs: int, on_served: OnServed, served: Served) -> None:
        if not once.acquire(blocking=False):  # settled already; it is never released
            return
        with self._changing:
            self._pairs -= pairs
        if served.service_s is not None:
            self._on_service(pairs, served.service_s)
            notify(self._observers, BatchScored(self._reranker.name, pairs, 1, 0.0, served.service_s))
        on_served(served)

    def _forget(self, task: asyncio.Task[FloatArray], settle: OnServed) -> None:
        # For a call that is cancelled before it has begun, of which nothing else would be heard.
        settle(NEVER_RUN)
        self._tasks.discard(task)
        # An error that comes after the caller's deadline would be logged by asyncio as never retrieved.
        if not task.cancelled():
            task.exception()

    def _too_late(self) -> DeadlineExceededError:
        return DeadlineExceededError(f"{self._reranker.name} did not answer before the deadline")
