"""The command line ``semcache``: a module or a folder per command. It needs the extra ``cli``."""

import sys

from semcache.errors import MissingExtraError, SemcacheError


def main() -> None:
    """Run the command line. An error of semcache is printed as one line on stderr, and the exit code is 1."""
    # typer and rich are optional, so nothing of the commands may be imported before they are known to be there.
    try:
        import rich  # noqa: F401
        import typer  # noqa: F401
    except ImportError as error:
        # sys.exit prints the message itself, because the red print of ``complain`` needs rich.
        sys.exit(str(MissingExtraError(error.name or "typer", "cli")))
    from semcache.commands.app import app
    from semcache.commands.console import complain

    try:
        app()
    except SemcacheError as error:
        # These errors say what was wrong and what to do, so a traceback would only hide the sentence.
        complain(error)
        sys.exit(1)
