"""The latency of every request of the demo as a PNG."""

from collections.abc import Iterator
from pathlib import Path

from semcache.commands.demo.run import Result
from semcache.errors import ConfigurationError, MissingExtraError
from semcache.ranking import Status

# Told apart by colour and by shape, also by those who do not see all colours (Okabe and Ito, 2008).
_MARKS = {
    Status.EXACT: ("#009E73", "o"),
    Status.SEMANTIC: ("#56B4E9", "s"),
    Status.VERIFIED: ("#0072B2", "D"),
    Status.PARTIAL: ("#E69F00", "^"),
    Status.FRESH: ("#000000", "x"),
    Status.DEGRADED: ("#D55E00", "v"),
}


def check_plot(path: Path) -> None:
    """Raises before the replay what would prevent the plot after it: no matplotlib, or nowhere to write."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("matplotlib", "cli") from error
    if not path.parent.is_dir():
        raise ConfigurationError(f"cannot write the plot to {path}: there is no folder {path.parent}; make it first")


def plot(result: Result, path: Path) -> None:
    """Write the PNG. Latency is on a logarithmic axis: an exact hit and a slow call differ ten-thousandfold."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # Figure and canvas without pyplot, which would keep state and look for a display.
    figure = Figure(figsize=(10, 5), dpi=140, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    _shade(axes, result)
    for status, (colour, marker) in _MARKS.items():
        at = [number for number, one in enumerate(result.served) if one.ranking.status is status]
        latency_ms = [result.served[number].duration_s * 1000 for number in at]
        axes.scatter(at, latency_ms, s=20, c=colour, marker=marker, linewidths=1, label=f"{status} ({len(at)})")
    axes.axhline(result.threshold_s * 1000, color="0.4", linewidth=0.8, linestyle="--", label="p95 threshold")
    axes.set(yscale="log", xlabel="request", ylabel="latency (ms, logarithmic)", xlim=(-2, len(result.served) + 1))
    axes.set_title("semcache demo: latency of every request, by where its answer came from")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", alpha=0.25)
    figure.legend(loc="outside right upper", frameon=False)
    figure.savefig(path)


def _shade(axes: object, result: Result) -> None:
    slow = [number for number, one in enumerate(result.served) if one.is_slow_spell]
    if slow:
        axes.axvspan(slow[0] - 0.5, slow[-1] + 0.5, color="0.9", zorder=0, label="primary made slow")  # type: ignore[attr-defined]
    for place, (first, last) in enumerate(open_spells(result)):
        label = "breaker not closed" if place == 0 else None
        axes.axvspan(first, last, color="#D55E00", alpha=0.15, zorder=0, linewidth=0, label=label)  # type: ignore[attr-defined]


def open_spells(result: Result) -> Iterator[tuple[int, int]]:
    """First and last request of each time in which the breaker was not closed."""
    began: int | None = None
    for number, move in result.moves:
        if move.old == "closed":
            began = number
        if move.new == "closed" and began is not None:
            yield began, number
            began = None
    if began is not None:
        yield began, len(result.served)
