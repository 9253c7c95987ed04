"""All that decides about a query, as text for a terminal of 80 columns."""

from collections.abc import Iterator
from math import floor

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from semcache.commands.in_words import span
from semcache.commands.inspect.sight import EntryView, Sight, Thresholds

_STATUS = {
    "exact": "exact: all scores were computed for this query before; the reranker is not asked",
    "semantic": "semantic: a trusted near query's scores; the reranker is not asked",
}


def report(found: Sight) -> RenderableType:
    """The answer first, then the thresholds, the query's own entry, and the near ones."""
    return Group(*_answer(found), _circumstances(found), *_exact(found), *_near(found))


def _answer(found: Sight) -> Iterator[Text]:
    if found.answer is None:
        yield Text(_without_documents(found), style="bold")
        return
    answer = found.answer
    asked = f"{answer.status}: the reranker is asked about {answer.asked} of {answer.documents} documents"
    if answer.asked and answer.status in ("verified", "pruned"):
        asked += " at first, and about more as their scores require"
    if not answer.asked and answer.status not in _STATUS:
        asked = f"{answer.status}: a repetition; the reranker is not asked"
    yield Text(_STATUS.get(answer.status, asked), style="bold")
    if answer.why:
        yield Text(answer.why)


def _without_documents(found: Sight) -> str:
    trusted = [entry for entry in found.neighbours if entry.verdict.startswith("trusted")]
    helping = [entry for entry in found.neighbours if entry.verdict.startswith("verified")]
    if found.exact is not None and found.exact.known and found.thresholds.trust_exact:
        return f"exact for any of the {found.exact.known} documents that its entry knows; others are scored"
    if trusted:
        return f"semantic for any of the {trusted[0].known} documents that the nearest trusted entry knows"
    if helping:
        return f"verified for documents that near entries know ({helping[0].known} the nearest); others are scored"
    return "fresh: nothing that could help is remembered"


def _circumstances(found: Sight) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_row("query", Text(repr(found.query)))
    table.add_row("tenant", Text(found.tenant or "the default tenant"))
    table.add_row("scope", Text(f"{found.scope} in namespace {found.namespace}: {found.reranker}, {found.embedder}"))
    table.add_row("thresholds", Text(_thresholds(found.thresholds)))
    return table


def _thresholds(rule: Thresholds) -> str:
    if rule.reuse is None:
        return "near queries are not looked for"
    trust = "no near query is trusted" if rule.trust is None else f"trusted from {rule.trust:g}"
    if rule.trust != rule.configured:
        trust += f" ({rule.configured:g} in the settings; {rule.reason or 'audits saw that less is enough'})"
    return f"{trust}, verified from {rule.reuse:g}, guard {rule.guard}"


def _exact(found: Sight) -> Iterator[RenderableType]:
    yield Text("\nentry of exactly this query", style="bold")
    if found.exact is None:
        yield Text("none")
    else:
        yield _facts(found.exact, verdict=found.exact.verdict if "damaged" in found.exact.verdict else "")


def _near(found: Sight) -> Iterator[RenderableType]:
    yield Text("\nnearest entries of other queries", style="bold")
    if not found.neighbours:
        yield Text("none")
    for entry in found.neighbours:
        # Rounded down, so that 0.9699 is not shown as equal to the threshold that it is below.
        yield Text(f"{floor(entry.similarity * 1000) / 1000:.3f}  {entry.verdict}")
        yield _facts(entry)


def _facts(entry: EntryView, verdict: str = "") -> Text:
    shared = "" if entry.shared is None else f", {entry.shared} of them among those of the request"
    lines = [f"scores of {entry.known} documents{shared}"]
    if entry.query is not None:
        lines.insert(0, repr(entry.query))
    if entry.guard is not None:
        lines.append(f"guard: {entry.guard}")
    age = "without a vector: found by its exact query only" if entry.age_s is None else f"{span(entry.age_s)} old"
    left = "does not expire" if entry.left_s is None else f"expires in {span(entry.left_s)}"
    lines.append(f"{age}, {left}, id {entry.id}")
    if verdict:
        lines.append(verdict)
    return Text("\n".join(f"       {line}" for line in lines))
