"""``semcache serve``: the pipeline of the settings as an HTTP server."""

from importlib.util import find_spec
from ipaddress import ip_address
from typing import Annotated

import typer

from semcache.commands.console import err
from semcache.errors import MissingExtraError


def serve(
    host: Annotated[
        str | None, typer.Option(help="Address to listen on; 0.0.0.0 for others too.", show_default="server.host")
    ] = None,
    port: Annotated[
        int | None, typer.Option(help="Port; 0 picks a free one.", min=0, max=65535, show_default="server.port")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Processes.", min=1, max=1024, show_default="server.workers")
    ] = None,
) -> None:
    """Serve reranking over HTTP, as Cohere, Jina and TEI do: clients need another base URL only. Ctrl-C ends it."""
    for library in ("fastapi", "uvicorn"):
        if find_spec(library) is None:
            raise MissingExtraError(library, "server")
    from semcache.server.serving import serve as run
    from semcache.settings import Settings

    settings = Settings()
    server = settings.server
    host = server.host if host is None else host
    if server.api_keys is None and not _is_local(host):
        err().print(
            f"Everyone who reaches {host} may ask, for any tenant. SEMCACHE_SERVER__API_KEYS names keys that requests "
            "must bear.",
            style="yellow",
        )
    run(settings, host, server.port if port is None else port, server.workers if workers is None else workers)


def _is_local(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
