"""The command ``semcache``: one module per command. Needs the extra ``cli``."""

import sys

from semcache.errors import MissingExtraError, SemcacheError


def main() -> None:
    """Run the command line; what is wrong is one readable line on stderr and exit code 1."""
    try:
        import rich  # noqa: F401
        import typer  # noqa: F401
    except ImportError as error:
        # Without rich there is nothing to print it with.
        sys.exit(str(MissingExtraError(error.name or "typer", "cli")))
    from semcache.commands.app import app
    from semcache.commands.console import complain

    try:
        app()
    except SemcacheError as error:
        complain(error)
        sys.exit(1)
