"""Equal requests in flight share one computation; whoever gives up never takes the others along."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from concurrent.futures import Future
from functools import partial
from threading import Lock
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class SingleFlight(Generic[T]):
    """For threads: the first caller computes, the others wait for its result or its error.

    A leader that is interrupted (KeyboardInterrupt, SystemExit) hands over: a follower computes instead.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._flights: dict[Hashable, Future[T] | None] = {}

    def do(self, key: Hashable, compute: Callable[[], T]) -> T:
        """``compute()``, or the result of the equal call that is under way."""
        while (flight := self._join(key)) is not None:
            try:
                return flight.result()
            except _LeaderLeftError:
                continue
        return self._lead(key, compute)

    def _join(self, key: Hashable) -> "Future[T] | None":
        """The flight under way, or None for whoever is to lead it."""
        with self._lock:
            if key not in self._flights:
                # Most flights have no follower, and a future costs more than everything else here.
                self._flights[key] = None
                return None
            flight = self._flights[key]
            if flight is None:
                flight = self._flights[key] = Future()
            return flight

    def _lead(self, key: Hashable, compute: Callable[[], T]) -> T:
        try:
            result = compute()
        except BaseException as error:  # also an interrupt: the followers must not wait for ever
            flight = self._land(key)
            if flight is not None:
                flight.set_exception(error if isinstance(error, Exception) else _LeaderLeftError())
            raise
        flight = self._land(key)
        if flight is not None:
            flight.set_result(result)
        return result

    def _land(self, key: Hashable) -> "Future[T] | None":
        with self._lock:
            return self._flights.pop(key)


class AsyncSingleFlight(Generic[T]):
    """For tasks of one event loop: the computation is a task of its own, cancelled only when nobody waits any more."""

    def __init__(self) -> None:
        self._flights: dict[Hashable, _Flight[T]] = {}

    async def do(self, key: Hashable, compute: Callable[[], Awaitable[T]]) -> T:
        """``await compute()``, or the result of the equal call that is under way in this event loop."""
        loop = asyncio.get_running_loop()
        place = (id(loop), key)
        flight = self._flights.get(place)
        if flight is None or flight.task.done():
            flight = self._flights[place] = _Flight(loop.create_task(_awaited(compute)))
            flight.task.add_done_callback(partial(self._land, place, flight))
        flight.waiting += 1
        try:
            # The shield takes the cancellation of this caller; the task goes on for the others.
            return await asyncio.shield(flight.task)
        finally:
            flight.waiting -= 1
            if not flight.waiting and not flight.task.done():
                self._land(place, flight)
                flight.task.cancel()

    def _land(self, place: Hashable, flight: "_Flight[T]", _: object = None) -> None:
        # A flight that everybody left may have been followed by another one of the same key.
        if self._flights.get(place) is flight:
            del self._flights[place]


class _Flight(Generic[T]):
    __slots__ = ("task", "waiting")

    def __init__(self, task: "asyncio.Task[T]") -> None:
        self.task = task
        self.waiting = 0


class _LeaderLeftError(Exception):
    """The leader was interrupted before it had a result."""


async def _awaited(compute: Callable[[], Awaitable[Any]]) -> Any:
    return await compute()
