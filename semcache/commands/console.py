"""Where the commands print: results on stdout, everything else on stderr."""

from rich.console import Console
from rich.markup import escape


def out() -> Console:
    """The console for results."""
    # Made anew each time, so that it writes to what sys.stdout is now: tests and callers may redirect it.
    return Console()


def err() -> Console:
    """The console for progress, hints and errors."""
    return Console(stderr=True)


def complain(error: Exception) -> None:
    """Print the message of an error in red, without a traceback."""
    # Soft wrap leaves it one line, which can be searched for and copied. Square brackets in it are no markup.
    err().print(f"[red]{escape(str(error))}[/red]", soft_wrap=True, highlight=False)
