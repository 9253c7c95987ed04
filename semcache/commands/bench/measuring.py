"""Times operations in turn, so that whatever disturbs the machine disturbs all of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from semcache.errors import InvalidInputError, StoreError

Seconds = NDArray[np.float64]
"""Durations of calls, in seconds."""


class Side(Protocol):
    """One side of a comparison: makes one call per number and says how many seconds each took."""

    def __call__(self, numbers: Sequence[int], /) -> Seconds: ...


@dataclass(frozen=True, slots=True)
class Operation:
    """A side that calls ``call`` with what ``prepare`` makes of a number. Preparing is not timed.

    An answer that is not right by ``is_right`` raises StoreError: a look-up that fails is fast, and would look good.

    Example:
        Operation("get", prepare=lambda number: keys[number % len(keys)], call=client.get, is_right=bool)
    """

    name: str
    prepare: Callable[[int], Any]
    call: Callable[[Any], Any]
    is_right: Callable[[Any], bool] = lambda answer: True

    def __call__(self, numbers: Sequence[int], /) -> Seconds:
        """One call per number."""
        durations = np.empty(len(numbers))
        # All are prepared before the first is timed, so that preparing does not disturb the processor's caches in
        # between.
        arguments = [self.prepare(number) for number in numbers]
        call, is_right = self.call, self.is_right
        for at, argument in enumerate(arguments):
            started = perf_counter()
            answer = call(argument)
            durations[at] = perf_counter() - started
            if not is_right(answer):
                raise StoreError(
                    f"{self.name} answered {answer!r:.80} although its entry was stored; see that Redis neither fails "
                    "nor evicts, or measure with the Redis url embedded"
                )
        return durations


@dataclass(frozen=True, slots=True)
class Budget:
    """Each side is timed at most ``samples`` times and ``limit_s`` seconds, but at least 3 times.

    A side whose single call takes longer than ``limit_s`` is timed until three times the limit is spent, at least once.
    """

    limit_s: float
    samples: int = 2000  # the p99 is then decided by 20 of them
    blocks: int = 20
    warm_up: int = 20

    def __post_init__(self) -> None:
        if not self.limit_s > 0:
            raise InvalidInputError(f"limit_s must be more than 0 seconds, got {self.limit_s}")

    @property
    def per_block(self) -> int:
        """Most calls of one block."""
        return max(1, self.samples // self.blocks)


@dataclass(frozen=True, slots=True)
class Timing:
    """Number of samples ``n``, and quantiles in milliseconds, interpolated.

    A quantile is None where too few samples were taken to tell it apart from the maximum.
    """

    n: int
    p50_ms: float
    p95_ms: float | None
    p99_ms: float | None

    @classmethod
    def of(cls, durations: Seconds) -> "Timing":
        p50, p95, p99 = (float(value) for value in np.quantile(durations * 1000, (0.50, 0.95, 0.99)))
        n = len(durations)
        # One sample in 20 lies above the p95, one in 100 above the p99: with fewer, the maximum alone decides.
        return cls(n, p50, p95 if n >= 20 else None, p99 if n >= 100 else None)


def alternate(operations: Sequence[Operation], budget: Budget) -> dict[str, Timing]:
    """Timings by name of operations that take turns. Raises StoreError when an answer is not right."""
    durations = take_turns({operation.name: operation for operation in operations}, budget)
    return {name: Timing.of(taken) for name, taken in durations.items()}


def take_turns(sides: Mapping[str, Side], budget: Budget) -> dict[str, Seconds]:
    """Durations by side. Blocks of calls are taken in the order A B B A, so that a drift of the machine cancels out.

    The numbers of a side's calls start at 0 and are consecutive, but for those that its budget leaves out.
    """
    taken = {name: np.empty(0) for name in sides}
    expected_s: dict[str, float] = {}
    for name, side in sides.items():
        # The first calls do not count: they open connections and take code paths for the first time.
        expected_s[name] = float(side(range(1))[0])
        if expected_s[name] * budget.warm_up <= budget.limit_s / 2:
            expected_s[name] = float(np.median(side(range(budget.warm_up))))
    for block in range(budget.blocks):
        order = list(sides) if block % 2 == 0 else list(sides)[::-1]
        for name in order:
            count = affordable(taken[name], block, expected_s[name], budget)
            if count:
                first = block * budget.per_block
                taken[name] = np.concatenate((taken[name], sides[name](range(first, first + count))))
    return taken


def affordable(taken: Seconds, block: int, expected_s: float, budget: Budget) -> int:
    """The number of calls that the next block may have: an equal share of the time left, 0 when it is used up.

    ``expected_s`` is the expected duration of a call in seconds, for the time before any was taken.
    """
    spent = float(taken.sum())
    if spent >= budget.limit_s:
        # Three samples have a median. What is far slower than the limit stops after one.
        return int(len(taken) < 3 and spent < 3 * budget.limit_s)
    per_call = spent / len(taken) if spent else expected_s
    share = (budget.limit_s - spent) / (budget.blocks - block)
    # A clock that is too coarse may say 0 seconds; dividing by a nanosecond then gives the full block.
    return max(1, min(budget.per_block, int(share / max(per_call, 1e-9))))
