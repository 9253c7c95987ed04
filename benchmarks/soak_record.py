"""Counts what callers of the soak saw, by status, from one report to the next."""

from collections import Counter, defaultdict
from threading import Lock
from traceback import extract_tb
from typing import Any

import numpy as np

_SHOWN = 20
"""Errors and wrong answers that a report describes; all are counted."""


class Record:
    """What happened since the last report. Safe to use from several threads; it grows only from report to report."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._begin()

    def _begin(self) -> None:
        self._durations: defaultdict[str, list[float]] = defaultdict(list)
        self._counts: Counter[str] = Counter()
        self._described: list[str] = []

    def answered(self, status: str, duration_s: float) -> None:
        """A request was answered."""
        with self._lock:
            self._durations[status].append(duration_s)

    def failed(self, caller: str, error: BaseException) -> None:
        """A caller got an error."""
        places = [f"{frame.name}:{frame.lineno}" for frame in extract_tb(error.__traceback__)[-4:]]
        self._describe("failed", f"{caller}: {type(error).__name__}: {error} ({' '.join(places)})")

    def wrong(self, what: str) -> None:
        """A caller got a wrong answer."""
        self._describe("wrong", what)

    def happened(self, what: str) -> None:
        """Something else that is counted, such as a pipeline that was closed."""
        with self._lock:
            self._counts[what] += 1

    def _describe(self, kind: str, what: str) -> None:
        with self._lock:
            self._counts[kind] += 1
            if len(self._described) < _SHOWN:
                self._described.append(f"{kind}: {what[:300]}")

    def taken(self) -> dict[str, Any]:
        """A report, after which counts begin at nothing."""
        with self._lock:
            durations, counts, described = self._durations, self._counts, self._described
            self._begin()
        return {
            "statuses": {status: _figures(each) for status, each in durations.items()},
            "counts": dict(counts),
            "described": described,
        }


def _figures(durations: list[float]) -> dict[str, float]:
    p50, p99 = np.quantile(durations, (0.5, 0.99), method="inverted_cdf")
    return {"n": len(durations), "p50_ms": float(p50) * 1000, "p99_ms": float(p99) * 1000}
