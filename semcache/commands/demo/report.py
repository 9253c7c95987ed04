"""What the demo found, as tables for a terminal of 80 columns."""

from collections import Counter
from collections.abc import Iterator, Sequence
from statistics import mean, median

from rich.box import SIMPLE
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from semcache.commands.demo.replay import TOP_K, Served
from semcache.commands.demo.run import Result
from semcache.degradation.monitor import nearest_rank_p95
from semcache.ranking import Status

_MEANING = {
    Status.EXACT: "asked before, every score known: no model call",
    Status.SEMANTIC: "a trusted rewording was asked before: no reranker call",
    Status.VERIFIED: "a near query told which documents need no asking",
    Status.PARTIAL: "asked before, only new or changed documents scored",
    Status.FRESH: "nothing known, every document scored",
    Status.DEGRADED: "the primary was slow: answered by the embedding fallback",
}


def report(result: Result) -> RenderableType:
    """Statuses, time, and what degraded when."""
    return Group(_statuses(result.served), _time(result), *_degraded(result))


def _statuses(served: Sequence[Served]) -> Table:
    table = Table(title="Requests by status", title_justify="left", box=SIMPLE, show_footer=True, pad_edge=False)
    pairs = [pairs_of([one]) for one in served]
    table.add_column("status", "all")
    for heading, footer in (
        ("requests", str(len(served))),
        ("share", ""),
        ("p50", _shown_s(median(one.duration_s for one in served))),
        ("p95", _shown_s(p95([one.duration_s for one in served]))),
        ("pairs asked", str(sum(asked for asked, _ in pairs))),
        ("avoided", str(sum(avoided for _, avoided in pairs))),
    ):
        table.add_column(heading, footer, justify="right", no_wrap=True)
    for status in Status:
        table.add_row(*_row(status, [one for one in served if one.ranking.status is status], len(served)))
    return table


def _row(status: Status, served: Sequence[Served], requests: int) -> Iterator[str]:
    yield f"[bold]{status}[/bold]"
    yield str(len(served))
    yield f"{len(served) / requests:.0%}"
    if served:
        durations = [one.duration_s for one in served]
        asked, avoided = pairs_of(served)
        yield from (_shown_s(median(durations)), _shown_s(p95(durations)), str(asked), str(avoided))


def _time(result: Result) -> Table:
    with_s, without_s = total_with_s(result), total_without_s(result)
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(style="dim")
    table.add_row("with the cache", f"{with_s:.1f} s", "all requests, the slow spell included")
    table.add_row(
        "without it",
        f"{without_s:.1f} s",
        f"mean of {len(result.uncached)} made again without it, times {len(result.served)}",
    )
    table.add_row("", f"[bold]{without_s / with_s:.1f} x[/bold]", "faster")
    compared = [one.overlap for one in result.uncached if one.served.ranking.status is not Status.DEGRADED]
    if compared:
        table.add_row(
            f"same top {TOP_K}",
            f"{mean(compared):.0%}",
            f"mean over the {len(compared)} of them that were not degraded",
        )
    return table


def _degraded(result: Result) -> Iterator[RenderableType]:
    slow = [number for number, one in enumerate(result.served) if one.is_slow_spell]
    degraded = [number for number, one in enumerate(result.served) if one.ranking.status is Status.DEGRADED]
    if slow:
        yield Text(
            f"\nThe primary was made slow from request {slow[0]} to {slow[-1]}. "
            f"Its breaker opens when more than one call in twenty takes over {_shown_s(result.threshold_s)}."
        )
    if degraded:
        why = Counter(result.served[number].ranking.reason for number in degraded)
        reasons = ", ".join(f"{reason} {count}" for reason, count in why.most_common())
        yield Text(f"{len(degraded)} requests were degraded ({reasons}), from {degraded[0]} to {degraded[-1]}.")
    if result.moves:
        yield _moves(result)
    legend = "\n".join(f"{status:<9} {_MEANING[status]}" for status in Status)
    yield Text(legend, style="dim")


def _moves(result: Result) -> Table:
    table = Table("at request", "breaker", "because", box=SIMPLE, pad_edge=False)
    for number, move in result.moves:
        table.add_row(str(number), f"{move.old} -> [bold]{move.new}[/bold]", escape(move.reason))
    return table


def pairs_of(served: Sequence[Served]) -> tuple[int, int]:
    """Pairs that the primary was asked about, and those that it would have been without the cache and was not.

    A degraded answer neither asks the primary nor spares it: without the breaker it would have been asked.
    """
    answered = [one.ranking for one in served if one.ranking.status is not Status.DEGRADED]
    return sum(ranking.asked for ranking in answered), sum(ranking.reused for ranking in answered)


def p95(durations: Sequence[float]) -> float:
    """The nearest-rank p95 in seconds."""
    return nearest_rank_p95(durations) or 0.0


def total_with_s(result: Result) -> float:
    """What all callers waited together, in seconds."""
    return sum(one.duration_s for one in result.served)


def total_without_s(result: Result) -> float:
    """The mean of the sample made again without a cache, times all requests, in seconds."""
    return mean(one.duration_s for one in result.uncached) * len(result.served)


def _shown_s(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1000:.{1 if seconds < 0.01 else 0}f} ms"
