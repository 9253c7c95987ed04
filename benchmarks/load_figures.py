"""Figures of a run, from what was recorded of its answers, of the primary's calls and of the side's switches."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.load_primaries import Call
from benchmarks.load_scenarios import THRESHOLD_S, Incident

PRIMARY, FALLBACK, FAILED = "primary", "fallback", "failed"

WITHIN = 20
HEALTHY = 18
"""A side has recovered where 18 of the next 20 answers are the primary's and on time."""


@dataclass(slots=True)
class Run:
    """What happened, in nominal seconds: by request when it arrived, when it was answered, and by which rung.

    ``switches`` are the moments from which the side kept calls from the primary (True) or sent them again (False).
    ``lags`` are how late the driver sent each request.
    """

    arrived: list[float]
    answered: list[float]
    by: list[str]
    calls: list[Call]
    switches: list[tuple[float, bool]] = field(default_factory=list)
    lags: list[float] = field(default_factory=list)
    more: dict[str, Any] = field(default_factory=dict)


def figures(run: Run, incident: Incident | None, threshold_s: float = THRESHOLD_S) -> dict[str, Any]:
    """All figures of a run as a row. Shares are in percent, durations in nominal seconds."""
    took = np.array(run.answered) - np.array(run.arrived)
    by_primary = np.array([by == PRIMARY for by in run.by])
    late = took > threshold_s
    row: dict[str, Any] = {
        "requests": len(run.by),
        "by_primary_pct": 100 * float(by_primary.mean()),
        "late_pct": 100 * float(late.mean()),
        "primary_in_time_pct": 100 * float((by_primary & ~late).mean()),
        "fallback_in_time_pct": 100 * float(np.mean([by == FALLBACK for by in run.by] & ~late)),
        "late_or_failed_pct": 100 * float(np.mean([by == FAILED for by in run.by] | late)),
        "failed_pct": 100 * float(np.mean([by == FAILED for by in run.by])),
        "p50_s": float(np.quantile(took, 0.5)),
        "p95_s": float(np.quantile(took, 0.95)),
        "switches_per_min": 60 * len(run.switches) / max(run.answered),
        "wasted_pct": 100 * wasted_share(run.calls, by_primary & ~late),
    }
    if incident is not None:
        detected = next((at for at, keeps in run.switches if keeps and at >= incident.start), None)
        row["detect_s"] = None if detected is None else detected - incident.start
        row["detect_calls"] = None if detected is None else calls_between(run.calls, incident.start, detected)
        row["late_in_incident"] = int(np.sum(late & during(run.arrived, incident.start, incident.end)))
        row["recover_s"] = recovery_s(run.arrived, by_primary & ~late, incident.end)
    row["driver_lag_p99_ms"] = 1000 * float(np.quantile(run.lags, 0.99)) if run.lags else None
    return row | run.more


def during(times: Sequence[float], start: float, end: float) -> NDArray[np.bool_]:
    """Which of the times lie in [start, end)."""
    at = np.array(times)
    return (at >= start) & (at < end)


def calls_between(calls: Sequence[Call], start: float, end: float) -> int:
    """How many calls of the primary that began from ``start`` on had ended by ``end``."""
    return sum(call.started >= start and call.ended <= end for call in calls)


def recovery_s(arrived: Sequence[float], good: NDArray[np.bool_], end: float) -> float | None:
    """Seconds after ``end`` until answers are again the primary's and on time; None if they are not again.

    That is the first good request from ``end`` on of which, with the following, 18 of 20 are good.
    """
    from_end = [at for at, moment in enumerate(arrived) if moment >= end]
    for at in from_end:
        following = good[at : at + WITHIN]
        if good[at] and len(following) == WITHIN and following.sum() >= HEALTHY:
            return arrived[at] - end
    return None


def wasted_share(calls: Sequence[Call], used: NDArray[np.bool_]) -> float:
    """The share of the primary's time that went into pairs of requests which did not use it: answered by another rung,
    or too late. A call's time is divided among its pairs. 0 without calls.
    """
    total = lost = 0.0
    for call in calls:
        seconds = call.ended - call.started
        pairs = sum(call.pairs.values())
        # Requests below 0 are those of the warm-up.
        unused = sum(count for request, count in call.pairs.items() if request >= 0 and not used[request])
        total += seconds
        lost += seconds * unused / pairs
    return lost / total if total else 0.0
