"""Drives flows to their results: one, or many that share their calls, by ordinary or by awaited calls."""

import asyncio
from collections.abc import Awaitable, Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from operator import call as invoke
from typing import Any, TypeVar

from semcache.events import CacheFailed
from semcache.flow.calls import Call, Calls
from semcache.flow.drive import adrive, drive, lockstep
from semcache.flow.steps import Remember, Step
from semcache.protocols import AsyncStore, Store
from semcache.runtime.budget import TimeBudget, begin_to_spend, end_spending

T = TypeVar("T")

# More threads than the batcher merges into one run gain nothing: they only wait.
_SCORING_THREADS = 16


def run(
    flow: Generator[Step, Any, T],
    calls: Calls[Store],
    deadline: float | None = None,
    started: float | None = None,
    budget: TimeBudget | None = None,
) -> T:
    """Drive one flow to its result. Only what ``Score`` raises is raised.

    ``deadline`` and ``started``, when the request began, are times of ``time.monotonic``. ``budget`` is the time that
    the flow may wait for the store, None for that of the calls; what it spent can be read from it afterwards.

    Example:
        >>> calls = Calls(store, embedder.embed, ladder.score, neighbours=4, on_event=print)
        >>> outcome = run(rerank(request, policy, ladder.name), calls)
    """
    # The inner loop performs the calls of one step, and there a failed cache call ends. The error of a ``Score`` goes
    # through it, is raised inside the flow, and from there reaches the caller.
    token = begin_to_spend(budget or calls.budget(deadline))
    try:
        return drive(flow, lambda step: drive(calls.answer(step, deadline, started), invoke))
    finally:
        end_spending(token)


async def arun(
    flow: Generator[Step, Any, T],
    calls: Calls[AsyncStore],
    deadline: float | None = None,
    started: float | None = None,
    budget: TimeBudget | None = None,
) -> T:
    """``run`` for calls that are awaited."""
    token = begin_to_spend(budget or calls.budget(deadline))
    try:
        return await adrive(flow, lambda step: adrive(calls.answer(step, deadline, started), invoke))
    finally:
        # The garbage collector ends a coroutine whose loop is gone, in a context to which the token does not belong.
        with suppress(ValueError):
            end_spending(token)


def written_later(calls: Calls[Store], submit: Callable[[Callable[[], None]], bool]) -> Callable[[Remember], None]:
    """Stores scores by jobs that no request waits for. ``submit`` says whether a job will be done.

    A write that fails is an event, and so is one that is dropped since too many others wait.
    """

    def write(step: Remember) -> None:
        if not submit(lambda: drive(calls.answer(step), invoke)):
            calls.on_event(CacheFailed(type(step).__name__, "StoreTooSlowError: too many other writes wait for Redis"))

    return write


def run_many(flows: Iterable[Generator[Step, Any, T]], calls: Calls[Store]) -> list[T]:
    """Drive flows of one tenant together: one call performs equal steps, and scores are asked for at once.

    They have no budget: one call for many of them takes its time, and the store's own timeouts bound it.

    The first error of a ``Score`` is raised, and the other flows are given up.
    """
    # A pool per call: its threads start only when there are scores to ask for, and none is left behind.
    with ThreadPoolExecutor(_SCORING_THREADS, thread_name_prefix="semcache-many") as pool:

        def perform(call: Call | tuple[Call, ...]) -> Any:
            if not isinstance(call, tuple):
                return call()
            # Each in a copy of the caller's context, as awaited ones are, so that traces find the caller's span.
            return list(pool.map(lambda context, one: context.run(one), [copy_context() for _ in call], call))

        return drive(lockstep(flows), lambda steps: drive(calls.answers(steps), perform))


async def arun_many(flows: Iterable[Generator[Step, Any, T]], calls: Calls[AsyncStore]) -> list[T]:
    """``run_many`` for calls that are awaited."""

    def perform(call: Call | tuple[Call, ...]) -> Awaitable[Any]:
        return asyncio.gather(*map(invoke, call)) if isinstance(call, tuple) else call()

    return await adrive(lockstep(flows), lambda steps: adrive(calls.answers(steps), perform))
