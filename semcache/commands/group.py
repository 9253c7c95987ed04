"""Common to all commands: how they end, and how ``--json`` is read."""

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from threading import current_thread, main_thread
from typing import Any

from typer import Abort, Exit
from typer.core import TyperGroup

from semcache.causes import cause_of
from semcache.commands.console import complain
from semcache.commands.exit_codes import code_of
from semcache.errors import SemcacheError

_JSON = "--json"
_FILE = "semcache.json_file"
"""The place for the file of ``--json`` among what belongs to a call."""
_TRACEBACK = "run semcache --traceback ... to see where, and report it"


class Commands(TyperGroup):
    """The group of all commands. An error is one line on stderr and an exit code of ``exit_codes``.

    ``--json`` without a file stands for ``--json -``, in every command that has the option. SIGTERM, by which service
    managers and containers stop a process, ends each command as Ctrl-C does.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments of the whole command line; those of the command are left as they are."""
        complete = with_json_file(args)
        ctx.meta[_FILE] = dict(pairwise(complete)).get(_JSON, "-")
        return super().parse_args(ctx, complete)

    def invoke(self, ctx: Any) -> Any:
        """Run a command."""
        try:
            with _stopped_by_sigterm():
                return super().invoke(ctx)
        except SemcacheError as error:
            # These errors say what was wrong and what to do, so a traceback would only hide the sentence.
            complain(str(error))
            raise Exit(code_of(error)) from error
        except Exception as error:
            # Typer's own errors have exit codes, and a pipe that was closed is typer's to handle.
            if isinstance(error, Abort | BrokenPipeError) or hasattr(error, "exit_code") or ctx.params["traceback"]:
                _explain_missing(error, ctx.meta[_FILE])
                raise
            complain(_described(error))
            raise Exit(code_of(error)) from error


def with_json_file(args: Sequence[str]) -> list[str]:
    """The arguments with ``-`` behind a ``--json`` that names no file.

    Example:
        >>> with_json_file(["config", "--json"]), with_json_file(["bench", "--json", "a.json"])
        (['config', '--json', '-'], ['bench', '--json', 'a.json'])
    """
    complete: list[str] = []
    for place, argument in enumerate(args):
        complete.append(argument)
        following = args[place + 1] if place + 1 < len(args) else "--"
        if argument == _JSON and following.startswith("-") and following != "-":
            complete.append("-")
    return complete


@contextmanager
def _stopped_by_sigterm() -> Iterator[None]:
    """Raise KeyboardInterrupt at SIGTERM, in the block. The handler before is put back, as the process may go on."""
    if current_thread() is not main_thread():  # no other thread may set one
        yield
        return
    handler = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        # None: set by other code than Python's.
        signal.signal(signal.SIGTERM, signal.SIG_DFL if handler is None else handler)


def _explain_missing(error: Any, file: str) -> None:
    """Say where an argument went that typer misses: ``semcache inspect --json "a query"`` names a file."""
    if type(error).__name__ == "MissingParameter" and file != "-":
        error.message = f"{_JSON} took {file!r:.80} as its file; put {_JSON} behind it, or write {_JSON} -"


def _described(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return f"{cause_of(error)}; {_TRACEBACK}"
