"""Plots of the load lab: shares by scenario and side, a slow spell and an overload over time, and batching."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

COLOURS = {
    "no protection": "#9e9e9e",
    "old toggle": "#d98c3f",
    "pybreaker": "#8e6bb0",
    "purgatory": "#4c8fc4",
    "semcache": "#2c9c5e",
}
Rows = Sequence[Mapping[str, Any]]


def draw(rows: Rows, timelines: Mapping[str, Mapping[str, Any]], batching: Rows, path: Path) -> None:
    """One page: for every scenario who answered in time, two timelines, and throughput by callers."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure = pyplot.figure(figsize=(13, 15), layout="constrained")
    grid = figure.add_gridspec(3, 2, height_ratios=(1.5, 1, 1))
    shares = figure.add_subplot(grid[0, :])
    _shares(shares, rows)
    for at, (name, sides) in enumerate(list(timelines.items())[:2]):
        _timeline(figure.add_subplot(grid[1, at]), name, sides)
    for at, model in enumerate(dict.fromkeys(row["model"] for row in batching)):
        _batching(figure.add_subplot(grid[2, at]), model, [row for row in batching if row["model"] == model])
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _shares(axes: Any, rows: Rows) -> None:
    """A bar per scenario and side: answered by the primary in time, by the fallback in time, late or failed."""
    names = list(dict.fromkeys(row["scenario"] for row in rows))
    sides = list(dict.fromkeys(row["side"] for row in rows))
    parts = (
        ("by the primary, in time", "primary_in_time_pct", "#2c9c5e"),
        ("by the fallback, in time", "fallback_in_time_pct", "#bcd9ea"),
        ("late or failed", "late_or_failed_pct", "#c0392b"),
    )
    labels, places = [], []
    for block, name in enumerate(names):
        for at, side in enumerate(sides):
            row = next((row for row in rows if row["scenario"] == name and row["side"] == side), None)
            if row is None:
                continue
            place, left = block * (len(sides) + 1.6) + at, 0.0
            for part, column, colour in parts:
                label = part if not labels else None
                axes.barh(place, row[column], left=left, color=colour, label=label, height=0.85)
                left += row[column]
            labels.append(side)
            places.append(place)
        axes.text(0, block * (len(sides) + 1.6) - 0.75, name, fontweight="bold", fontsize=9, va="center")
    axes.set_yticks(places, labels, fontsize=8)
    axes.invert_yaxis()
    axes.set(xlim=(0, 100), xlabel="share of requests, %", title="Who answered, and was it in time (T = 2 s)?")
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.03), ncols=3, fontsize=9, frameon=False)


def _timeline(axes: Any, name: str, sides: Mapping[str, Any]) -> None:
    """Share of answers by the primary and in time, per 2 s of arrivals."""
    for side, line in sides.items():
        if side == "incident":
            if line is not None:
                axes.axvspan(*line, color="#f3d9d6", label="incident")
            continue
        width = 2.6 if side == "semcache" else 1.3
        axes.plot(line["at"], line["good_pct"], color=COLOURS[side], label=side, linewidth=width)
    axes.set(title=name, xlabel="time of arrival, s", ylabel="by the primary and in time, %", ylim=(-3, 103))
    axes.grid(visible=True, alpha=0.3)
    axes.legend(fontsize=8, loc="center right")


def _batching(axes: Any, model: str, rows: Rows) -> None:
    """Requests per second by the number of callers; p95 at each point."""
    for at, side in enumerate(dict.fromkeys(row["side"] for row in rows)):
        own = [row for row in rows if row["side"] == side]
        axes.plot(
            [row["callers"] for row in own], [row["requests_per_s"] for row in own], marker="os^D"[at % 4], label=side
        )
    axes.set_xscale("log", base=2)
    callers = sorted({row["callers"] for row in rows})
    axes.set_xticks(callers, [str(number) for number in callers])
    axes.set(title=f"Concurrent callers of one cross-encoder: {model}", xlabel="callers", ylabel="requests per second")
    axes.set_ylim(bottom=0)
    axes.grid(visible=True, alpha=0.3)
    axes.legend(fontsize=8)


def timeline(arrived: Sequence[float], good: Sequence[bool], step: float = 2.0) -> dict[str, list[float]]:
    """Share of good answers in percent by time of arrival, in steps of ``step`` seconds; empty steps are left out."""
    slots = (np.array(arrived) // step).astype(int)
    found = [(slot, np.array(good)[slots == slot].mean()) for slot in np.unique(slots)]
    return {"at": [float((slot + 0.5) * step) for slot, _ in found], "good_pct": [100 * float(of) for _, of in found]}
