"""A private Redis: a server with vector search that lives exactly as long as the process that started it."""

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
from semcache.runtime.forking import renew_in_child


class EmbeddedRedis:
    """A private redis-server with the search module, on a unix socket that only this user can reach.

    Without a ``directory`` nothing is kept. With one the data lie there and survive a restart; one server at a time may
    use it. The server ends with its owner, however that ends: ``close()``, leaving the ``with`` block, garbage
    collection, the interpreter's exit, SIGTERM, SIGKILL. No signal handler of the user's process is touched.

    Raises EmbeddedRedisError (with what the server printed) when it does not come up, and MissingExtraError when there
    is no redis-server with search on this machine.

    Example:
        with EmbeddedRedis() as server:  # or: async with
            client = redis.Redis.from_url(server.url)
    """

    def __init__(self, directory: str | os.PathLike[str] | None = None) -> None:
        self._directory = None if directory is None else Path(directory).absolute()
        # The lock is held until a started server answers and until a closed one is gone, so that of two threads that
        # start it the second finds a server that answers. Both fields change together, and only under the lock.
        self._lock = threading.Lock()
        self._running: ServerProcess | None = None
        self._private: Path | None = None
        """Where the socket of a server is that was started and not closed; None for one that is not to run."""
        self._finalizer: weakref.finalize[[ServerProcess], EmbeddedRedis] | None = None
        renew_in_child(self)

    def after_fork_in_child(self) -> None:
        """Leave the server to the parent, and close the copy of its lifeline, which would keep it alive beyond that."""
        self._lock = threading.Lock()
        if self._running is not None:
            os.close(self._running.lifeline)
            self._running = self._finalizer = None
        self._private = None

    @property
    def url(self) -> str:
        """The url of the running server, ``unix://...``, for ``redis.from_url`` and everything built on it."""
        if self._running is None:
            raise EmbeddedRedisError("the embedded Redis is not running; call start() or use it in a with block")
        return f"unix://{quote(str(self._running.socket))}"

    def start(self) -> Self:
        """Start the server and wait until it answers. A running one is left as it is.

        Raises EmbeddedRedisError and MissingExtraError, see the class.
        """
        with self._lock:
            if self._running is None:
                self._launch(None)
        return self

    def revive(self) -> bool:
        """Start a server that has ended by itself again, at the same url; True if it had. Its data may be lost.

        Raises EmbeddedRedisError when it does not come up; a later call tries again.
        """
        with self._lock:
            is_alive = self._running is not None and self._running.watcher.poll() is None
            if is_alive or self._private is None:
                return False
            self._stop()
            self._launch(self._private)
        return True

    def _launch(self, private: Path | None) -> None:
        self._running = launch(find_server_files(), self._directory, private)
        self._private = self._running.private
        # First of all the finalizer, which also runs at the interpreter's exit: from here on the server ends, whatever
        # happens while it is waited for.
        self._finalizer = weakref.finalize(self, stop, self._running)
        try:
            wait_until_ready(self._running)
        except BaseException:  # also an interrupt: the server would run on until this object is collected
            self._stop()
            raise

    def close(self) -> None:
        """Stop the server and remove its private directory; returns when both are gone. Closing twice is harmless."""
        with self._lock:
            self._private = None
            self._stop()

    def _stop(self) -> None:
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
