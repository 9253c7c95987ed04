"""A bench result as tables for a terminal of 80 columns."""

from rich.box import SIMPLE
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from semcache.commands.bench import operations
from semcache.commands.bench.result import BenchResult

# Longer labels would make the table wider than 80 columns. Operations are listed in the order of their measurement.
_LABELS = {
    operations.PING: "PING",
    operations.GET: "GET of an entry's scores, bare redis-py",
    operations.EXACT: "exact hit, {documents} documents",
    operations.SEMANTIC: "semantic hit, vector given",
    operations.MISS: "miss, vector given",
    operations.NEIGHBOURS: "neighbours (KNN and scores)",
    operations.REQUEST: "whole request through the pipeline, exact",
    operations.REMEMBER: "remember, vector given",
    operations.EMBED: "embed one query",
    operations.RERANK: "rerank {documents} passages afresh",
}


def report(result: BenchResult) -> RenderableType:
    """The circumstances, the timings and the ratios."""
    timings = Table("operation", box=SIMPLE, pad_edge=False)
    for heading in ("calls", "p50 ms", "p95 ms", "p99 ms"):
        timings.add_column(heading, justify="right", no_wrap=True)
    for name, timing in result.timings.items():
        label = _LABELS[name].format(documents=result.options.documents)
        quantiles = map(_three_digits, (timing.p50_ms, timing.p95_ms, timing.p99_ms))
        timings.add_row(escape(label), f"{timing.n:,}", *quantiles)
    ratios = Table(box=SIMPLE, pad_edge=False)
    ratios.add_column("p50 of one operation / p50 of another", no_wrap=True)
    ratios.add_column("times", justify="right", no_wrap=True)
    for ratio in result.ratios():
        ratios.add_row(ratio.meaning, f"[bold]{_three_digits(ratio.value)}[/bold]")
    notes = []
    if any(timing.p99_ms is None for timing in result.timings.values()):
        notes.append(Text("blank: too few calls for that quantile; --seconds allows more", style="dim"))
    return Group(_circumstances(result), timings, ratios, *notes)


def _circumstances(result: BenchResult) -> Table:
    options, machine = result.options, result.machine
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    for name, value in (
        (
            "entries",
            f"{options.entries:,}, synthetic: random unit vectors of {result.dims} dims with {options.documents} "
            "random scores each, in a namespace of their own that is gone now",
        ),
        (
            "server",
            f"{result.where}, version {machine['redis_server']}, search {machine['search_module'] or 'unknown'}",
        ),
        ("embedder", result.embedder or "none"),
        ("reranker", result.reranker or "none"),
        ("machine", f"{machine['cores']} cores of {machine['cpu']}, load before {machine['load_before']}"),
        ("semcache", f"{machine['semcache']}, Python {machine['python']}"),
    ):
        # Names of models and servers may hold square brackets, which rich would take for markup.
        table.add_row(name, escape(value))
    return table


def _three_digits(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.{2 if value < 10 else 1 if value < 100 else 0}f}" if value >= 1 else f"{value:.3f}"
