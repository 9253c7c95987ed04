"""A Redis of one's own: a server with vector search that lives exactly as long as its owner."""

import asyncio
import os
import threading
import weakref
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

from semcache.errors import EmbeddedRedisError
from semcache.redis.server.files import find_server_files
from semcache.redis.server.process import ServerProcess, launch, stop, wait_until_ready


class EmbeddedRedis:
    """A private redis-server with the search module, on a unix socket that only this user can reach.

    ``with EmbeddedRedis() as server: redis.Redis.from_url(server.url)``; ``async with`` works too. Without a
    ``directory`` nothing is kept. With one the data lie there and survive a restart; one server at a time may use it.
    The server ends with its owner, however that goes: ``close()``, leaving the ``with`` block, garbage collection, the
    interpreter's exit, SIGTERM, SIGKILL. No signal handler of the user's process is touched.

    Raises EmbeddedRedisError (with what the server printed) when it does not come up, and MissingExtraError when there
    is no redis-server with search on this machine.
    """

    def __init__(self, directory: str | os.PathLike[str] | None = None) -> None:
        self._directory = None if directory is None else Path(directory).absolute()
        self._running: ServerProcess | None = None
        self._lock = threading.Lock()
        self._finalizer: weakref.finalize[[ServerProcess], EmbeddedRedis] | None = None

    @property
    def url(self) -> str:
        """``unix://...``, for ``redis.from_url`` and everything built on it."""
        if self._running is None:
            raise EmbeddedRedisError("the embedded Redis is not running; call start() or use it in a with block")
        return f"unix://{quote(str(self._running.socket))}"

    def start(self) -> Self:
        """Start the server and wait until it answers. A running one is left as it is."""
        with self._lock:
            if self._running is None:
                self._running = launch(find_server_files(), self._directory)
                self._finalizer = weakref.finalize(self, stop, self._running)
                _alive.add(self)
                self._wait_or_stop(self._running)
        return self

    def _wait_or_stop(self, running: ServerProcess) -> None:
        try:
            wait_until_ready(running)
        except BaseException:  # an interrupt while waiting must not leave a server behind either
            self._close()
            raise

    def close(self) -> None:
        """Stop the server and remove its private directory; returns when both are gone. Closing twice is harmless."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        if self._finalizer is not None:
            self._finalizer()
        self._running = self._finalizer = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return await asyncio.to_thread(self.start)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.close)

    def __repr__(self) -> str:
        where = "not running" if self._running is None else self.url
        kept = f", directory={str(self._directory)!r}" if self._directory else ""
        return f"<EmbeddedRedis {where}{kept}>"


def _drop_inherited_lifelines() -> None:
    """In a forked child: let go of the lifelines, or the server would outlive its owner as long as the child lives."""
    for server in list(_alive):
        if server._running is not None and server._running.owner != os.getpid():
            os.close(server._running.lifeline)
            server._running = server._finalizer = None


_alive: "weakref.WeakSet[EmbeddedRedis]" = weakref.WeakSet()
os.register_at_fork(after_in_child=_drop_inherited_lifelines)
