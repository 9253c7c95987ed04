"""Equal requests in flight share one computation. A caller that gives up does not disturb the others.

That is within a process; between processes the one request of each that goes on is held back by a lease (``lease.py``).
"""

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from concurrent.futures import Future
from functools import partial
from threading import Lock
from typing import Any, Generic, TypeVar
from weakref import WeakKeyDictionary

from semcache.flow.requests import Request
from semcache.runtime.forking import renew_in_child

T = TypeVar("T")


def flight_key(request: Request, deadline_s: float | None = None) -> Hashable:
    """The key of a request, equal for requests that may share one computation.

    With the deadline, since a caller without one must not get the answer of a fallback that was in a hurry. With the
    least score, which changes the answer; scores of a retriever and vectors only change how it is found.
    """
    return request.tenant, request.query, request.fingerprints, request.top_k, request.min_score, deadline_s


class SingleFlight(Generic[T]):
    """For threads: the first caller of a key computes, the others wait for its result or its error.

    A caller that is interrupted while it computes (KeyboardInterrupt, SystemExit) hands over: another one computes.

    Example:
        >>> SingleFlight().do("key", lambda: 6 * 7)
        42
    """

    def __init__(self) -> None:
        self.after_fork_in_child()
        renew_in_child(self)

    def after_fork_in_child(self) -> None:
        """Forget all flights, since their leaders are threads of the parent; also used for the beginning itself."""
        # Guards the dict; it is never held while something is computed or waited for.
        self._lock = Lock()
        self._flights: dict[Hashable, Future[T] | None] = {}

    def do(self, key: Hashable, compute: Callable[[], T]) -> T:
        """``compute()``, or the result of the equal call that is under way."""
        while (flight := self._join(key)) is not None:
            try:
                return flight.result()
            except _LeaderLeftError:
                # All followers come here at once. The first to join again leads, and the others follow it.
                continue
        try:
            result = compute()
        except BaseException as error:  # also an interrupt: the followers must not wait for ever
            flight = self._land(key)
            if flight is not None:
                flight.set_exception(error if isinstance(error, Exception) else _LeaderLeftError())
            raise
        # Landed before the result is set: a caller that joins from now on computes anew and gets no old result.
        flight = self._land(key)
        if flight is not None:
            flight.set_result(result)
        return result

    def _join(self, key: Hashable) -> "Future[T] | None":
        """The flight under way; None if there is none, and then the caller has to lead one."""
        with self._lock:
            if key not in self._flights:
                # Most flights have no follower, and a future costs more than everything else here: the first follower
                # makes it.
                self._flights[key] = None
                return None
            flight = self._flights[key]
            if flight is None:
                flight = self._flights[key] = Future()
            return flight

    def _land(self, key: Hashable) -> "Future[T] | None":
        with self._lock:
            return self._flights.pop(key, None)  # none, if the leader itself forked

    def __repr__(self) -> str:
        return f"<SingleFlight: {len(self._flights)} under way>"


class AsyncSingleFlight(Generic[T]):
    """For tasks of event loops: the computation is a task of its own, cancelled only when no caller waits any more."""

    def __init__(self) -> None:
        self.after_fork_in_child()
        renew_in_child(self)

    def after_fork_in_child(self) -> None:
        """Forget all flights, since their loops run in the parent; also used for the beginning itself."""
        # A dict per loop, as a task cannot be awaited in another loop. No lock: each loop changes its own dict only,
        # and nothing is awaited between look and write.
        self._loops: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Hashable, _Flight[T]]] = WeakKeyDictionary()

    async def do(self, key: Hashable, compute: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """``await compute()``, or the result of the equal call that is under way in this event loop."""
        loop = asyncio.get_running_loop()
        flights = self._loops.get(loop)
        if flights is None:
            self._forget_closed_loops()
            flights = self._loops[loop] = {}
        flight = flights.get(key)
        if flight is None or flight.task.done():
            flight = flights[key] = _Flight(loop.create_task(compute()))
            flight.task.add_done_callback(partial(_land, flights, key, flight))
        flight.waiting += 1
        try:
            # The shield takes the cancellation of this caller; the task goes on for the others.
            return await asyncio.shield(flight.task)
        finally:
            flight.waiting -= 1
            if not flight.waiting and not flight.task.done():
                # Landed at once, since a cancelled task ends later: a caller that comes in between needs a new one.
                _land(flights, key, flight)
                flight.task.cancel()

    def _forget_closed_loops(self) -> None:
        """Drop flights that never land, as their loop was closed above them; they would keep the loop, too."""
        for loop in list(self._loops):
            if loop.is_closed():
                self._loops.pop(loop, None)

    def __repr__(self) -> str:
        return f"<AsyncSingleFlight: {sum(map(len, list(self._loops.values())))} under way>"


class _Flight(Generic[T]):
    __slots__ = ("task", "waiting")

    def __init__(self, task: "asyncio.Task[T]") -> None:
        self.task = task
        self.waiting = 0


def _land(flights: dict[Hashable, _Flight[T]], key: Hashable, flight: _Flight[T], _: object = None) -> None:
    # A flight that all callers left may have been followed by another one of the same key.
    if flights.get(key) is flight:
        del flights[key]


class _LeaderLeftError(Exception):
    """The leader was interrupted before it had a result."""
