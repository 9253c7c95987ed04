"""Plots of results: growth curves and bars, drawn by matplotlib without a display."""

from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

Points = Sequence[tuple[float, float]]


def growth(series: Mapping[str, Points], path: Path, *, title: str, x: str, y: str, log_y: bool = True) -> None:
    """One line per series over a logarithmic x axis."""
    figure, axes = _axes(title, x, y)
    for number, (name, points) in enumerate(series.items()):
        # After ten lines the colours begin again, with another marker.
        axes.plot(*zip(*sorted(points), strict=True), marker="os^D"[number // 10 % 4], label=name)
    axes.set_xscale("log")
    if log_y:
        axes.set_yscale("log")
    axes.legend(fontsize="small", loc="upper left", bbox_to_anchor=(1, 1))
    _save(figure, path)


def timeline(series: Mapping[str, Points], path: Path, *, title: str, x: str, y: str) -> None:
    """One line per series from 0 up, over a linear x axis."""
    figure, axes = _axes(title, x, y)
    for name, points in series.items():
        axes.plot(*zip(*points, strict=True), label=name)
    axes.set_ylim(bottom=0)
    axes.legend(fontsize="small", loc="lower right")
    _save(figure, path)


def bars(values: Mapping[str, float], path: Path, *, title: str, x: str, log_x: bool = False) -> None:
    """One horizontal bar per name, labelled with its value."""
    figure, axes = _axes(title, x, "")
    drawn = axes.barh(list(values)[::-1], list(values.values())[::-1])
    labels = [f"{value:,.0f}" if value >= 1000 else f"{value:.3g}" for value in list(values.values())[::-1]]
    axes.bar_label(drawn, labels, padding=3, fontsize="small")
    if log_x:
        axes.set_xscale("log")
    axes.margins(x=0.15)
    _save(figure, path)


def stacked(parts: Mapping[str, Mapping[str, float]], path: Path, *, title: str, x: str) -> None:
    """One horizontal bar per name, split into its parts."""
    figure, axes = _axes(title, x, "")
    # A part begins where the parts before it in its own bar end; bars need not have the same parts.
    starts = [dict(zip(split, accumulate((0.0, *split.values())), strict=False)) for split in parts.values()]
    for part in dict.fromkeys(part for split in parts.values() for part in split):
        values = [split.get(part, 0.0) for split in parts.values()]
        axes.barh(list(parts), values, left=[start.get(part, 0.0) for start in starts], label=part)
    axes.legend(fontsize="small")
    _save(figure, path)


def _axes(title: str, x: str, y: str) -> tuple[Any, Any]:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(9, 4.5))
    axes.set(title=title, xlabel=x, ylabel=y)
    axes.grid(visible=True, alpha=0.3)
    return figure, axes


def _save(figure: Any, path: Path) -> None:
    from matplotlib import pyplot

    figure.tight_layout()
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
