"""A calibration as a PNG: loss and savings by threshold."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from semcache.commands.calibration.advice import MIN_HITS
from semcache.commands.calibration.figures import THRESHOLDS, Figures
from semcache.commands.calibration.result import Calibration
from semcache.commands.files import empty_figure

# Colours that people with the usual kinds of colour blindness can tell apart (Okabe and Ito, 2008).
_TRUSTED, _VERIFIED, _UNGUARDED = "#D55E00", "#0072B2", "#999999"


def plot(found: Calibration, path: Path) -> None:
    """Write the PNG."""
    figure = empty_figure(11, 4.8)
    loss, savings = figure.subplots(1, 2)
    for rows, colour, marker, name in (
        (found.trusted, _TRUSTED, "o", "trusted"),
        (found.verified, _VERIFIED, "D", "verified"),
    ):
        _plot_loss(loss, rows, name, {"color": colour, "marker": marker, "markersize": 4})
        at = [row.threshold for row in rows]
        avoided, hits = [100 * row.avoided for row in rows], [100 * row.hits for row in rows]
        savings.plot(at, avoided, color=colour, marker=marker, markersize=4, label=f"{name}: pairs avoided")
        savings.plot(at, hits, color=colour, ls=":", label=f"{name}: hits")
    _plot_loss(loss, found.unguarded, "trusted without guard", {"color": _UNGUARDED, "ls": ":"}, has_band=False)
    loss.axhline(found.budget, color="0.3", lw=0.8, ls="--", label=f"budget {found.budget:g}")
    loss.set(ylabel="loss (1 - nDCG of the top 10 against the fresh order)")
    loss.set_title(f"mean loss of the hits, 95 % intervals\n(where {MIN_HITS} or more were sampled)", fontsize=9)
    savings.set(ylabel="% of all requests, or of all pairs")
    savings.set_title("savings\n(dash-dotted: recommended thresholds)", fontsize=9)
    for axes in (loss, savings):
        for advice, colour in ((found.trust, _TRUSTED), (found.reuse, _VERIFIED)):
            if advice.threshold is not None:
                axes.axvline(advice.threshold, color=colour, lw=0.8, ls="-.")
        axes.set(xlabel="threshold (similarity)", xlim=(THRESHOLDS[0] - 0.01, 1.0), ylim=(0, None))
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", alpha=0.25)
        axes.legend(frameon=False, fontsize=8)
    figure.suptitle(f"semcache calibrate: {found.requests} {found.unit}, loss measured on {found.sampled}")
    figure.savefig(path)


def _plot_loss(axes: Any, rows: Sequence[Figures], name: str, style: dict[str, Any], *, has_band: bool = True) -> None:
    # A mean over a handful of hits would draw the eye by its extremes; the table has those rows too.
    shown = [row for row in rows if row.sampled >= MIN_HITS]
    at = [row.threshold for row in shown]
    axes.plot(at, [row.loss for row in shown], label=name if shown else f"{name}: too few", **style)
    if has_band:
        low, high = [row.low for row in shown], [row.high for row in shown]
        axes.fill_between(at, low, high, color=style["color"], alpha=0.15, lw=0)
