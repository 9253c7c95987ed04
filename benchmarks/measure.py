"""Times several sides of a comparison in turn, so that whatever disturbs the machine disturbs all of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Seconds = NDArray[np.float64]

RESAMPLES = 1000
"""Bootstrap resamples: the bounds of a 95 % interval move by under 1 % of its width between seeds."""


class Side(Protocol):
    """One side of a comparison: runs operations by number and says how long each took, in seconds."""

    def __call__(self, numbers: Sequence[int]) -> Seconds: ...


@dataclass(frozen=True, slots=True)
class Budget:
    """How much is measured per side: ``samples`` operations, fewer when they take longer than ``limit_s`` in all."""

    samples: int = 1000
    limit_s: float = 30.0
    blocks: int = 20
    warm_up: int = 20

    @property
    def per_block(self) -> int:
        return max(1, self.samples // self.blocks)


def timed(call: Callable[[int], Any]) -> Side:
    """A side from a plain function of the operation's number, called in this process."""

    def side(numbers: Sequence[int]) -> Seconds:
        durations = np.empty(len(numbers))
        for place, number in enumerate(numbers):
            started = perf_counter()
            call(number)
            durations[place] = perf_counter() - started
        return durations

    return side


def alternate(sides: Mapping[str, Side], budget: Budget) -> dict[str, Seconds]:
    """Durations by side. Blocks are taken in the order A B B A, so that a drift of the machine cancels out.

    A side that has used up its time leaves; every side runs at least one operation of every second block before that.
    """
    taken: dict[str, list[Seconds]] = {name: [] for name in sides}
    for name, side in sides.items():
        _warm_up(name, side, budget)
    for block in range(budget.blocks):
        order = list(sides) if block % 2 == 0 else list(sides)[::-1]
        for name in order:
            count = _affordable(taken[name], budget)
            if count:
                first = block * budget.per_block
                taken[name].append(sides[name](range(first, first + count)))
    return {name: np.concatenate(parts) for name, parts in taken.items()}


def _warm_up(name: str, side: Side, budget: Budget) -> None:
    """Some operations that do not count: connections are opened, code paths are taken for the first time."""
    if side(range(1)).sum() * budget.warm_up < budget.limit_s / 10:
        side(range(budget.warm_up))


def _affordable(taken: Sequence[Seconds], budget: Budget) -> int:
    """Operations for the next block; 0 when three were measured and the time is used up."""
    if not taken:
        return 1
    spent, done = sum(part.sum() for part in taken), sum(map(len, taken))
    if spent >= budget.limit_s and done >= 3:
        return 0
    return max(1, min(budget.per_block, int((budget.limit_s - spent) / (spent / done))))


@dataclass(frozen=True, slots=True)
class Quantile:
    """A quantile with its 95 % bootstrap interval, in the unit of the sample."""

    value: float
    low: float
    high: float


def quantile(sample: Seconds, share: float, seed: int = 0) -> Quantile:
    """A quantile of a sample; the interval needs more than a handful of values to mean anything."""
    drawn = np.quantile(_resamples(sample, seed), share, axis=1)
    return Quantile(float(np.quantile(sample, share)), *map(float, np.quantile(drawn, (0.025, 0.975))))


def ratio(slow: Seconds, quick: Seconds, share: float = 0.5, seed: int = 0) -> Quantile:
    """How many times a quantile of ``slow`` exceeds that of ``quick``, with its 95 % bootstrap interval."""
    above = np.quantile(_resamples(slow, seed), share, axis=1)
    below = np.quantile(_resamples(quick, seed + 1), share, axis=1)
    value = np.quantile(slow, share) / np.quantile(quick, share)
    return Quantile(float(value), *map(float, np.quantile(above / below, (0.025, 0.975))))


def _resamples(sample: Seconds, seed: int) -> NDArray[np.float64]:
    chosen = np.random.default_rng(seed).integers(0, len(sample), (RESAMPLES, len(sample)))
    return np.asarray(sample[chosen])


def summary(durations: Seconds) -> dict[str, float | int]:
    """Count, and p50, p95, p99 in milliseconds with the 95 % interval of each."""
    row: dict[str, float | int] = {"n": len(durations)}
    for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
        found = quantile(durations * 1000, share)
        row |= {f"{name}_ms": found.value, f"{name}_low": found.low, f"{name}_high": found.high}
    return row
