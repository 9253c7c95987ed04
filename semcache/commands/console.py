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


def say(hint: str) -> None:
    """Print a hint on stderr, as one line, which can be searched for and copied."""
    err().print(escape(hint), soft_wrap=True, highlight=False)


def complain(message: str) -> None:
    """Print the message of an error in red, without a traceback."""
    # Square brackets in it are no markup.
    err().print(f"[red]{escape(message)}[/red]", soft_wrap=True, highlight=False)
