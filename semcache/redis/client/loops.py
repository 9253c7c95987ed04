"""Each event loop's own connections, which are closed when their loop ends."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from typing import NamedTuple

from semcache.redis.client.pool import PipelinedPool
from semcache.runtime.forking import renew_in_child


class _Opened(NamedTuple):
    """``guard`` is suspended until its loop ends, and closes the pool then."""

    pool: PipelinedPool
    guard: AsyncGenerator[None]


async def _until_loop_ends(pool: PipelinedPool) -> AsyncGenerator[None]:
    try:
        yield
    finally:
        await pool.close()


class LoopPools:
    """A pool for every event loop that uses it, since sockets cannot be shared between loops.

    A web view that calls ``asyncio.run`` for every request ends a loop each time, and closes nothing itself. But
    ``asyncio.run`` and its like close the asynchronous generators of a loop before they end it. So for each pool there
    is a generator that does nothing but close it. Loops that are closed without that leave their sockets behind; these
    are closed when the next loop comes.
    """

    def __init__(self, make: Callable[[], PipelinedPool]) -> None:
        self._make = make
        # Each loop reads and writes its own item only, so threads that run loops need no lock.
        self._opened: dict[asyncio.AbstractEventLoop, _Opened] = {}
        renew_in_child(self)

    def after_fork_in_child(self) -> None:
        """Close the copies of the parent's sockets; the loops, with the descriptors they wait on, stay the parent's."""
        opened, self._opened = self._opened, {}
        for one in opened.values():
            _abandon(one)

    def of_running_loop(self) -> PipelinedPool | None:
        """The running loop's pool; None before ``open``."""
        opened = self._opened.get(asyncio.get_running_loop())
        return None if opened is None else opened.pool

    async def open(self) -> PipelinedPool:
        """Make the running loop's pool."""
        self.abandon_closed_loops()
        pool = self._make()
        opened = self._opened[asyncio.get_running_loop()] = _Opened(pool, _until_loop_ends(pool))
        # Runs to its yield without giving up control, and makes the loop know the generator.
        await anext(opened.guard)
        return pool

    async def close_running(self) -> None:
        """Close the running loop's pool; a later call opens another one."""
        opened = self._opened.pop(asyncio.get_running_loop(), None)
        if opened is not None:
            await opened.guard.aclose()

    def abandon_closed_loops(self) -> None:
        """Forget loops that have ended, and close what those left behind that did not close their generators."""
        for loop, opened in list(self._opened.items()):
            if loop.is_closed():
                self._opened.pop(loop, None)
                _abandon(opened)


def _abandon(opened: _Opened) -> None:
    opened.pool.abandon()
    # The generator must not be collected while it is suspended: its loop would be told to close it, and in a forked
    # child that is the parent's loop. Without connections, closing the pool waits for nothing, so that one step is
    # enough. RuntimeError: at the fork the loop was just closing it.
    with suppress(StopIteration, RuntimeError):
        opened.guard.aclose().send(None)
