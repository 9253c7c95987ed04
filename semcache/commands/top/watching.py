"""Shows the figures on the whole screen until Ctrl-C, also while the server is away."""

from collections.abc import Callable, Mapping
from threading import Event
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from semcache.commands.top.report import report
from semcache.errors import RerankServiceError

_LONGEST_S = 30.0
"""A server that is away is asked at least that often."""

Figures = Mapping[str, Any]


def watch(
    console: Console,
    first: Figures,
    ask: Callable[[], Figures],
    every_s: float,
    wait: Callable[[float], Any] | None = None,
) -> None:
    """Show figures every ``every_s`` seconds until Ctrl-C. ``ask`` gives new ones, or raises RerankServiceError.

    ``wait`` waits for so many seconds.
    """
    wait = Event().wait if wait is None else wait
    shown, failures = first, 0
    try:
        with Live(console=console, screen=True, auto_refresh=False) as live:
            while True:
                live.update(_screen(shown, console, failures), refresh=True)
                wait(min(_LONGEST_S, every_s * 2**failures))
                try:
                    shown, failures = ask(), 0
                except RerankServiceError:
                    failures += 1
    except KeyboardInterrupt:
        # This is how it is ended, so it is no error. What was seen last stays on the terminal.
        console.print(report(shown, console.width))


def _screen(shown: Figures, console: Console, failures: int) -> RenderableType:
    figures = report(shown, console.width)
    if not failures:
        return figures
    return Group(Text("The server does not answer; this is what it told last.", style="bold red"), figures)
