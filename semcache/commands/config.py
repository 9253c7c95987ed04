"""``semcache config``: the settings in force, and where each came from."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from semcache.commands.console import out
from semcache.commands.files import JsonFile, check_folder, present

if TYPE_CHECKING:
    from rich.table import Table

    from semcache.settings import Explained

# Units that read well right after a number. The longer ones are shown by --json only.
_SHOWN_UNITS = ("s", "pairs", "calls", "characters", "rounds")
_SOURCE_WIDTH = len("environment SEMCACHE_TTL")
# Between and around the three columns.
_GAPS = 8


def config(
    json_file: JsonFile = None,
    as_template: Annotated[
        bool, typer.Option("--template", help="Print a commented YAML file with all defaults, for you to edit.")
    ] = False,
) -> None:
    """Show what a constructor without arguments uses, and where each value comes from. Passwords are hidden.

    JSON has the unit and the meaning of each setting, too.
    """
    # Imported here, since pydantic takes longer than all that the help of the other commands needs.
    from semcache.settings import Settings, explain, template

    if as_template:
        # Without the settings of this machine: a template has defaults only, and a wrong setting must not prevent it.
        typer.echo(template(Settings), nl=False)
        return
    check_folder(json_file)
    lines = explain(Settings())
    described = {
        line.setting: {"value": line.value, "source": line.source, "unit": line.unit, "meaning": line.meaning}
        for line in lines
    }
    present(lambda: _table(lines), lambda: described, json_file)


def _table(lines: "Sequence[Explained]") -> "Table":
    from rich.box import SIMPLE
    from rich.table import Column, Table

    from semcache.settings import PACKAGED

    # Room for "environment SEMCACHE_TTL" beside the longest setting: rich would give it to the longest value instead.
    longest = max(len(line.setting) for line in lines)
    value_width = max(12, out().width - longest - _SOURCE_WIDTH - _GAPS)
    table = Table(
        Column("setting", no_wrap=True),
        Column("value", overflow="fold", max_width=value_width),
        Column("from", min_width=_SOURCE_WIDTH),
        box=SIMPLE,
        pad_edge=False,
    )
    last_section = ""
    for line in lines:
        section = line.setting.split(".")[0]
        if last_section not in ("", section):
            table.add_section()
        last_section = section
        # What the user has set stands out; defaults are dim.
        style = "dim" if line.source in (PACKAGED, "default") else "bold"
        source = f"[{style}]{escape(line.source)}[/{style}]"
        value = line.value
        if not isinstance(value, list):
            # Booleans as YAML writes them, and 0.25 or 3600 instead of 3600.0.
            text = str(value).lower() if isinstance(value, bool | None) else str(value)
            text = f"{value:g}" if isinstance(value, float) else text
            unit = f" {line.unit}" if value is not None and line.unit in _SHOWN_UNITS else ""
            table.add_row(line.setting, escape(f"{text}{unit}"), source)
            continue
        # The only list is the ladder of rerankers, which gets a row per rung.
        for number, rung in enumerate(value):
            table.add_row(f"{line.setting}.{number}", escape(_rung(rung)), source)
    return table


def _rung(rung: "Mapping[str, Any]") -> str:
    if rung["kind"] == "http":
        asked = " ".join(filter(None, (rung["dialect"], rung["model"], rung["url"])))
        return f"http {asked} ({rung['concurrency']} requests at once)"
    limits = f"{rung['max_length']} tokens, {rung['batch_size']} pairs"
    return f"{rung['kind']} {rung['model']} ({limits})" if rung["model"] else str(rung["kind"])
