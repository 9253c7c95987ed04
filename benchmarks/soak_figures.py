"""Figures of a soak: how much something grew after so many minutes, and from when on it is settled."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from benchmarks.timing import Quantile

SETTLED_WITHIN = 0.02
"""Growth that a settled size may still show."""
_LAST_S = 120.0
"""The end of the run, of which the last size is the median."""

Sample = Mapping[str, Any]
"""What was measured at one time: ``at_s`` seconds since the start, and the rest by name."""


def at_minute(samples: Sequence[Sample], name: str, minute: float) -> list[float]:
    """The values within a minute after this one."""
    return [sample[name] for sample in samples if 0 <= sample["at_s"] / 60 - minute < 1 and name in sample]


def last(samples: Sequence[Sample], name: str) -> list[float]:
    """The values at the end of the run."""
    end = samples[-1]["at_s"]
    return [sample[name] for sample in samples if sample["at_s"] > end - _LAST_S and name in sample]


def growth(samples: Sequence[Sample], name: str, minute: float) -> Quantile:
    """By which share the median at the end is above that of the minute after this one, with its 95 % interval."""
    before, after = (np.array(values) for values in (at_minute(samples, name, minute), last(samples, name)))
    random = np.random.default_rng(0)
    medians = [np.median(random.choice(values, (1000, len(values))), axis=1) for values in (before, after)]
    low, high = np.quantile(medians[1] / medians[0], (0.025, 0.975)) - 1
    return Quantile(float(np.median(after) / np.median(before) - 1), float(low), float(high))


def settled_minute(samples: Sequence[Sample], name: str) -> int | None:
    """The first minute after which no minute's median is more than 2 % higher; None if that is only the last one."""
    end = samples[-1]["at_s"] / 60
    medians = [float(np.median(at_minute(samples, name, minute))) for minute in range(int(end))]
    for minute, size in enumerate(medians[:-1]):
        if max(medians[minute:]) <= size * (1 + SETTLED_WITHIN):
            return minute
    return None


def floor_growth(samples: Sequence[Sample], name: str, minutes: float) -> Quantile:
    """How many more there are at the least in the last so many minutes than in as many after the first so many.

    Connections and threads come and go, so that the least number shows what stays. The interval goes from the
    difference of the medians to that of the least numbers.
    """
    span = minutes * 60
    before = [sample[name] for sample in samples if span <= sample["at_s"] < 2 * span]
    after = [sample[name] for sample in samples if sample["at_s"] > samples[-1]["at_s"] - span]
    least, middle = min(after) - min(before), float(np.median(after) - np.median(before))
    return Quantile(float(least), min(least, middle), max(least, middle))


def type_growth(reports: Sequence[Mapping[str, int]]) -> list[dict[str, Any]]:
    """The kinds of objects that grew most between the first and the last count, and in how many steps they grew."""
    first, final = reports[0], reports[-1]
    rows = [
        {
            "type": name,
            "first": first[name],
            "last": final[name],
            "grown": final[name] - first[name],
            "steps_up": sum(after.get(name, 0) > before.get(name, 0) for before, after in pairwise(reports)),
            "steps": len(reports) - 1,
        }
        for name in first.keys() & final.keys()
    ]
    return sorted(rows, key=lambda row: -row["grown"])[:12]


def by_status(reports: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One row per status: how many, and the median of the p50 and p99 of five seconds, in ms."""
    found: dict[str, list[Mapping[str, float]]] = {}
    for report in reports:
        for status, figures in report["statuses"].items():
            found.setdefault(status, []).append(figures)
    return [
        {
            "status": status,
            "requests": int(sum(figures["n"] for figures in each)),
            "p50_ms": float(np.median([figures["p50_ms"] for figures in each])),
            "p99_ms": float(np.median([figures["p99_ms"] for figures in each])),
            "worst_p99_ms": max(figures["p99_ms"] for figures in each),
        }
        for status, each in sorted(found.items())
    ]
