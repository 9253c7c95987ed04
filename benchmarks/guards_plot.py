"""Draws what each mode serves of the held-out question pairs, and what serving rewordings costs in ranking."""

from pathlib import Path
from typing import Any

from benchmarks.experiment import ExperimentResult
from benchmarks.guard_pairs import HELD_OUT

COLOURS = {"off": "#909090", "facts": "C0", "strict": "C2"}
_LABEL_AT = {"off": (6, -3), "facts": (-26, 3), "strict": (-8, -13)}


def draw(result: ExperimentResult, path: Path) -> None:
    """Two panels; each point is a threshold: pairs of both labels, and the worst requests by what is avoided."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, 2, figsize=(12, 5))
    _pairs(panels[0], result)
    _ranking(panels[1], next(iter(result.more.values())))
    panels[0].legend(title="guard", fontsize="small")
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def _pairs(panel: Any, result: ExperimentResult) -> None:
    rows = [row for row in result.rows if row["set"] == HELD_OUT]
    same, other = ([row for row in rows if row["pairs that ask"] == label] for label in ("the same", "something else"))
    for mode, colour in COLOURS.items():
        x, y = ([100 * row[f"served, {mode}"] / row["pairs"] for row in side] for side in (other, same))
        panel.plot(x, y, "o-", color=colour, label=mode)
        for row, *point in zip(same, x, y, strict=True):
            panel.annotate(
                row["similarity from"], point, _LABEL_AT[mode], textcoords="offset points", fontsize=7, color=colour
            )
    panel.axvline(5, color="black", linewidth=0.5, linestyle=":")
    panel.axhline(50, color="black", linewidth=0.5, linestyle=":")
    panel.set(
        title=f"{HELD_OUT}: served from a similarity on",
        xlabel="pairs that ask something else, % served",
        ylabel="pairs that ask the same, % served",
    )
    panel.grid(visible=True, alpha=0.3)


def _ranking(panel: Any, rows: Any) -> None:
    for mode, colour in COLOURS.items():
        mine = [row for row in rows if row["guard"] == mode and row["similarity"].endswith("and up")]
        x = [row["of all from 0.90, %"] for row in mine]
        y = [float(row["mean of the worst 5 %"]) for row in mine]
        panel.plot(x, y, "o-", color=colour)
        for row, *point in zip(mine, x, y, strict=True):
            panel.annotate(
                row["similarity"][:4], point, _LABEL_AT[mode], textcoords="offset points", fontsize=7, color=colour
            )
    panel.set(
        title="TREC DL 2019 rewordings, served unasked",
        xlabel="requests served, % of those at similarity 0.90 and up",
        ylabel="change of nDCG@10, mean of the worst 5 %",
    )
    panel.grid(visible=True, alpha=0.3)
