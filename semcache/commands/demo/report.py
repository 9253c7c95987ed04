"""A demo result as tables for a terminal of 80 columns."""

from collections import Counter
from collections.abc import Iterator, Sequence
from statistics import mean, median
from typing import Any

from rich.box import SIMPLE
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from semcache.commands.demo.replay import TOP_K, Served
from semcache.commands.demo.run import DemoResult
from semcache.degradation.monitor import nearest_rank_p95
from semcache.ranking import Status

_MEANING = {
    Status.EXACT: "asked before, every score known: no model call",
    Status.SEMANTIC: "a trusted rewording was asked before: no reranker call",
    Status.VERIFIED: "a near query told which documents need no asking",
    Status.PARTIAL: "asked before, only new or changed documents scored",
    Status.PRUNED: "a new query, cut by what earlier scores taught (prune.mode: on)",
    Status.FRESH: "nothing known, every document scored",
    Status.DEGRADED: "the primary was slow: answered by the embedding fallback",
}


def report(result: DemoResult) -> RenderableType:
    """Requests by status, the time with and without the cache, and what was degraded when."""
    statuses = Table(title="Requests by status", title_justify="left", box=SIMPLE, show_footer=True, pad_edge=False)
    _, *totals = _row("all", result.served, len(result.served))
    statuses.add_column("status", "all")
    for heading, total in zip(("requests", "share", "p50", "p95", "pairs asked", "avoided"), totals, strict=True):
        # The share of all requests is always 100 %.
        statuses.add_column(heading, "" if heading == "share" else total, justify="right", no_wrap=True)
    for status in Status:
        members = [served for served in result.served if served.ranking.status is status]
        statuses.add_row(*_row(f"[bold]{status}[/bold]", members, len(result.served)))
    transitions = Table("at request", "breaker", "because", box=SIMPLE, pad_edge=False)
    for number, change in result.transitions:
        transitions.add_row(str(number), f"{change.old} -> [bold]{change.new}[/bold]", escape(change.reason))
    legend = "\n".join(f"{status:<9} {_MEANING[status]}" for status in Status)
    return Group(
        statuses,
        _time(result),
        *_degraded(result),
        *([transitions] if result.transitions else []),
        Text(legend, style="dim"),
    )


def figures(result: DemoResult) -> dict[str, Any]:
    """The figures of the report as plain values: counts by status, pairs, and the seconds that callers waited."""
    asked, avoided = pairs_of(result.served)
    return {
        "requests": len(result.served),
        "statuses": {
            status.value: sum(served.ranking.status is status for served in result.served) for status in Status
        },
        "pairs_asked": asked,
        "pairs_avoided": avoided,
        "with_cache_s": total_with_s(result),
        "without_cache_s": total_without_s(result),
    }


def _row(name: str, served: Sequence[Served], requests: int) -> Iterator[str]:
    yield name
    yield str(len(served))
    yield f"{len(served) / requests:.0%}"
    # A status that did not occur has no latency; its remaining cells stay empty.
    if served:
        durations = [answered.duration_s for answered in served]
        asked, avoided = pairs_of(served)
        yield from (_duration(median(durations)), _duration(p95(durations)), str(asked), str(avoided))


def _time(result: DemoResult) -> Table:
    with_s, without_s = total_with_s(result), total_without_s(result)
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(style="dim")
    table.add_row("with the cache", f"{with_s:.1f} s", "all requests, the slow spell included")
    made_again = f"mean of {len(result.uncached)} made again without it, times {len(result.served)}"
    table.add_row("without it", f"{without_s:.1f} s", made_again)
    table.add_row("", f"[bold]{without_s / with_s:.1f} x[/bold]", "faster")
    # The fallback orders by embedding, so the order of a degraded answer says nothing about the cache.
    compared = [again.overlap for again in result.uncached if again.served.ranking.status is not Status.DEGRADED]
    if compared:
        note = f"mean over the {len(compared)} of them that were not degraded"
        table.add_row(f"same top {TOP_K}", f"{mean(compared):.0%}", note)
    return table


def _degraded(result: DemoResult) -> Iterator[Text]:
    slow, degraded, reasons = [], [], Counter[str | None]()
    for number, served in enumerate(result.served):
        if served.is_slow_spell:
            slow.append(number)
        if served.ranking.status is Status.DEGRADED:
            degraded.append(number)
            reasons[served.ranking.reason] += 1
    if slow:
        yield Text(
            f"\nThe primary was made slow from request {slow[0]} to {slow[-1]}. "
            f"Its breaker opens when more than one call in twenty takes over {_duration(result.threshold_s)}."
        )
    if degraded:
        counts = ", ".join(f"{reason} {count}" for reason, count in reasons.most_common())
        yield Text(f"{len(degraded)} requests were degraded ({counts}), from {degraded[0]} to {degraded[-1]}.")


def pairs_of(served: Sequence[Served]) -> tuple[int, int]:
    """Pairs that the primary scored, and pairs that it would have scored without the cache and did not.

    A degraded answer counts in neither: the breaker, not the cache, kept its pairs from the primary.
    """
    answered = [each.ranking for each in served if each.ranking.status is not Status.DEGRADED]
    return sum(ranking.asked for ranking in answered), sum(ranking.reused for ranking in answered)


def p95(durations: Sequence[float]) -> float:
    """The nearest-rank p95 in seconds, as the breaker computes it; 0 for no durations."""
    return nearest_rank_p95(durations) or 0.0


def total_with_s(result: DemoResult) -> float:
    """The time that all callers together waited, in seconds."""
    return sum(served.duration_s for served in result.served)


def total_without_s(result: DemoResult) -> float:
    """The mean duration of the requests that were made again without a cache, times all requests, in seconds."""
    return mean(again.duration_s for again in result.uncached) * len(result.served)


def _duration(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1000:.{1 if seconds < 0.01 else 0}f} ms"
