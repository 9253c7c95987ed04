"""Runs generators that decide without I/O, sending the answer of each step that they yield back to them.

Whole reranks, operations on the store and the chain of fallbacks are all written once, as such generators. Only
``drive`` and ``adrive`` know whether a step is performed by a call or by an awaited call; everything else is shared by
both worlds.
"""

from collections.abc import Awaitable, Callable, Generator, Iterable, Sequence
from typing import Any, TypeVar

S = TypeVar("S")
T = TypeVar("T")


def drive(steps: Generator[S, Any, T], perform: Callable[[S], Any]) -> T:
    """Send the answer of ``perform`` to each step back, until the generator returns.

    An error of ``perform`` is raised inside the generator, at the step that caused it: the generator may handle it, and
    otherwise the caller gets it. Interrupts such as KeyboardInterrupt are not offered to the generator; they close it.

    Example:
        >>> def double(number):
        ...     return 2 * (yield f"what is {number}?")
        >>> drive(double(3), perform=lambda question: int(question[8:-1]))
        6
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
    except BaseException:  # an interrupt or a cancellation: the generator is told now, and not when it is collected
        steps.close()
        raise


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
    except BaseException:  # an interrupt or a cancellation: the generator is told now, and not when it is collected
        steps.close()
        raise


def is_unfinished(steps: Generator[Any, Any, Any]) -> bool:
    """Whether a generator has not come to its end, or was never begun."""
    # A generator that has ended has no frame; inspect.getgeneratorstate() takes ten times as long to tell.
    return getattr(steps, "gi_frame", None) is not None


def lockstep(flows: Iterable[Generator[S, Any, T]]) -> Generator[list[S], Sequence[Any], list[T]]:
    """Many generators as one, which yields the steps they wait for in groups of one type; returns their results.

    A group is answered by one answer per step, in order. An error that is thrown in at a group ends all generators.

    Example:
        >>> groups = lockstep([double(1), double(2)])
        >>> next(groups)
        ['what is 1?', 'what is 2?']
    """
    running = list(flows)
    # By the generator's number, since those that have ended drop out.
    results: dict[int, T] = {}
    answers: dict[int, Any] = dict.fromkeys(range(len(running)))
    while answers:
        groups: dict[type, dict[int, S]] = {}
        for index, answer in answers.items():
            try:
                step = running[index].send(answer)
            except StopIteration as done:
                results[index] = done.value
            else:
                groups.setdefault(type(step), {})[index] = step
        # All groups of a round are answered before any generator goes on. Generators that take the same way then stay
        # together, and one call can perform their steps.
        answers = {}
        for group in groups.values():
            answers.update(zip(group, (yield list(group.values())), strict=True))
    return [results[index] for index in range(len(running))]
