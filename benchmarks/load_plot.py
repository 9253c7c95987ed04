"""Plots of the load lab: who answered in time, an incident and an overload over time, and concurrent callers."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.load_figures import PRIMARY, Run
from benchmarks.load_scenarios import THRESHOLD_S

Rows = Sequence[Mapping[str, Any]]

# Told apart also by those who do not see red and green (Okabe and Ito).
COLOURS = {
    "no protection": "#999999",
    "old toggle": "#e69f00",
    "pybreaker": "#cc79a7",
    "purgatory": "#56b4e9",
    "semcache": "#006d4f",
}
_PARTS = (
    ("by the primary, in time", "primary_in_time_pct", "#006d4f"),
    ("by the fallback, in time", "fallback_in_time_pct", "#b9d6e8"),
    ("late or failed", "late_or_failed_pct", "#d55e00"),
)
_OF_CALLERS = ("#999999", "#e69f00", "#006d4f")
_ACROSS = 4


def draw(rows: Rows, timelines: Mapping[str, Mapping[str, Any]], batching: Rows, path: Path) -> None:
    """One page: who answered in each scenario, two of them over time, and concurrent callers."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    names = list(dict.fromkeys(row["scenario"] for row in rows))
    models = list(dict.fromkeys((row["model"], row["texts"]) for row in batching))
    blocks = [1.7 * -(-len(names) // _ACROSS) if names else 0, 4.0 if timelines else 0, 4.0 if models else 0]
    kept = [height for height in blocks if height]
    figure = pyplot.figure(figsize=(14, sum(kept) + 0.6), layout="constrained")
    areas = iter(figure.subfigures(len(kept), 1, height_ratios=kept, squeeze=False)[:, 0])
    if names:
        _shares(next(areas), names, rows)
    if timelines:
        _over_time(next(areas), timelines)
    if models:
        _callers(next(areas), models, batching)
    figure.savefig(path, dpi=100)
    pyplot.close(figure)


def _shares(area: Any, names: Sequence[str], rows: Rows) -> None:
    """A small chart per scenario with a bar per side."""
    area.suptitle(f"Who answered, and was it within T = {THRESHOLD_S:g} s? Share of requests, %", fontsize=12)
    charts = area.subplots(-(-len(names) // _ACROSS), _ACROSS, sharex=True, squeeze=False)
    for number, axes in enumerate(charts.flat):
        if number >= len(names):
            axes.set_axis_off()
            continue
        own = [row for row in rows if row["scenario"] == names[number]]
        lefts = np.zeros(len(own))
        for part, column, colour in _PARTS:
            values = np.array([row[column] for row in own])
            axes.barh(range(len(own)), values, left=lefts, color=colour, label=part, height=0.8)
            lefts += values
        axes.set_yticks(range(len(own)), [row["side"] for row in own], fontsize=8)
        axes.invert_yaxis()
        axes.set_xlim(0, 100)
        axes.set_title(names[number], fontsize=10, loc="left")
        axes.spines[["top", "right"]].set_visible(False)
    area.legend(*charts.flat[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=9)


def _over_time(area: Any, timelines: Mapping[str, Mapping[str, Any]]) -> None:
    """The p95 of the answers by time of arrival, a chart per scenario."""
    charts = np.atleast_1d(area.subplots(1, len(timelines)))
    for axes, (name, sides) in zip(charts, timelines.items(), strict=True):
        if sides["incident"] is not None:
            axes.axvspan(*sides["incident"], color="#f6e3d7", label="incident")
        for side, colour in COLOURS.items():
            if side in sides:
                width = 2.6 if side == "semcache" else 1.4
                axes.plot(sides[side]["at"], sides[side]["p95_s"], color=colour, label=side, linewidth=width)
        axes.axhline(THRESHOLD_S, color="black", linestyle="--", linewidth=1, label="T")
        axes.set(title=name, xlabel="time of arrival, s", ylabel="p95 of answers, s", yscale="log")
        axes.grid(visible=True, alpha=0.3)
    area.legend(*charts[0].get_legend_handles_labels(), loc="outside lower center", ncols=7, fontsize=9)


def _callers(area: Any, models: Sequence[tuple[str, int]], rows: Rows) -> None:
    """Requests per second by the number of callers."""
    area.suptitle("One cross-encoder, many callers: requests per second", fontsize=12)
    charts = np.atleast_1d(area.subplots(1, len(models)))
    for axes, (model, texts) in zip(charts, models, strict=True):
        of_model = [row for row in rows if (row["model"], row["texts"]) == (model, texts)]
        for side, colour in zip(
            dict.fromkeys(row["side"] for row in of_model), ("#999999", "#e69f00", "#006d4f"), strict=True
        ):
            own = [row for row in of_model if row["side"] == side]
            points = [row["callers"] for row in own], [row["requests_per_s"] for row in own]
            axes.plot(*points, marker="o", color=colour, label=side, linewidth=2.6 if side == "semcache" else 1.4)
        callers = sorted({row["callers"] for row in of_model})
        axes.set_xscale("log", base=2)
        axes.set_xticks(callers, [str(number) for number in callers])
        axes.set_title(f"{model}, {texts} short texts a request", fontsize=10, loc="left")
        axes.set_xlabel("callers")
        axes.set_ylim(bottom=0)
        axes.grid(visible=True, alpha=0.3)
    area.legend(*charts[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=9)


def timeline(run: Run, step: float = 4.0) -> dict[str, list[float]]:
    """By time of arrival in steps of ``step`` seconds, empty ones left out: the share in percent of answers that were
    the primary's and in time, and the p95 of all answers in seconds.
    """
    arrived = np.array(run.arrived)
    took = np.array(run.answered) - arrived
    good = (took <= THRESHOLD_S) & [by == PRIMARY for by in run.by]
    slots = (arrived // step).astype(int)
    steps = np.unique(slots)
    return {
        "at": [float((slot + 0.5) * step) for slot in steps],
        "good_pct": [100 * float(good[slots == slot].mean()) for slot in steps],
        "p95_s": [float(np.quantile(took[slots == slot], 0.95)) for slot in steps],
    }
