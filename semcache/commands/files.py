"""Files that the commands write: JSON, plots, and the checks that come before long work."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Option, echo

from semcache.commands.console import out
from semcache.errors import InvalidInputError, MissingExtraError

if TYPE_CHECKING:
    from rich.console import RenderableType

STDOUT = Path("-")
"""The name that stands for stdout."""

JsonFile = Annotated[
    Path | None,
    Option(
        "--json",
        dir_okay=False,
        metavar="[FILE]",
        help="Write JSON to FILE. Without FILE, or with -: print JSON in place of the report.",
    ),
]
"""The option ``--json`` of every command that reports; ``group`` puts in the file where none is named."""


def check_folder(path: Path | None) -> None:
    """Raise InvalidInputError when the folder of a file is missing; None and stdout need none.

    A command calls it before its work, because a result that took minutes must not be lost for want of a folder.
    """
    if path not in (None, STDOUT) and not path.parent.is_dir():
        raise InvalidInputError(f"cannot write {path}: there is no folder {path.parent}; make it first")


def check_plot(path: Path) -> None:
    """``check_folder`` for a plot. Raise MissingExtraError when matplotlib is not installed."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("matplotlib", "cli") from error
    check_folder(path)


def present(
    report: "Callable[[], RenderableType]", values: Callable[[], object], json_file: Path | None = None
) -> None:
    """Print a report, and write its values to a JSON file; where that is stdout, JSON alone is printed.

    Example:
        >>> present(lambda: report(result), result.as_json, json_file)
    """
    if json_file != STDOUT:
        shown = report()
        if isinstance(shown, str):
            echo(shown)  # as it is: no line breaks that would be in the way of a search
        else:
            out().print(shown)
    if json_file is not None:
        write_json(json_file, values())


def write_json(path: Path, values: object) -> None:
    """Write values as JSON, one per line, so that two results can be compared by ``diff``."""
    text = json.dumps(values, indent=1)
    if path == STDOUT:
        echo(text)
    else:
        path.write_text(f"{text}\n", encoding="utf-8")


def empty_figure(width: float, height: float) -> Any:
    """An empty matplotlib figure; sizes in inches."""
    # Not by pyplot, which would keep every figure alive and look for a display.
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=140, layout="constrained")
