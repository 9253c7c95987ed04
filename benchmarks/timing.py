"""Quantiles of durations with 95 % intervals. The durations come from ``semcache.commands.bench.measuring``."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semcache.commands.bench.measuring import Operation, Seconds, Side
from semcache.commands.bootstrap import bounds, resampled

# Half as many as for means: a quantile needs all values of each sample in memory, and samples have up to 4,000.
RESAMPLES = 1000


def timed(call: Callable[[int], Any]) -> Side:
    """A side that calls a plain function with the number of the call, in this process."""
    return Operation("", prepare=lambda number: number, call=call)


@dataclass(frozen=True, slots=True)
class Quantile:
    """A quantile with its 95 % bootstrap interval, in the unit of the sample."""

    value: float
    low: float
    high: float


def quantile(sample: Seconds, share: float, seed: int = 0) -> Quantile:
    """A quantile of a sample. The interval of a handful of values means nothing."""
    return Quantile(float(np.quantile(sample, share)), *bounds(_of_resamples(sample, share, seed)))


def ratio(slow: Seconds, quick: Seconds, share: float = 0.5, seed: int = 0) -> Quantile:
    """How many times a quantile of ``slow`` is that of ``quick``."""
    value = float(np.quantile(slow, share) / np.quantile(quick, share))
    return Quantile(value, *bounds(_of_resamples(slow, share, seed) / _of_resamples(quick, share, seed + 1)))


def _of_resamples(sample: Seconds, share: float, seed: int) -> NDArray[np.float64]:
    return np.asarray(np.quantile(sample[resampled(len(sample), seed, RESAMPLES)], share, axis=1))


def summary(durations: Seconds) -> dict[str, float | int]:
    """The number of durations, and p50, p95 and p99 in milliseconds with the 95 % interval of each."""
    row: dict[str, float | int] = {"n": len(durations)}
    for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
        found = quantile(durations * 1000, share)
        row |= {f"{name}_ms": found.value, f"{name}_low": found.low, f"{name}_high": found.high}
    return row
