"""Files that the commands write: JSON, plots, and the checks that come before long work."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from typer import Option

from semcache.errors import ConfigurationError, MissingExtraError

JsonFile = Annotated[Path | None, Option("--json", dir_okay=False, help="Also write all figures to this JSON file.")]
"""The option ``--json`` of a command that prints figures."""


def check_folder(path: Path) -> None:
    """Raise ConfigurationError when the folder of a file is missing.

    A command calls it before its work, because a result that took minutes must not be lost for want of a folder.
    """
    if not path.parent.is_dir():
        raise ConfigurationError(f"cannot write {path}: there is no folder {path.parent}; make it first")


def check_plot(path: Path) -> None:
    """``check_folder`` for a plot. Raise MissingExtraError when matplotlib is not installed."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("matplotlib", "cli") from error
    check_folder(path)


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write values as JSON, one per line, so that two results can be compared by ``diff``."""
    path.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")


def empty_figure(width: float, height: float) -> Any:
    """An empty matplotlib figure; sizes in inches."""
    # Not by pyplot, which would keep every figure alive and look for a display.
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=140, layout="constrained")
