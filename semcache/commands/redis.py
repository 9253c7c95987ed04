"""``semcache redis``: a private Redis in the foreground, and the rights that semcache needs of a shared one."""

import signal
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from semcache.commands.console import say
from semcache.errors import InvalidInputError

redis: typer.Typer = typer.Typer(invoke_without_command=True)


@redis.callback()
def serve(
    context: typer.Context,
    directory: Annotated[
        Path | None,
        typer.Option(
            help="Keep the data in this folder. Without it the data are gone when Redis stops.", file_okay=False
        ),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=65535,
            help="Also listen on this TCP port of 127.0.0.1, where every user of this machine reaches it.",
            show_default="only on a socket of yours",
        ),
    ] = None,
    cluster: Annotated[int, typer.Option(min=0, help="Run a Redis Cluster of so many shards. It keeps nothing.")] = 0,
    replicas: Annotated[int, typer.Option(min=0, help="Replicas of each shard of a cluster.")] = 0,
) -> None:
    """Run a Redis with vector search on this machine until Ctrl-C, and print its URL. Or: semcache redis acl."""
    if context.invoked_subcommand is not None:
        return
    from semcache.redis.server.embedded import EmbeddedRedis

    if port is not None and cluster:
        raise InvalidInputError("--port is for one server; the nodes of a cluster find ports of their own")
    # Printing is inside the block too: a signal may arrive before the hint is out.
    with suppress(KeyboardInterrupt), EmbeddedRedis(directory, cluster=cluster, replicas=replicas) as server:
        # The URL stands alone on stdout, so that a script can read it; the hint goes to stderr.
        url = server.url if port is None else _listening(server.url, port)
        typer.echo(url)
        kept = f"the data are kept in {directory}" if directory else "the data are gone when it stops"
        say(f"SEMCACHE_REDIS_URL={url} lets other commands use it; {kept}. Ctrl-C stops it.")
        while True:
            signal.pause()
    say("stopped")


def _listening(url: str, port: int) -> str:
    """The url of a port of this machine on which the server listens from now on."""
    from semcache.redis.client.connection import RedisConnection

    with RedisConnection(url) as connection:
        # The address first, or it would listen on all of them for a moment.
        for option, value in (("bind", "127.0.0.1"), ("port", port)):
            (reply,) = connection.execute([("CONFIG", "SET", option, value)])
            if isinstance(reply, Exception):
                raise InvalidInputError(
                    f"Redis cannot listen on port {port} of this machine ({reply}); name a free one"
                )
    return f"redis://127.0.0.1:{port}"


@redis.command()
def acl(
    namespace: Annotated[
        str | None, typer.Option(help="The user may use this namespace alone.", show_default="cache.namespace")
    ] = None,
    every: Annotated[bool, typer.Option("--all-namespaces", help="The user may use every namespace.")] = False,
    user: Annotated[str, typer.Option(help="The name of the user.")] = "semcache",
) -> None:
    """Print the command that makes a Redis user with the rights that semcache needs, and no others."""
    from semcache.redis.rights import acl_rules
    from semcache.settings import Settings

    chosen = None if every else (namespace or Settings().cache.namespace)
    # On one line, as redis-cli takes it.
    typer.echo(f"ACL SETUSER {' '.join(acl_rules(chosen, user).split())}")
    say("Put the password in the place of the word password before you send this to the server.")
