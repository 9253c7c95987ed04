"""The command line ``semcache``: a module or a folder per command. It needs the extra ``cli``."""

import sys

from semcache.errors import MissingExtraError


def main() -> None:
    """Run the command line. ``exit_codes`` has the codes with which it ends."""
    # typer and rich are optional, so nothing of the commands may be imported before they are known to be there.
    try:
        import rich  # noqa: F401
        import typer  # noqa: F401
    except ImportError as error:
        from semcache.commands.exit_codes import ExitCode

        # By hand, since the red print of ``complain`` needs rich.
        sys.stderr.write(f"{MissingExtraError(error.name or 'typer', 'cli')}\n")
        sys.exit(ExitCode.CONFIGURATION)
    except KeyboardInterrupt:
        # Before typer is there, which handles it from then on.
        sys.exit(130)
    from semcache.commands.app import app

    # The name is that of the program, however it was started: completion and usage lines show it.
    app(prog_name="semcache")
