"""Runs generators that decide without I/O: each one yields steps, and what performs a step is given from outside.

Whole reranks, operations on the store and the chain of fallbacks are all written once, as such generators. Only these
two loops know whether a step is performed by a call or by an awaited call.
"""

from collections.abc import Awaitable, Callable, Generator
from typing import Any, TypeVar

S = TypeVar("S")
T = TypeVar("T")


def drive(steps: Generator[S, Any, T], perform: Callable[[S], Any]) -> T:
    """Send the answer of ``perform`` to each step back, until the generator returns.

    An error of ``perform`` is raised inside the generator, at the step that caused it: the generator may handle it, and
    otherwise the caller gets it. Interrupts such as KeyboardInterrupt are not offered to the generator.
    """
    try:
        step = next(steps)
        while True:
            try:
                answer = perform(step)
            except Exception as error:  # noqa: BLE001 - the generator decides what an error means
                step = steps.throw(error)
            else:
                step = steps.send(answer)
    except StopIteration as done:
        return done.value  # type: ignore[no-any-return]


async def adrive(steps: Generator[S, Any, T], perform: Callable[[S], Awaitable[Any]]) -> T:
    """``drive`` for steps that are performed by an awaited call."""
    try:
        step = next(steps)
        while True:
            try:
                answer = await perform(step)
            except Exception as error:  # noqa: BLE001 - the generator decides what an error means
                step = steps.throw(error)
            else:
                step = steps.send(answer)
    except StopIteration as done:
        return done.value  # type: ignore[no-any-return]
