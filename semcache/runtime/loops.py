"""Things of one event loop, such as its connections: opened once for each loop, and closed when the loop ends."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import CancelledError
from contextlib import suppress
from typing import Generic, NamedTuple, Protocol, TypeVar

from semcache.runtime.forking import renew_in_child


def running_loop() -> asyncio.AbstractEventLoop | None:
    """The event loop that runs in this thread, None without one."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


class LoopBound(Protocol):
    """Something with sockets that only one event loop can use."""

    async def close(self) -> None:
        """Close everything, on its loop. After ``abandon`` there is nothing left to wait for."""
        ...

    def abandon(self) -> None:
        """Close the sockets without the loop, which is closed or belongs to the parent of this process."""
        ...


T = TypeVar("T", bound=LoopBound)


class _Opened(NamedTuple, Generic[T]):
    """``guard`` is suspended until its loop ends, and closes the value then."""

    value: T
    guard: AsyncGenerator[None]


async def _until_loop_ends(value: LoopBound) -> AsyncGenerator[None]:
    try:
        yield
    finally:
        await value.close()


class PerLoop(Generic[T]):
    """One value for every event loop that uses it, since sockets cannot be shared between loops.

    A web view that calls ``asyncio.run`` for every request ends a loop each time, and closes nothing itself. But
    ``asyncio.run`` and its like close the asynchronous generators of a loop before they end it. So for each value there
    is a generator that does nothing but close it. Loops that are closed without that leave their sockets behind; these
    are closed when the next loop comes.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        # Each loop reads and writes its own item only, so threads that run loops need no lock.
        self._opened: dict[asyncio.AbstractEventLoop, _Opened[T]] = {}
        renew_in_child(self)

    def after_fork_in_child(self) -> None:
        """Close the copies of the parent's sockets; the loops, with the descriptors they wait on, stay the parent's."""
        opened, self._opened = self._opened, {}
        for one in opened.values():
            _abandon(one)

    def of_running_loop(self) -> T | None:
        """The running loop's value; None before ``open``."""
        opened = self._opened.get(asyncio.get_running_loop())
        return None if opened is None else opened.value

    async def open(self) -> T:
        """Make the running loop's value."""
        self.abandon_closed_loops()
        value = self._make()
        opened = self._opened[asyncio.get_running_loop()] = _Opened(value, _until_loop_ends(value))
        # Runs to its yield without giving up control, and makes the loop know the generator.
        await anext(opened.guard)
        return value

    def each_soon(self, act: Callable[[T], None]) -> None:
        """Let every loop that runs call ``act`` with its value, without waiting for it."""
        for loop, opened in list(self._opened.items()):
            with suppress(RuntimeError):  # it has ended
                loop.call_soon_threadsafe(act, opened.value)

    async def close_running(self) -> None:
        """Close the running loop's value; a later call opens another one."""
        opened = self._opened.pop(asyncio.get_running_loop(), None)
        if opened is not None:
            await opened.guard.aclose()

    def close_others(self, patience_s: float) -> None:
        """Close the values of all loops but the one that runs in this thread.

        Those of loops that run in other threads are waited for, each at most ``patience_s`` seconds; those of loops
        that do not run lose their sockets.
        """
        here = running_loop()
        for loop, opened in list(self._opened.items()):
            if loop is here or self._opened.pop(loop, None) is None:
                continue
            if loop.is_running():
                # A loop that ends just now closes it by itself.
                with suppress(TimeoutError, CancelledError, RuntimeError):
                    asyncio.run_coroutine_threadsafe(_closed(opened), loop).result(patience_s)
            else:
                _abandon(opened)

    def abandon_closed_loops(self) -> None:
        """Forget loops that have ended, and close what those left behind that did not close their generators."""
        for loop, opened in list(self._opened.items()):
            if loop.is_closed():
                self._opened.pop(loop, None)
                _abandon(opened)


async def _closed(opened: _Opened[T]) -> None:
    await opened.guard.aclose()


def _abandon(opened: _Opened[T]) -> None:
    opened.value.abandon()
    # The generator must not be collected while it is suspended: its loop would be told to close it, and in a forked
    # child that is the parent's loop. Without connections, closing the value waits for nothing, so that one step is
    # enough. RuntimeError: at the fork the loop was just closing it.
    with suppress(StopIteration, RuntimeError):
        opened.guard.aclose().send(None)
