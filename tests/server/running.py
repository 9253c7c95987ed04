"""An application behind uvicorn in a thread of this process, over real HTTP."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Any

import uvicorn
from httpx import Client

from tests.scripted import PATIENCE_S


@contextmanager
def running(app: Any, port: int = 0, **options: Any) -> Iterator[str]:
    """The base url of the application, which is ready when the block begins, unless its models cannot be loaded."""
    with socket.create_server(("127.0.0.1", port)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False, **options))
        thread = Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            # The socket listens already, so this waits until the server accepts.
            with Client(base_url=url, timeout=PATIENCE_S) as client:
                client.get("/healthz").raise_for_status()
            yield url
        finally:
            server.should_exit = True
            thread.join()
