"""A calibration as tables for a terminal of 80 columns."""

from collections.abc import Iterator, Sequence

from rich.box import SIMPLE
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from semcache.commands.calibration.advice import MIN_HITS
from semcache.commands.calibration.figures import Figures
from semcache.commands.calibration.paste import as_environment, as_yaml, recommended
from semcache.commands.calibration.result import Calibration
from semcache.commands.calibration.stored import MIN_SHARED

_CAVEAT = {
    "log": "Every earlier query counts as scored in full and not expired, so shares are those of a warm cache.",
    "cache": (
        "From entries, by the scores in them: an entry counts once however often it was asked for, only documents "
        f"count that near entries share ({MIN_SHARED} at least), and verified entries hold the best-looking documents "
        "only. This tells what near scores cost in order; hit and pair shares of traffic need a log."
    ),
}
_STORE_QUERIES = (
    "The cache keeps no query texts. SEMCACHE_CACHE__STORE_QUERIES=true keeps those of new entries, and their worst "
    "pairs are then shown here as text."
)
# Characters of a query: with the indent of 4 it stays on one line of 80 columns.
_QUERY_WIDTH = 72


def report(found: Calibration) -> RenderableType:
    """The advice and what following it would change, then the figures that it rests on."""
    basis = Text(
        f"\n{found.requests} {found.unit}, {found.pairs} pairs; {found.exact:.1%} repeat a query and its documents "
        f"exactly. Loss measured on {found.sampled} of them against the order of\n{found.reranker}. "
        f"{_CAVEAT[found.source]}"
    )
    without_guard = [_without_zero(row.loss) for row in found.unguarded]
    rounds = ["" if row.rounds is None else f"{row.rounds:.1f}" for row in found.verified]
    return Group(
        *_advice(found),
        basis,
        _figures(
            "Trusted: served without asking the reranker",
            found.trusted,
            found.trust.threshold,
            "no guard",
            without_guard,
        ),
        _figures(
            "Verified: asked only about what may reach the top 10",
            found.verified,
            found.reuse.threshold,
            "rounds",
            rounds,
        ),
        *_pruned(found),
        *_examples(found),
    )


def _figures(
    title: str, rows: Sequence[Figures], chosen: float | None, last_heading: str, last_column: Sequence[str]
) -> Table:
    table = Table(title=title, title_justify="left", box=SIMPLE, pad_edge=False, collapse_padding=True)
    headings = ("from", "hits", "pairs\navoided", "of all", "overlap", "loss", "95 %\ninterval", "worst\n5 %")
    for heading in (*headings, last_heading):
        table.add_column(heading, justify="right", no_wrap=True)
    for row, last in zip(rows, last_column, strict=True):
        # Too few hits give an interval that looks exact and is not; the advice ignores these rows too.
        interval = f"{_without_zero(row.low)}-{_without_zero(row.high)}" if row.sampled >= MIN_HITS else ""
        table.add_row(
            f"{row.threshold:.2f}",
            f"{row.hits:.1%}",
            "" if row.avoided_of_hits is None else f"{row.avoided_of_hits:.0%}",
            f"{row.avoided:.1%}",
            "" if row.overlap is None else f"{row.overlap:.1%}",
            _without_zero(row.loss),
            interval,
            _without_zero(row.worst),
            last,
            style="bold green" if row.threshold == chosen else "dim" if not row.sampled else None,
        )
    return table


def _pruned(found: Calibration) -> Iterator[RenderableType]:
    """The savings of pruning where nothing near is known."""
    chosen = None if found.prune is None else found.prune.threshold
    if found.pruned:
        title = "Pruned: nothing near is known, asked only about what may reach the top 10"
        table = Table(title=title, title_justify="left", box=SIMPLE, pad_edge=False, collapse_padding=True)
        for heading in ("confidence", "requests", "pairs\navoided", "loss", "95 %\ninterval", "worst\n5 %"):
            table.add_column(heading, justify="right", no_wrap=True)
        for row in found.pruned:
            interval = f"{_without_zero(row.low)}-{_without_zero(row.high)}"
            table.add_row(
                f"{row.confidence:g}",
                str(row.sampled),
                f"{row.avoided:.0%}",
                _without_zero(row.loss),
                interval,
                _without_zero(row.worst),
                style="bold green" if row.confidence == chosen else None,
            )
        yield table


def _without_zero(loss: float | None) -> str:
    """A loss without the zero before the point, for which 80 columns have no room."""
    return "" if loss is None else f"{loss:.4f}".removeprefix("0")


def _advice(found: Calibration) -> Iterator[RenderableType]:
    """The recommended settings with their reasons, as lines to paste, and the whole traffic now and with them."""
    table = Table.grid(padding=(0, 2))
    for name, advice in (("trust_threshold", found.trust), ("reuse_threshold", found.reuse)):
        value = "no advice" if advice.threshold is None else f"[bold green]{advice.threshold:g}[/bold green]"
        table.add_row(f"[bold]{name}[/bold]", value, escape(advice.reason))
    if found.prune is not None:
        value = "no advice" if found.prune.threshold is None else "[bold green]on[/bold green]"
        table.add_row("[bold]prune.mode[/bold]", value, escape(found.prune.reason))
    table.add_row(
        "[dim]budget[/dim]",
        f"[dim]{found.budget:g}[/dim]",
        f"[dim]mean loss; the upper bound must keep it (from {MIN_HITS} sampled hits on)[/dim]",
    )
    yield table
    settings = recommended(found)
    if settings:
        yield Text("\nFor your YAML file:", style="dim")
        yield Text(as_yaml(settings), no_wrap=True)
        yield Text("or for the environment:", style="dim")
        yield Text(as_environment(settings), no_wrap=True)
    else:
        yield Text("\nNothing to change: what is set keeps the budget, or nothing else was proven to.")
    traffic = Table(title="\nThe whole traffic", title_justify="left", box=SIMPLE, pad_edge=False)
    for heading in ("", "now", "then"):
        traffic.add_column(heading, justify="right" if heading else "left", no_wrap=True)
    now, then = found.now, found.then
    traffic.add_row("trust_threshold", f"{now.trust_threshold:g}", f"{then.trust_threshold:g}")
    traffic.add_row("reuse_threshold", f"{now.reuse_threshold:g}", f"{then.reuse_threshold:g}")
    for status in now.shares:
        traffic.add_row(status, f"{now.shares[status]:.1%}", f"{then.shares[status]:.1%}")
    traffic.add_row("pairs avoided", f"{now.avoided:.1%}", f"{then.avoided:.1%}")
    traffic.add_row("mean loss", f"{now.loss:.4f}", f"{then.loss:.4f}")
    yield traffic


def _examples(found: Calibration) -> Iterator[Text]:
    costly = [example for example in found.examples if example.query is not None and example.loss > 0]
    if costly:
        yield Text(f"Costliest pairs above the trust threshold in force ({found.now.trust_threshold:g}):")
    elif found.examples and found.source == "cache":
        yield Text(_STORE_QUERIES, style="dim")
    for example in costly:
        verdict = "refused by the guard" if example.is_guarded else "trusted"
        lines = [f"  loss {example.loss:.3f}, similarity {example.similarity:.3f}, {verdict}"]
        for query in (example.query, example.neighbour):
            text = query or "(not kept)"
            lines.append(f"    {text if len(text) <= _QUERY_WIDTH else f'{text[: _QUERY_WIDTH - 3]}...'}")
        yield Text("\n".join(lines))
