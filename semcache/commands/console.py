"""Where the commands print: results on stdout, everything else on stderr."""

from rich.console import Console
from rich.markup import escape


def out() -> Console:
    """For results. Made anew each time, so that it writes to whatever stdout is now."""
    return Console()


def err() -> Console:
    """For progress, hints and errors."""
    return Console(stderr=True)


def complain(error: Exception) -> None:
    """The error in red, and no traceback."""
    err().print(f"[red]{escape(str(error))}[/red]", soft_wrap=True, highlight=False)
