"""``semcache config``: the settings in force, and where each came from."""

import json
from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import typer
from rich.box import SIMPLE
from rich.markup import escape
from rich.table import Column, Table

from semcache.commands.console import out
from semcache.settings import PACKAGED, Explained, Settings, explain, template


def config(
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable, with unit and meaning.")] = False,
    as_template: Annotated[
        bool, typer.Option("--template", help="Print a commented YAML of all defaults, to be edited.")
    ] = False,
) -> None:
    """Show the settings in force and where each came from; passwords are hidden."""
    if as_template:
        typer.echo(template(Settings), nl=False)
    elif as_json:
        typer.echo(json.dumps({line.setting: _described(line) for line in explain(Settings())}, indent=2))
    else:
        out().print(_table(explain(Settings())))


def _described(line: Explained) -> dict[str, Any]:
    return {"value": line.value, "source": line.source, "unit": line.unit, "meaning": line.meaning}


def _table(lines: Sequence[Explained]) -> Table:
    table = Table(Column("setting", no_wrap=True), Column("value", overflow="fold"), "from", box=SIMPLE, pad_edge=False)
    section = ""
    for setting, value, source in _rows(lines):
        if section and setting.split(".")[0] != section:
            table.add_section()
        section = setting.split(".")[0]
        style = "dim" if source in (PACKAGED, "default") else "bold"
        table.add_row(setting, escape(value), f"[{style}]{escape(source)}[/{style}]")
    return table


def _rows(lines: Sequence[Explained]) -> Iterator[tuple[str, str, str]]:
    for line in lines:
        if isinstance(line.value, list):
            for place, rung in enumerate(line.value):
                yield f"{line.setting}.{place}", _rung(rung), line.source
        else:
            yield line.setting, _shown(line.value, line.unit), line.source


def _rung(rung: dict[str, Any]) -> str:
    model = f" {rung['model']} ({rung['max_length']} tokens, {rung['batch_size']} pairs)" if rung["model"] else ""
    return f"{rung['kind']}{model}"


def _shown(value: object, unit: str) -> str:
    if value is None:
        return "none"
    shown = str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)
    return f"{shown} {unit}" if unit in ("s", "pairs", "calls", "characters", "rounds") else shown
