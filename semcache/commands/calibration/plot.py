"""What a calibration found as a PNG: loss and savings by threshold."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from semcache.commands.calibration.advice import MIN_HITS
from semcache.commands.calibration.figures import THRESHOLDS, Figures
from semcache.commands.calibration.result import Calibration
from semcache.errors import ConfigurationError, MissingExtraError

# Told apart also by those who do not see all colours (Okabe and Ito, 2008).
_TRUSTED, _VERIFIED, _UNGUARDED = "#D55E00", "#0072B2", "#999999"


def check_plot(path: Path) -> None:
    """Raises before the work what would prevent the plot after it: no matplotlib, or nowhere to write."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("matplotlib", "cli") from error
    if not path.parent.is_dir():
        raise ConfigurationError(f"cannot write to {path}: there is no folder {path.parent}; make it first")


def plot(found: Calibration, path: Path) -> None:
    """Write the PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # Figure and canvas without pyplot, which would keep state and look for a display.
    figure = Figure(figsize=(11, 4.8), dpi=140, layout="constrained")
    FigureCanvasAgg(figure)
    loss, savings = figure.subplots(1, 2)
    _losses(loss, found)
    _savings(savings, found)
    for axes in (loss, savings):
        axes.set(xlabel="least similarity", xlim=(THRESHOLDS[0] - 0.01, 1.0))
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", alpha=0.25)
    what = "requests" if found.source == "log" else "entries"
    figure.suptitle(f"semcache calibrate: {found.requests} {what}, loss measured on {found.sampled}")
    figure.savefig(path)


def _losses(axes: Any, found: Calibration) -> None:
    for rows, colour, marker, name in (
        (found.trusted, _TRUSTED, "o", "trusted"),
        (found.verified, _VERIFIED, "D", "verified"),
    ):
        told = _told(rows)
        label = name if told else f"{name}: too few"
        at = [row.threshold for row in told]
        axes.plot(at, [row.loss for row in told], color=colour, marker=marker, markersize=4, label=label)
        axes.fill_between(at, [row.low for row in told], [row.high for row in told], color=colour, alpha=0.15, lw=0)
    bare = _told(found.unguarded)
    label = "trusted without guard" if bare else "trusted without guard: too few"
    axes.plot([row.threshold for row in bare], [row.loss for row in bare], color=_UNGUARDED, ls=":", label=label)
    axes.axhline(found.budget, color="0.3", lw=0.8, ls="--", label=f"budget {found.budget:g}")
    _mark(axes, found.trust.threshold, _TRUSTED)
    _mark(axes, found.reuse.threshold, _VERIFIED)
    axes.set(ylabel="loss (1 - nDCG of the top 10 against the fresh order)", ylim=(0, None))
    axes.set_title(f"mean loss of the hits, 95 % intervals\n(where {MIN_HITS} or more were sampled)", fontsize=9)
    axes.legend(frameon=False, fontsize=8)


def _told(rows: Sequence[Figures]) -> list[Figures]:
    return [row for row in rows if row.sampled >= MIN_HITS]


def _mark(axes: Any, threshold: float | None, colour: str) -> None:
    """A recommended threshold."""
    if threshold is not None:
        axes.axvline(threshold, color=colour, lw=0.8, ls="-.")


def _savings(axes: Any, found: Calibration) -> None:
    for rows, colour, marker, name in (
        (found.trusted, _TRUSTED, "o", "trusted"),
        (found.verified, _VERIFIED, "D", "verified"),
    ):
        at = [row.threshold for row in rows]
        hits, avoided = [100 * row.hits for row in rows], [100 * row.avoided for row in rows]
        axes.plot(at, avoided, color=colour, marker=marker, markersize=4, label=f"{name}: pairs avoided")
        axes.plot(at, hits, color=colour, ls=":", label=f"{name}: hits")
    _mark(axes, found.trust.threshold, _TRUSTED)
    _mark(axes, found.reuse.threshold, _VERIFIED)
    axes.set(ylabel="% of all requests, or of all pairs", ylim=(0, None))
    axes.set_title("what is saved\n(dash-dotted: recommended thresholds)", fontsize=9)
    axes.legend(frameon=False, fontsize=8)
