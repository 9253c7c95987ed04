"""Calls models such that whatever they raise is an error of the request that asked them, and ends nothing else."""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import CancelledError
from threading import current_thread, main_thread
from typing import TypeVar

from semcache.errors import SemcacheError, described
from semcache.runtime.futures import is_given_up

T = TypeVar("T")


def called(call: Callable[[], T], model: str, kind: type[SemcacheError]) -> T:
    """The result of a call; what it raises by itself is raised as ``ordinary`` makes it."""
    try:
        return call()
    except BaseException as error:
        # In the main thread it may be the user's Ctrl-C; Python interrupts no other one.
        if isinstance(error, KeyboardInterrupt) and current_thread() is main_thread():
            raise
        told = ordinary(error, model, kind)
        if told is error:
            raise
        raise told from error


async def awaited(awaitable: Awaitable[T], model: str, kind: type[SemcacheError]) -> T:
    """``called`` for an awaitable."""
    task = asyncio.current_task()
    try:
        return await awaitable
    except BaseException as error:  # also SystemExit and cancellations, which must not end the loop of the caller
        if is_given_up(error, task):
            raise
        told = ordinary(error, model, kind)
        if told is error:
            raise
        raise told from error


def ordinary(error: BaseException, model: str, kind: type[SemcacheError]) -> Exception:
    """An error that a model raised, as one that reaches its callers and nothing else.

    A StopIteration would end a generator on its way, a CancelledError would pass for the caller's own cancellation, and
    SystemExit or KeyboardInterrupt would end an event loop: each becomes one of ``kind`` with the original as cause.
    """
    is_special = isinstance(error, StopIteration | StopAsyncIteration | CancelledError)
    if isinstance(error, Exception) and not is_special:
        return error
    told = kind(f"{model} raised {described(error)}")
    told.__cause__ = error
    return told
