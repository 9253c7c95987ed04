"""``semcache redis``: a private Redis with vector search in the foreground."""

import signal
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from semcache.commands.console import err


def redis(
    directory: Annotated[
        Path | None, typer.Option(help="Keep the data here; without it nothing is kept.", file_okay=False)
    ] = None,
) -> None:
    """Run a Redis with vector search on this machine until Ctrl-C, and print its URL."""
    from semcache.redis.server.embedded import EmbeddedRedis

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # The whole of it, since a signal may come while the hint is being printed.
    with suppress(KeyboardInterrupt), EmbeddedRedis(directory) as server:
        # Alone on stdout, so that a script can read it.
        typer.echo(server.url)
        kept = f"the data are kept in {directory}" if directory else "the data are gone when it stops"
        err().print(f"SEMCACHE_REDIS_URL={server.url} lets other commands use it; {kept}. Ctrl-C stops it.")
        while True:
            signal.pause()
    err().print("stopped")
