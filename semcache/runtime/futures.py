"""Waits for a result of another thread, in a thread or in a task, without taking it."""

import asyncio
from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from contextlib import suppress
from typing import Any


def until_done(future: Future[Any], timeout_s: float | None) -> None:
    """Wait until a future is done, at most ``timeout_s`` seconds (None: as long as it takes)."""
    # Not future.result(timeout): its TimeoutError would look like one that the call behind the future raised.
    wait_for([future], timeout_s)


async def auntil_done(future: Future[Any], timeout_s: float | None) -> None:
    """``until_done`` without blocking the event loop. Cancelling it leaves the future as it is."""
    # Not asyncio.wrap_future: it copies the outcome into a second future, whose error asyncio would log as never
    # retrieved, and it waits for ever for a StopIteration, which no asyncio future takes.
    loop = asyncio.get_running_loop()
    waiter = loop.create_future()

    def wake() -> None:
        if not waiter.done():
            waiter.set_result(None)

    def wake_in_loop(_: Future[Any]) -> None:
        with suppress(RuntimeError):  # the loop was closed meanwhile
            loop.call_soon_threadsafe(wake)

    future.add_done_callback(wake_in_loop)
    await asyncio.wait([waiter], timeout=timeout_s)
