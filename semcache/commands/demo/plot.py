"""The latency of every request of the demo as a PNG."""

from collections.abc import Iterator
from pathlib import Path

from semcache.commands.demo.run import DemoResult
from semcache.commands.files import empty_figure
from semcache.ranking import Status

# Colours that people with the usual kinds of colour blindness can tell apart (Okabe and Ito, 2008), and shapes, for
# prints without colours.
MARKS = {
    Status.EXACT: ("#009E73", "o", "asked before"),
    Status.SEMANTIC: ("#56B4E9", "s", "a trusted rewording"),
    Status.VERIFIED: ("#0072B2", "D", "near query, best ones scored"),
    Status.PARTIAL: ("#E69F00", "^", "only new documents scored"),
    Status.PRUNED: ("#CC79A7", "P", "new query, best ones scored"),
    Status.FRESH: ("#000000", "x", "all documents scored"),
    Status.DEGRADED: ("#D55E00", "v", "the fallback answered"),
}
"""How a status is drawn, and its meaning in few words."""


def plot(result: DemoResult, path: Path) -> None:
    """Write the PNG. Latency is on a logarithmic axis, since an exact hit and a slow call differ ten-thousandfold."""
    figure = empty_figure(11.5, 5)
    axes = figure.add_subplot()
    slow = [number for number, served in enumerate(result.served) if served.is_slow_spell]
    if slow:
        axes.axvspan(slow[0] - 0.5, slow[-1] + 0.5, color="0.9", zorder=0, label="primary made slow")
    label: str | None = "breaker not closed"
    for first, last in open_spells(result):
        axes.axvspan(first, last, color="#D55E00", alpha=0.15, zorder=0, linewidth=0, label=label)
        label = None  # one line in the legend for all spells
    for status, (colour, marker, meaning) in MARKS.items():
        numbers = [number for number, served in enumerate(result.served) if served.ranking.status is status]
        latency_ms = [result.served[number].duration_s * 1000 for number in numbers]
        if numbers:
            label = f"{status} ({len(numbers)}): {meaning}"
            axes.scatter(numbers, latency_ms, s=20, c=colour, marker=marker, linewidths=1, label=label)
    slow_label = f"slow from {duration(result.threshold_s * 1000)} on"
    axes.axhline(result.threshold_s * 1000, color="0.4", linewidth=0.8, linestyle="--", label=slow_label)
    axes.set(yscale="log", xlabel="request", ylabel="latency", xlim=(-2, len(result.served) + 1))
    axes.yaxis.set_major_formatter(lambda milliseconds, _: duration(milliseconds))
    axes.set_title("semcache demo: how long each request took, and where its answer came from", loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", alpha=0.25)
    figure.legend(loc="outside right upper", frameon=False)
    figure.savefig(path)


def duration(milliseconds: float) -> str:
    """A duration with its unit, as the axis shows it.

    Example:
        >>> duration(0.1), duration(10), duration(1000)
        ('0.1 ms', '10 ms', '1 s')
    """
    return f"{milliseconds / 1000:.3g} s" if milliseconds >= 1000 else f"{milliseconds:.3g} ms"


def open_spells(result: DemoResult) -> Iterator[tuple[int, int]]:
    """The first and last request of each time in which the breaker was not closed."""
    # From the first transition away from closed to the next one back: half-open and open again lie in between.
    began: int | None = None
    for number, transition in result.transitions:
        if transition.old == "closed":
            began = number
        if transition.new == "closed" and began is not None:
            yield began, number
            began = None
    if began is not None:
        yield began, len(result.served)
