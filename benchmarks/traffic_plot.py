"""Plot of replayed streams: which pairs were asked and which avoided, by reason, and what each mode avoids."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.traffic_replay import Served

WINDOW = 200
"""Requests over which a share is taken, up to each point."""
POINTS = 120

REASONS: Mapping[str, tuple[str, str]] = {
    "asked: scored whole": ("fresh", "#D55E00"),
    "asked: could reach the top k": ("pruned", "#E69F00"),
    "asked: beside a near query": ("verified", "#F0E442"),
    "asked: of a query that came before": ("partial", "#CC79A7"),
    "avoided: skipped by what was learned": ("pruned", "#0072B2"),
    "avoided: skipped beside a near query": ("verified", "#56B4E9"),
    "avoided: of a query that came before": ("partial", "#9EDAE5"),
    "avoided: a trusted near query": ("semantic", "#999999"),
    "avoided: all asked before": ("exact", "#009E73"),
}
"""Name, status and colour, from the bottom of the plot to its top."""


def shares(served: Sequence[Served], depth: int) -> dict[str, Any]:
    """Shares of all pairs by reason over the last ``WINDOW`` requests, at ``POINTS`` points of the stream."""
    asked = np.array([answer.asked for answer in served]) / depth
    status = np.array([answer.status for answer in served])
    at = np.unique(np.linspace(1, len(served), POINTS, dtype=int))
    found: dict[str, Any] = {"requests": at.tolist()}
    for reason, (name, _) in REASONS.items():
        share = np.where(status == name, asked if reason.startswith("asked") else 1 - asked, 0.0)
        total = np.concatenate([[0.0], np.cumsum(share)])
        start = np.maximum(at - WINDOW, 0)
        found[reason] = ((total[at] - total[start]) / (at - start)).round(5).tolist()
    return found


def avoided(found: Mapping[str, Any]) -> np.ndarray:
    """The share of pairs avoided, from the output of ``shares``."""
    return np.sum([found[reason] for reason in REASONS if reason.startswith("avoided")], axis=0)


def plot(streams: Mapping[str, Mapping[str, Mapping[str, Any]]], mode: str, path: Path) -> None:
    """One row per stream: its pairs by reason in one mode, and what each mode avoids.

    ``streams`` has the output of ``shares`` by title and mode.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    occurring = [reason for reason in REASONS if any(any(modes[mode][reason]) for modes in streams.values())]
    figure, rows = pyplot.subplots(len(streams), 2, figsize=(13, 9), layout="constrained", squeeze=False)
    for (left, right), (title, modes) in zip(rows, streams.items(), strict=True):
        chosen = modes[mode]
        left.stackplot(
            chosen["requests"],
            *(100 * np.array(chosen[reason]) for reason in occurring),
            labels=occurring,
            colors=[REASONS[reason][1] for reason in occurring],
        )
        left.set(title=f"{title}, {mode}: every pair by reason")
        for name, found in modes.items():
            # Measuring changes no answer, so that its line would hide the one of "off".
            style = "--" if name == "measure" else "-"
            right.plot(found["requests"], 100 * avoided(found), style, label=name, lw=1.8)
        right.set(title=f"{title}: pairs avoided, by mode")
        right.legend(fontsize="small", loc="best", framealpha=0.9)
        right.grid(visible=True, alpha=0.3)
        for axes in (left, right):
            axes.set(xlabel="requests", xlim=(0, chosen["requests"][-1]), ylim=(0, 100))
            axes.set_ylabel(f"% of pairs, last {WINDOW} requests")
    figure.legend(*rows[0, 0].get_legend_handles_labels(), fontsize="small", loc="outside lower center", ncols=3)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
