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
    "asked: of a known query": ("partial", "#CC79A7"),
    "avoided: skipped by what was learned": ("pruned", "#0072B2"),
    "avoided: skipped beside a near query": ("verified", "#56B4E9"),
    "avoided: of a known query": ("partial", "#9EDAE5"),
    "avoided: a trusted near query": ("semantic", "#999999"),
    "avoided: asked before": ("exact", "#009E73"),
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

    figure, rows = pyplot.subplots(len(streams), 2, figsize=(13, 9), layout="constrained", squeeze=False)
    for (left, right), (title, modes) in zip(rows, streams.items(), strict=True):
        _by_reason(left, modes[mode])
        left.set(title=f"{title}, {mode}: every pair by reason")
        for name, found in modes.items():
            right.plot(found["requests"], 100 * avoided(found), label=name, lw=1.8)
        right.set(title=f"{title}: pairs avoided, by mode")
        right.legend(fontsize="small", loc="lower right", framealpha=0.9)
        right.grid(visible=True, alpha=0.3)
        for axes in (left, right):
            requests = modes[mode]["requests"]
            axes.set(
                xlabel="requests", xlim=(0, requests[-1]), ylabel=f"% of pairs, last {WINDOW} requests", ylim=(0, 100)
            )
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _by_reason(axes: Any, found: Mapping[str, Any]) -> None:
    occurring = [reason for reason in REASONS if any(found[reason])]
    axes.stackplot(
        found["requests"],
        *(100 * np.array(found[reason]) for reason in occurring),
        labels=occurring,
        colors=[REASONS[reason][1] for reason in occurring],
    )
    # The legend in the order of the layers, the topmost first.
    handles, labels = axes.get_legend_handles_labels()
    axes.legend(handles[::-1], labels[::-1], fontsize="x-small", loc="lower left", framealpha=0.9)
