"""What semcache promises of faults, and whether the rows keep it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from math import inf
from statistics import median
from typing import Any

from tests.faults.subjects import Semcache

Figures = Mapping[str, Any]
_FIRST_MS = 60.0
_LATER_MS = 2.0
_BACK_S = 1.0


def targets(rows: Iterable[Figures]) -> list[dict[str, str]]:
    """A line per promise: the bound, the worst row, and the median of the rows where a single one is mostly chance."""
    # What is reused of near queries is a matter of statistics, and has a table of its own.
    own = [row for row in rows if row["subject"] == Semcache.name and row["strikes"] != "near"]
    waiting = [row for row in own if _is_of_waiting(row)]
    returning = [row for row in own if row.get("heals") and row["strikes"] in ("network", "server")]
    lines = [
        _line(f"{name} requests", 0.0, "", own, lambda row, name=name: float(row[name]))
        for name in ("failed", "wrong", "unanswered")
    ]
    if waiting:
        first, later = _more_ms("first_second"), _more_ms("later")
        lines.append(_line("p99 of added, first second, frozen or slow", _FIRST_MS, " ms", waiting, first))
        lines.append(_line("the same, later", _LATER_MS, " ms", waiting, later))
    if returning:
        lines.append(_line("back after the end", _BACK_S, " s", returning, _back_s))
    return lines


def _is_of_waiting(row: Figures) -> bool:
    """Redis frozen or slow, and no network that changes what is said."""
    return row["fault"].startswith(("black hole", "replies after", "replies a byte", "stopped"))


def _more_ms(when: str) -> Callable[[Figures], float]:
    """How much longer the p99 was than before the fault; infinite where no request was answered."""

    def more_ms(row: Figures) -> float:
        p99_ms = row[when]["p99_ms"]
        return inf if p99_ms is None else max(0.0, p99_ms - (row["before"]["p99_ms"] or 0.0))

    return more_ms


def _back_s(row: Figures) -> float:
    return inf if row["recovered_s"] is None else float(row["recovered_s"])


def _line(
    figure: str, most: float, unit: str, rows: Sequence[Figures], value: Callable[[Figures], float]
) -> dict[str, str]:
    worst = max(rows, key=value)
    return {
        "figure": figure,
        "at most": f"{most:g}{unit}",
        "worst": _digits(value(worst)),
        "where": worst["fault"] if value(worst) > 0 else "",
        "median": _digits(median(map(value, rows))),
        "rows": str(len(rows)),
        "kept": "yes" if value(worst) <= most else "**no**",
    }


def _digits(value: float) -> str:
    return f"{value:.3g}"
