"""A survey of a namespace as tables for a terminal of 80 columns."""

from collections.abc import Iterator, Mapping
from typing import Any

from rich.box import SIMPLE
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from semcache.commands.breaker import described
from semcache.commands.in_words import memory
from semcache.commands.stats.survey import Quality, ScopeView, Survey


def report(found: Survey, server: Mapping[str, Any] | None = None) -> RenderableType:
    """All that a namespace holds, what was learned in it, and what a server says of itself."""
    parts: list[RenderableType] = [_head(found), *_scopes(found)]
    for scope in found.scopes:
        if scope.quality is not None:
            parts += _learned(scope, scope.quality)
    if server is not None:
        parts += _server(server)
    return Group(*parts)


def _head(found: Survey) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    used = ""
    if found.memory is not None:
        limit = f" of {memory(found.limit)}, {found.policy}" if found.limit else ", no limit (maxmemory 0)"
        used = f", {memory(found.memory)} used{limit}"
    table.add_row("server", escape(f"{found.where}{used}"))
    table.add_row("namespace", escape(found.namespace))
    table.add_row("breaker", escape(described(found.breaker)))
    return table


def _scopes(found: Survey) -> Iterator[RenderableType]:
    if not found.scopes:
        yield Text("\nNothing is remembered in this namespace.")
        return
    table = Table(box=SIMPLE, pad_edge=False)
    for heading in ("scope", "entries", "findable", "tenants", "document vectors", "memory"):
        table.add_column(heading, justify="left" if heading == "scope" else "right", no_wrap=True)
    for scope in found.scopes:
        counts = (scope.entries, scope.findable, scope.tenants, scope.document_vectors)
        size = "" if scope.bytes is None else memory(scope.bytes)
        table.add_row(escape(scope.id), *(f"{count:,}" for count in counts), size)
    yield table
    for scope in found.scopes:
        yield Text(f"{scope.id}  {_owner(scope)}", style="" if scope.is_configured else "dim", overflow="fold")
    if found.unnamed:
        yield Text(f"Whose scope is whose cannot be told here: {found.unnamed}", style="yellow")


def _owner(scope: ScopeView) -> str:
    if not scope.reranker:
        return "of other models, or of another signing key, than the settings name here"
    return f"{scope.reranker}, queries by {scope.embedder}"


def _learned(scope: ScopeView, quality: Quality) -> Iterator[RenderableType]:
    now = "no near query is trusted"
    if quality.trust_threshold is not None:
        now = f"near queries are trusted from similarity {quality.trust_threshold:g}"
    as_set = "as set" if quality.trust_threshold == quality.configured else f"{quality.configured:g} in the settings"
    because = f" ({quality.reason})" if quality.reason else ""
    exact = "" if quality.trust_exact else "; not even scores of the same query are trusted"
    yield Text(f"\nlearned in {scope.id}", style="bold")
    yield Text(f"trust: {now}, {as_set}{because}{exact}")
    seen = [(band, summary) for band, summary in quality.bands.items() if summary["n"]]
    if seen:
        table = _losses("similarity from")
        for band, summary in sorted(seen, key=lambda row: _rank(row[0]), reverse=True):
            table.add_row(band, f"{summary['n']:,}", *_loss(summary), f"{summary['overlap']:.1%}")
        yield table
    pruned = "nothing is skipped" if quality.confidence is None else f"from confidence {quality.confidence:g}"
    because = f" ({quality.pruning_reason})" if quality.pruning_reason else ""
    yield Text(f"pruning: {pruned}{because}")
    levels = [(level, summary) for level, summary in quality.by_confidence.items() if summary["n"]]
    if levels:
        table = _losses("confidence", "pairs avoided")
        for level, summary in levels:
            table.add_row(f"{level:g}", f"{summary['n']:,}", *_loss(summary), f"{summary['avoided']:.0%}")
        yield table


def _losses(first: str, last: str = "same top 10") -> Table:
    table = Table(box=SIMPLE, pad_edge=False)
    for heading in (first, "observed", "loss", "95 % interval", last):
        table.add_column(heading, justify="left" if heading == first else "right", no_wrap=True)
    return table


def _loss(summary: Mapping[str, Any]) -> tuple[str, str]:
    return f"{summary['loss']:.4f}", f"{summary['loss_low']:.4f} to {summary['loss_high']:.4f}"


def _rank(band: str) -> float:
    """Nearest first: "exact", then the bands by similarity."""
    return {"exact": 2.0, "below": -1.0}.get(band) or float(band)


def _server(answer: Mapping[str, Any]) -> Iterator[RenderableType]:
    cache, reranker = answer["cache"], answer["reranker"]
    yield Text("\nthe server that was asked (one process of it)", style="bold")
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_row("hit rate", f"{cache['hit_rate']} of {cache['cache_hits'] + cache['cache_misses']:,} requests")
    degraded = f"degraded: {reranker.get('degraded_reason')}" if reranker["degraded"] else "the primary answers"
    table.add_row("reranker", escape(degraded))
    for part, error in _errors(cache.get("last_error") or {}, reranker.get("last_error") or {}):
        table.add_row(f"last error, {escape(part)}", escape(error))
    yield table


def _errors(*found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Each part with its last error, as ``LastErrors.snapshot`` has them."""
    shown = set()
    for errors in found:
        for part, failure in errors.items():
            several = failure if part == "reranker" else {"": failure}
            for name, each in (several or {}).items():
                line = f"{part} {name}".strip(), f"{each['error']} ({each['seconds_ago']:.0f} s ago)" if each else ""
                if each and line not in shown:
                    shown.add(line)
                    yield line
