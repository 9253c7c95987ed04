"""Figures of a server as text for a terminal of any width."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from math import ceil
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from semcache.ranking import Status

SHOWN = frozenset(
    ("about", "happened", "latency", "now", "processes", "pruning", "quality", "redis", "rerankers", "started")
) | {"totals", "window", "wrong"}
"""The figures that a report needs."""
_BLOCKS = " ▁▂▃▄▅▆▇█"
_NARROW = 64
"""Columns below which only the most important ones of a table are shown."""
_TEXT = 62
"""Columns that the sums take without their lines of time."""
_LONGEST_LINE = 90
"""Two slots to a character, and no wider than the rest."""
_HALF_A_DAY_S = 43_200
"""A time of the clock that is longer ago is shown with its day."""
_LATEST = 3
"""Outages that are shown: what is wrong now stands at the top."""
_STYLES: Mapping[str, str] = {
    Status.EXACT: "blue",
    Status.SEMANTIC: "bright_blue",
    Status.VERIFIED: "green",
    Status.PARTIAL: "bright_green",
    Status.PRUNED: "magenta",
    Status.FRESH: "bright_black",
    Status.DEGRADED: "red",
}
_HELPED = (Status.EXACT, Status.SEMANTIC, Status.VERIFIED, Status.PARTIAL)
"""Hits, as the page and the dashboard count them."""


def report(shown: Mapping[str, Any], width: int) -> RenderableType:
    """The figures for a terminal of so many columns."""
    return Group(
        _head(shown),
        *_health(shown),
        Text(),
        _sums(shown, width),
        _statuses(shown, width),
        _ladder(shown, width),
        _state(shown),
        *_happened(shown),
    )


def _head(shown: Mapping[str, Any]) -> Text:
    about, processes = shown["about"], len(shown["processes"])
    parts = (
        about["namespace"],
        about["reranker"],
        f"{processes} process{'' if processes == 1 else 'es'}",
        f"last {shown['window']['name']}",
        f"as of {_clock(shown['now'])}",
    )
    return Text.assemble(("semcache ", "bold"), " · ".join(parts))


def _health(shown: Mapping[str, Any]) -> Iterator[Text]:
    if not shown["wrong"]:
        yield Text("All is well." if shown["totals"]["requests"] else "All is well. No requests yet.", style="green")
    for fault in shown["wrong"]:
        yield Text.assemble(
            (fault["what"], "bold red" if fault["level"] == "bad" else "bold yellow"), f" {fault['more']}"
        )
        yield Text(f"  {fault['remedy']}", style="dim")


def _sums(shown: Mapping[str, Any], width: int) -> Table:
    totals, window = shown["totals"], shown["window"]
    counts = {status: sum(window["by_status"][status]) for status in Status}
    requests, asked, avoided = sum(counts.values()), sum(window["asked"]), sum(window["avoided"])
    minutes = max(1.0, min(window["seconds"], shown["now"] - shown["started"])) / 60
    per_slot = [sum(column) for column in zip(*window["by_status"].values(), strict=True)]
    helped = [sum(column) for column in zip(*(window["by_status"][status] for status in _HELPED), strict=True)]
    reused = totals["pairs_reused"] + totals["pairs_skipped"]
    # Nothing can be seen of the time before the server was started.
    since = sum(at + window["slot_s"] <= shown["started"] for at in window["at"])
    room = min(_LONGEST_LINE, width - _TEXT)
    lines = (
        ("requests", f"{requests / minutes:,.1f} / min", f"{totals['requests']:,} since the start", per_slot),
        ("cache helped", _share(sum(counts[status] for status in _HELPED), requests), "of the requests", helped),
        ("pairs avoided", _share(avoided, asked + avoided), f"{reused:,} since the start", window["avoided"]),
        ("model time saved", f"{totals['saved_s']:,.1f} s", "since the start", ()),
        ("p95 latency", _seconds(shown["latency"]["all"]["p95_s"]), "", window["p95_s"]),
        ("waiting", f"{shown['rerankers'][0]['waiting_pairs']:,}", "pairs, for the primary", window["waiting"]),
    )
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True, style="bold")
    table.add_column(style="dim", no_wrap=True, max_width=24)
    for name, value, note, series in lines:
        cells = [name, value, *([note] if width >= _NARROW else [])]
        table.add_row(*cells, *([sparkline(series[since:], room)] if room >= 8 else []))
    return table


def _statuses(shown: Mapping[str, Any], width: int) -> Table:
    table = _table("status", "requests", "share", *(("p50", "p95", "p99") if width >= _NARROW else ("p95",)))
    latency = shown["latency"]
    for name in (*Status, "all"):
        seen = latency.get(name)
        if seen and seen["n"]:
            quantiles = ("p50_s", "p95_s", "p99_s") if width >= _NARROW else ("p95_s",)
            label = Text(str(name), style=_STYLES.get(name, "bold"))
            numbers = (f"{seen['n']:,}", _share(seen["n"], latency["all"]["n"]))
            table.add_row(label, *numbers, *(_seconds(seen[quantile]) for quantile in quantiles))
    return table


def _ladder(shown: Mapping[str, Any], width: int) -> Table:
    table = _table("rung", "breaker", "answers", *(("p95", "waiting") if width >= _NARROW else ()))
    for rung in shown["rerankers"]:
        states = ", ".join(
            f"{state} in {n}" if len(rung["states"]) > 1 else state for state, n in rung["states"].items()
        )
        style = "green" if set(rung["states"]) <= {"closed"} else "bold red"
        rest = (_seconds(rung["p95_s"]), f"{rung['waiting_pairs']:,}") if width >= _NARROW else ()
        table.add_row(escape(rung["reranker"]), Text(states, style=style), f"{rung['answers']:,}", *rest)
    return table


def _state(shown: Mapping[str, Any]) -> Table:
    """One line each for Redis, trust and pruning."""
    redis, quality, pruning, about = (shown[name] for name in ("redis", "quality", "pruning", "about"))
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column()
    there = f"up, {'about ' if redis['is_about'] else ''}{redis['entries'] or 0:,} entries"
    table.add_row("Redis", there if redis["up"] else Text("away", style="bold red"))
    threshold = quality["trust_threshold"]
    trusted = "nothing is trusted" if threshold is None else f"trusted from {threshold:g}"
    seen = sum(band["n"] for band in quality["bands"].values())
    verified = "" if about["reuse_threshold"] is None else f", verified from {about['reuse_threshold']:g}"
    table.add_row("trust", f"{trusted}{verified}; {seen:,} answers seen, budget {about['quality_budget']:g}")
    table.add_row("pruning", _pruning(pruning))
    return table


def _pruning(pruning: Mapping[str, Any]) -> str:
    if not pruning.get("n"):
        return f"{pruning['mode']}; nothing measured yet"
    loss = f"a mean loss of {pruning['loss']:.4f} (at most {pruning['loss_high']:.4f})"
    what = f"{pruning['avoided']:.0%} of the pairs at {loss}"
    return f"avoids {what}" if pruning["confidence"] is not None else f"would avoid {what}; not in force"


def _happened(shown: Mapping[str, Any]) -> Iterator[Text]:
    for event in shown["happened"][:_LATEST]:
        style = "green" if event["is_over"] else "red"
        at = _clock(event["at"]) if shown["now"] - event["at"] < _HALF_A_DAY_S else _day(event["at"])
        yield Text.assemble((f"{at} ", "dim"), (event["text"], style))
        if event["remedy"]:
            yield Text(f"  {event['remedy']}", style="dim")


def sparkline(values: Sequence[float | None], width: int) -> str:
    """The values as blocks of eight heights, in at most ``width`` characters; several values give their largest.

    Example:
        >>> sparkline([0, 1, 2, 4], 4)
        ' ▂▄█'
    """
    if not values or width < 1:
        return ""
    size = -(-len(values) // width)
    columns = [max(value or 0 for value in values[start : start + size]) for start in range(0, len(values), size)]
    most = max(columns)
    # What is above 0 is seen, however small.
    return "".join(_BLOCKS[ceil(8 * value / most)] if most else " " for value in columns)


def _table(*headings: str) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    for place, heading in enumerate(headings):
        # Where there is no room, the name in front is cut, and never a figure.
        table.add_column(heading, justify="right" if place else "left", overflow="ellipsis", no_wrap=bool(place))
    return table


def _share(part: float, whole: float) -> str:
    return f"{part / whole:.1%}" if whole else "-"


def _seconds(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1000:.{1 if seconds < 0.01 else 0}f} ms"


def _clock(at: float) -> str:
    return f"{datetime.fromtimestamp(at).astimezone():%H:%M:%S}"


def _day(at: float) -> str:
    return f"{datetime.fromtimestamp(at).astimezone():%d %b %H:%M:%S}"
