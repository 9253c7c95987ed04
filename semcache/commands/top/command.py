"""``semcache top``: shows the figures of a running server, again and again."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

from typer import Option

from semcache.commands.files import JsonFile, check_folder, present

if TYPE_CHECKING:
    from semcache.commands.top.watching import Figures
    from semcache.settings import Server


class Shown(StrEnum):
    """The time that is shown; the value is what a user types."""

    QUARTER = "15m"
    DAY = "24h"


def top(
    url: Annotated[str | None, Option(help="Base url of the server. Default: server.host and server.port.")] = None,
    window: Annotated[Shown, Option(help="Time that is shown.")] = Shown.QUARTER,
    every: Annotated[float, Option(help="Seconds between two looks.", min=0.5, max=3600)] = 2.0,
    once: Annotated[bool, Option("--once", help="Show the figures once, and end.")] = False,
    json_file: JsonFile = None,
) -> None:
    """Show what a running server does: statuses, latency, pairs, breakers, Redis, and what went wrong. Ctrl-C ends it.

    The figures are those of the server's page, of all its processes. Where the server has API keys, the first one of
    SEMCACHE_SERVER__API_KEYS that is bound to no tenant is used. With --json, and where stdout is no terminal, they are
    shown once. An application without a server has no such figures; `semcache stats` shows what Redis knows of it.
    """
    from semcache.commands.asking import ask, checked_url, operator_key
    from semcache.commands.console import out
    from semcache.commands.top.report import SHOWN, report
    from semcache.commands.top.watching import watch
    from semcache.settings import Settings

    check_folder(json_file)
    server = Settings().server
    base = checked_url(url or _url_of(server), "--url")

    def figures() -> "Figures":
        return ask(base, f"/live?window={window.value}", operator_key(server), "--url", SHOWN)

    # Also before the screen is taken, so that an error is a line.
    first = figures()
    console = out()
    if once or json_file is not None or not console.is_terminal:
        present(lambda: report(first, console.width), lambda: first, json_file)
    else:
        watch(console, first, figures, every)


def _url_of(server: "Server") -> str:
    # What listens on every address is reached on this machine's own.
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(server.host, server.host)  # noqa: S104 - none is bound here
    return f"http://{f'[{host}]' if ':' in host else host}:{server.port}"
