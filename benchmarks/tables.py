"""Rows of figures as a table, in Markdown and on the terminal."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Rows = Sequence[Mapping[str, Any]]


def markdown(rows: Rows) -> str:
    """A Markdown table of all columns that occur, in the order of their first occurrence."""
    names = _names(rows)
    lines = [_line(names), _line(["---"] * len(names))]
    return "\n".join(lines + [_line(shown(row.get(name)) for name in names) for row in rows])


def show(title: str, rows: Rows) -> None:
    """Print a table; columns of intervals are left to the files."""
    from rich.console import Console
    from rich.table import Table

    names = [name for name in _names(rows) if not name.endswith(("_low", "_high"))]
    table = Table(*names, title=title)
    for row in rows:
        table.add_row(*(shown(row.get(name)) for name in names))
    Console().print(table)


def shown(value: Any) -> str:
    """A figure with three digits, and text as it is."""
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, float):
        return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"


def _names(rows: Rows) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row))


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
