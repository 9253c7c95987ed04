"""What a calibration found, as tables for a terminal of 80 columns."""

from collections.abc import Iterator, Sequence

from rich.box import SIMPLE
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from semcache.commands.calibration.advice import MIN_HITS
from semcache.commands.calibration.figures import Figures
from semcache.commands.calibration.result import Calibration, Example
from semcache.commands.calibration.stored import MIN_SHARED

_FROM_CACHE = (
    f"From entries, by the scores in them: an entry counts once however often it was asked for, only documents count "
    f"that near entries share ({MIN_SHARED} at least), and verified entries hold the best-looking documents only. "
    "This tells what near scores cost in order; hit and pair shares of traffic need a log."
)
_FROM_LOG = "Every earlier query counts as scored in full and not expired, so shares are those of a warm cache."
_STORE_QUERIES = (
    "The cache keeps no query texts. SEMCACHE_CACHE__STORE_QUERIES=true keeps those of new entries, and their worst "
    "pairs are then shown here as text."
)


def report(found: Calibration) -> RenderableType:
    """Both kinds of reuse by threshold, the advice, and what it would change."""
    return Group(_head(found), *_tables(found), _advice(found), _outlooks(found), *_examples(found))


def _head(found: Calibration) -> Text:
    what = "requests" if found.source == "log" else "entries"
    return Text(
        f"{found.requests} {what}, {found.pairs} pairs; {found.exact:.1%} repeat a query and its documents exactly. "
        f"Loss measured on {found.sampled} of them against the order of\n{found.reranker}. "
        + (_FROM_LOG if found.source == "log" else _FROM_CACHE)
    )


def _tables(found: Calibration) -> Iterator[RenderableType]:
    yield _table("Trusted: served without asking the reranker", found.trusted, found.unguarded, found)
    yield _table("Verified: asked only about what may reach the top 10", found.verified, None, found)


def _table(title: str, rows: Sequence[Figures], bare: Sequence[Figures] | None, found: Calibration) -> Table:
    table = Table(title=title, title_justify="left", box=SIMPLE, pad_edge=False, collapse_padding=True)
    last = "rounds" if bare is None else "no guard"
    chosen = (found.reuse if bare is None else found.trust).threshold
    for heading in (
        "from",
        "hits",
        "pairs\navoided",
        "of all",
        "overlap",
        "loss",
        "95 %\ninterval",
        "worst\n5 %",
        last,
    ):
        table.add_column(heading, justify="right", no_wrap=True)
    for place, row in enumerate(rows):
        more = _number(row.rounds, ".1f") if bare is None else _loss(bare[place].loss)
        style = "bold green" if row.threshold == chosen else "dim" if not row.sampled else None
        table.add_row(*_cells(row), more, style=style)
    return table


def _cells(row: Figures) -> Iterator[str]:
    yield f"{row.threshold:.2f}"
    yield f"{row.hits:.1%}"
    yield _number(row.avoided_of_hits, ".0%")
    yield f"{row.avoided:.1%}"
    yield _number(row.overlap, ".1%")
    yield _loss(row.loss)
    yield f"{_loss(row.low)}-{_loss(row.high)}" if row.sampled >= MIN_HITS else ""
    yield _loss(row.worst)


def _number(value: float | None, shape: str) -> str:
    return "" if value is None else format(value, shape)


def _loss(value: float | None) -> str:
    """Without the nought before the point, which would not fit into 80 columns."""
    return _number(value, ".4f").removeprefix("0")


def _advice(found: Calibration) -> Table:
    table = Table.grid(padding=(0, 2))
    for name, advice in (("trust_threshold", found.trust), ("reuse_threshold", found.reuse)):
        value = "no advice" if advice.threshold is None else f"[bold green]{advice.threshold:g}[/bold green]"
        table.add_row(f"[bold]{name}[/bold]", value, escape(advice.reason))
    table.add_row(
        "[dim]budget[/dim]",
        f"[dim]{found.budget:g}[/dim]",
        f"[dim]mean loss; the upper bound must keep it (from {MIN_HITS} sampled hits on)[/dim]",
    )
    return table


def _outlooks(found: Calibration) -> Table:
    table = Table(title="\nThe whole traffic", title_justify="left", box=SIMPLE, pad_edge=False)
    for heading in ("", "now", "then"):
        table.add_column(heading, justify="right" if heading else "left", no_wrap=True)
    both = (found.now, found.then)
    table.add_row("trust_threshold", *(f"{one.trust_threshold:g}" for one in both))
    table.add_row("reuse_threshold", *(f"{one.reuse_threshold:g}" for one in both))
    for status in found.now.shares:
        table.add_row(status, *(f"{one.shares[status]:.1%}" for one in both))
    table.add_row("pairs avoided", *(f"{one.avoided:.1%}" for one in both))
    table.add_row("mean loss", *(f"{one.loss:.4f}" for one in both))
    return table


def _examples(found: Calibration) -> Iterator[RenderableType]:
    told = [example for example in found.examples if example.query is not None and example.loss > 0]
    if told:
        yield Text(f"Costliest pairs above the trust threshold in force ({found.now.trust_threshold:g}):")
        yield from map(_example, told)
    elif found.examples and found.source == "cache":
        yield Text(_STORE_QUERIES, style="dim")


def _example(example: Example) -> Text:
    verdict = "refused by the guard" if example.is_guarded else "trusted"
    return Text(
        f"  loss {example.loss:.3f}, similarity {example.similarity:.3f}, {verdict}\n"
        f"    {_cut(example.query)}\n    {_cut(example.neighbour)}"
    )


def _cut(text: str | None) -> str:
    return "(not kept)" if text is None else text if len(text) <= 72 else f"{text[:71]}…"
