"""Draws the share of risky and of harmless pairs that is trusted, without and with the guard."""

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.experiment import ExperimentResult

Shares = Mapping[str, tuple[float, float]]
"""By label: share trusted by similarity alone, and with the guard."""


def draw(result: ExperimentResult, path: Path) -> None:
    """Two panels: trust that is wrong, where bars should be short, and trust that is right."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, 2, figsize=(11, 6))
    _bars(panels[0], shares(result, "wrong"), "Trust would be wrong")
    _bars(panels[1], shares(result, "right"), "Trust is right")
    panels[1].legend(loc="lower right", fontsize="small")
    figure.suptitle("Pairs trusted by similarity, and what the guard leaves of them")
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def shares(result: ExperimentResult, label: str) -> Shares:
    """Own pairs by kind at 0.90, where most of them are near enough; rewrites and qqp at both thresholds."""
    sums: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    for row in result.rows:
        if row["trust is"] == label and "pairs" in row:
            for name, threshold in _bars_of(row):
                counts = row["pairs"], row[f"near {threshold}"], row[f"left {threshold}"]
                sums[name] = [total + count for total, count in zip(sums[name], counts, strict=True)]
    return {f"{name} (n={whole:,})": (near / whole, agreed / whole) for name, (whole, near, agreed) in sums.items()}


def _bars_of(row: Mapping[str, Any]) -> list[tuple[str, str]]:
    if row["set"] == "own":
        return [(f"{row['kind']}, 0.90", "0.90")]
    return [(f"{row['set']}, {threshold}", threshold) for threshold in ("0.90", "0.97")]


def _bars(panel: Any, values: Shares, title: str) -> None:
    rows = range(len(values))
    for offset, (label, index, colour) in enumerate((("similarity", 0, "#b0b0b0"), ("similarity and guard", 1, "C0"))):
        bars = [100 * pair[index] for pair in values.values()]
        drawn = panel.barh([row + 0.4 * offset for row in rows], bars, height=0.38, label=label, color=colour)
        panel.bar_label(drawn, fmt="%.1f", padding=2, fontsize=7)
    panel.set_yticks([row + 0.2 for row in rows], list(values), fontsize=8)
    panel.invert_yaxis()
    panel.set(title=title, xlabel="share of the pairs that is trusted, %", xlim=(0, 112))
    panel.grid(visible=True, axis="x", alpha=0.3)
