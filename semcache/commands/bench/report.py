"""What was measured, as a table for a terminal of 80 columns."""

from collections.abc import Iterator

from rich.box import SIMPLE
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from semcache.commands.bench.measuring import Timing
from semcache.commands.bench.operations import (
    EMBED,
    EXACT,
    GET,
    MISS,
    NEIGHBOURS,
    PING,
    REMEMBER,
    REQUEST,
    RERANK,
    SEMANTIC,
)
from semcache.commands.bench.result import Options, Result


def report(result: Result) -> RenderableType:
    """What it was measured on, the table, the ratios."""
    return Group(_head(result), _table(result), _ratios(result), *_foot(result))


def _head(result: Result) -> Table:
    options, machine = result.options, result.machine
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    entries = (
        f"{options.entries:,}, synthetic: random unit vectors of {result.dims} dims with {options.documents} "
        "random scores each, in a namespace of their own that is gone now"
    )
    server = f"{result.where}, version {machine['redis_server']}, search {machine['search_module'] or 'unknown'}"
    cpu = f"{machine['cores']} cores of {machine['cpu']}, load before {machine['load_before']}"
    for what, said in (
        ("entries", entries),
        ("server", server),
        ("embedder", result.embedder or "none"),
        ("reranker", result.reranker or "none"),
        ("machine", cpu),
        ("semcache", f"{machine['semcache']}, Python {machine['python']}"),
    ):
        table.add_row(what, escape(said))
    return table


def _table(result: Result) -> Table:
    table = Table("operation", box=SIMPLE, pad_edge=False)
    for heading in ("calls", "p50 ms", "p95 ms", "p99 ms"):
        table.add_column(heading, justify="right", no_wrap=True)
    labels = _labels(result.options)
    for name, timing in result.timings.items():
        table.add_row(escape(labels[name]), *_cells(timing))
    return table


def _labels(options: Options) -> dict[str, str]:
    return {
        PING: "PING",
        GET: "GET of an entry's scores, bare redis-py",
        EXACT: f"exact hit, {options.documents} documents",
        SEMANTIC: "semantic hit, vector given",
        MISS: "miss, vector given",
        NEIGHBOURS: "neighbours (KNN and scores)",
        REQUEST: "whole request through the pipeline, exact",
        REMEMBER: "remember, vector given",
        EMBED: "embed one query",
        RERANK: f"rerank {options.documents} passages afresh",
    }


def _cells(timing: Timing) -> Iterator[str]:
    yield f"{timing.n:,}"
    for value in (timing.p50_ms, timing.p95_ms, timing.p99_ms):
        yield "" if value is None else _shown(value)


def _shown(value: float) -> str:
    """Three digits."""
    return f"{value:,.{2 if value < 10 else 1 if value < 100 else 0}f}" if value >= 1 else f"{value:.3f}"


def _ratios(result: Result) -> Table:
    table = Table(box=SIMPLE, pad_edge=False)
    table.add_column("p50 of one / p50 of the other", no_wrap=True)
    table.add_column("times", justify="right", no_wrap=True)
    for ratio in result.ratios():
        table.add_row(ratio.meaning, f"[bold]{_shown(ratio.value)}[/bold]")
    return table


def _foot(result: Result) -> Iterator[Text]:
    timings = result.timings.values()
    if any(timing.p99_ms is None for timing in timings):
        yield Text("blank: too few calls for that quantile; --seconds allows more", style="dim")
