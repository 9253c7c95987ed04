"""Waits for a result of another thread, in a thread or in a task, without taking it."""

import asyncio
from collections.abc import Coroutine
from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from contextlib import suppress
from threading import TIMEOUT_MAX
from typing import Any, TypeVar

from semcache.errors import DeadlineExceededError

T = TypeVar("T")


def until_done(future: Future[Any], timeout_s: float | None) -> None:
    """Wait until a future is done, at most ``timeout_s`` seconds (None: as long as it takes)."""
    # Not future.result(timeout): its TimeoutError would look like one that the call behind the future raised.
    # Not for more than a thread can wait, 290 years: a deadline may be infinite.
    wait_for([future], None if timeout_s is None else min(timeout_s, TIMEOUT_MAX))


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


async def within(coroutine: Coroutine[Any, Any, T], subject: str, timeout_s: float | None) -> T:
    """The result of a coroutine. After ``timeout_s`` seconds it is cancelled, and DeadlineExceededError is raised."""
    # Not asyncio.timeout: its TimeoutError would look like one that the coroutine raised.
    task = asyncio.ensure_future(coroutine)
    try:
        await asyncio.wait([task], timeout=timeout_s)
    finally:
        task.cancel()
    if not task.done():
        raise too_late(subject, timeout_s)
    return task.result()


def too_late(subject: str, timeout_s: float | None) -> DeadlineExceededError:
    """The error for a subject that did not answer within that many seconds."""
    return DeadlineExceededError(f"{subject} did not answer within {max(0.0, timeout_s or 0.0):.3g} s")


def is_in_loop() -> bool:
    """Whether an event loop runs in this thread, so that waiting here would hold up what is waited for."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def is_given_up(error: BaseException, task: "asyncio.Task[Any] | None") -> bool:
    """Whether a task that gets this error was cancelled, or is thrown away with its loop.

    Otherwise what it awaits has raised the same by itself.
    """
    if isinstance(error, asyncio.CancelledError):
        return task is None or task.cancelling() > 0
    # A task that is thrown away does not run; in the end it is closed from elsewhere.
    return isinstance(error, GeneratorExit) and not (is_in_loop() and asyncio.current_task() is task)
