"""``semcache redis``: a private Redis with vector search in the foreground."""

import signal
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from semcache.commands.console import err


def redis(
    directory: Annotated[
        Path | None,
        typer.Option(
            help="Keep the data in this folder. Without it the data are gone when Redis stops.", file_okay=False
        ),
    ] = None,
) -> None:
    """Run a Redis with vector search on this machine until Ctrl-C, and print its URL."""
    from semcache.redis.server.embedded import EmbeddedRedis

    # Service managers and containers stop a process by SIGTERM, which then ends it as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # Printing is inside the block too: a signal may arrive before the hint is out.
    with suppress(KeyboardInterrupt), EmbeddedRedis(directory) as server:
        # The URL stands alone on stdout, so that a script can read it; the hint goes to stderr.
        typer.echo(server.url)
        kept = f"the data are kept in {directory}" if directory else "the data are gone when it stops"
        err().print(f"SEMCACHE_REDIS_URL={server.url} lets other commands use it; {kept}. Ctrl-C stops it.")
        while True:
            signal.pause()
    err().print("stopped")
