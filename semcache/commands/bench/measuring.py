"""Times operations in turn, so that whatever disturbs the machine disturbs all of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semcache.errors import InvalidInputError, StoreError

Seconds = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Operation:
    """Something to be timed: ``call`` of what ``prepare`` made for its number, which is not timed.

    An answer that is not right by ``is_right`` is an error: a look-up that fails would otherwise be fast for no merit.
    """

    name: str
    prepare: Callable[[int], Any]
    call: Callable[[Any], Any]
    is_right: Callable[[Any], bool] = lambda answer: True


@dataclass(frozen=True, slots=True)
class Budget:
    """Each operation is timed at most ``samples`` times and ``limit_s`` seconds, but at least 3 times.

    What takes longer than ``limit_s`` a call is timed only until three times the limit is spent, at least once.
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
        return max(1, self.samples // self.blocks)


@dataclass(frozen=True, slots=True)
class Timing:
    """Number of samples, and quantiles in milliseconds (interpolated). None: too few samples to tell that one apart
    from the maximum."""

    n: int
    p50_ms: float
    p95_ms: float | None
    p99_ms: float | None

    @classmethod
    def of(cls, durations: Seconds) -> "Timing":
        p50, p95, p99 = (float(value) for value in np.quantile(durations * 1000, (0.50, 0.95, 0.99)))
        n = len(durations)
        return cls(n, p50, p95 if n >= 20 else None, p99 if n >= 100 else None)


def alternate(operations: Sequence[Operation], budget: Budget) -> dict[str, Timing]:
    """Timings by name. Blocks are taken in the order A B B A, so that a drift of the machine cancels out.

    Raises StoreError when an answer is not right.
    """
    taken = {operation.name: np.empty(0) for operation in operations}
    expected_s = {operation.name: _warm_up(operation, budget) for operation in operations}
    for block in range(budget.blocks):
        for operation in operations if block % 2 == 0 else operations[::-1]:
            name = operation.name
            count = affordable(taken[name], block, expected_s[name], budget)
            first = block * budget.per_block
            taken[name] = np.concatenate((taken[name], _timed(operation, range(first, first + count))))
    return {name: Timing.of(durations) for name, durations in taken.items()}


def affordable(taken: Seconds, block: int, expected_s: float, budget: Budget) -> int:
    """How many calls the next block may have: an equal share of the time that is left. 0 when the time is used up.

    ``expected_s`` is the expected seconds of a call before any is taken.
    """
    spent = float(taken.sum())
    if spent >= budget.limit_s:
        return int(len(taken) < 3 and spent < 3 * budget.limit_s)
    per_call = spent / len(taken) if spent else expected_s
    share = (budget.limit_s - spent) / (budget.blocks - block)
    return max(1, min(budget.per_block, int(share / max(per_call, 1e-9))))


def _warm_up(operation: Operation, budget: Budget) -> float:
    """Some calls that do not count, as connections are opened and code paths taken for the first time; the seconds of
    one."""
    first = float(_timed(operation, range(1))[0])
    if first * budget.warm_up > budget.limit_s / 2:
        return first
    return float(np.median(_timed(operation, range(budget.warm_up))))


def _timed(operation: Operation, numbers: Sequence[int]) -> Seconds:
    durations = np.empty(len(numbers))
    for place, prepared in enumerate([operation.prepare(number) for number in numbers]):
        started = perf_counter()
        answer = operation.call(prepared)
        durations[place] = perf_counter() - started
        if not operation.is_right(answer):
            raise StoreError(
                f"{operation.name} answered {answer!r:.80} although its entry was stored; see that Redis neither fails "
                "nor evicts, or measure with the Redis url embedded"
            )
    return durations
