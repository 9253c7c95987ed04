"""A private Redis: a server or a cluster with vector search that lives exactly as long as its process."""

import asyncio
import os
import threading
import weakref
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

from semcache.errors import ConfigurationError, EmbeddedRedisError
from semcache.redis.server.cluster import MOST_NODES, launch_cluster, wait_until_formed
from semcache.redis.server.files import find_server_files
from semcache.redis.server.process import ServerProcess, launch, stop, wait_until_ready
from semcache.runtime.forking import renew_in_child


class EmbeddedRedis:
    """A private redis-server with the search module, on a unix socket that only this user can reach.

    Without a ``directory`` nothing is kept. With one the data lie there and survive a restart; one server at a time may
    use it. The server ends with its owner, however that ends: ``close()``, leaving the ``with`` block, garbage
    collection, the interpreter's exit, SIGTERM, SIGKILL. No signal handler of the user's process is touched.

    With ``cluster`` it is a Redis Cluster of so many primaries, each with ``replicas`` replicas, for tests and
    demonstrations: on TCP ports of this machine, behind a password that the url holds. It starts in about 3 s and keeps
    nothing.

    Raises EmbeddedRedisError (with what the server printed) when it does not come up, MissingExtraError when there
    is no redis-server with search on this machine, and ConfigurationError for an impossible cluster.

    Example:
        with EmbeddedRedis() as server:  # or: async with
            client = redis.Redis.from_url(server.url)
        with EmbeddedRedis(cluster=3, replicas=1) as server:
            client = redis.RedisCluster.from_url(server.url)
    """

    def __init__(self, directory: str | os.PathLike[str] | None = None, *, cluster: int = 0, replicas: int = 0) -> None:
        _check_cluster(directory is not None, cluster, replicas)
        self._directory = None if directory is None else Path(directory).absolute()
        self._shards, self._replicas = cluster, replicas
        # The lock is held until a started server answers and until a closed one is gone, so that of two threads that
        # start it the second finds a server that answers. Both fields change together, and only under the lock.
        self._lock = threading.Lock()
        self._running: tuple[ServerProcess, ...] = ()
        """One server, or the nodes of a cluster, the primaries first; empty while it does not run."""
        self._private: Path | None = None
        """Where the socket of a server is that was started and not closed; None for one that is not to run."""
        self._finalizer: weakref.finalize[..., EmbeddedRedis] | None = None
        renew_in_child(self)

    def after_fork_in_child(self) -> None:
        """Leave the server to the parent, and close the copy of its lifeline, which would keep it alive beyond that."""
        self._lock = threading.Lock()
        for server in self._running:
            os.close(server.lifeline)
        self._running, self._finalizer, self._private = (), None, None

    @property
    def url(self) -> str:
        """The url of the running server, ``unix://...``, for ``redis.from_url`` and everything built on it.

        That of a cluster, ``redis://...``, names the first of its nodes.
        """
        if not self._running:
            raise EmbeddedRedisError("the embedded Redis is not running; call start() or use it in a with block")
        first = self._running[0]
        if first.member is None:
            return f"unix://{quote(str(first.socket))}"
        return f"redis://:{first.member.password}@127.0.0.1:{first.member.port}"

    def start(self) -> Self:
        """Start the server and wait until it answers. A running one is left as it is.

        Raises EmbeddedRedisError and MissingExtraError, see the class.
        """
        with self._lock:
            if not self._running:
                self._launch(None)
        return self

    def revive(self) -> bool:
        """Start a server that has ended by itself again, at the same url; True if it had. Its data may be lost.

        The nodes of a cluster are not: their replicas take over. Raises EmbeddedRedisError when it does not come up; a
        later call tries again.
        """
        with self._lock:
            is_alive = bool(self._running) and self._running[0].watcher.poll() is None
            if is_alive or self._private is None or self._shards:
                return False
            self._stop()
            self._launch(self._private)
        return True

    def _launch(self, private: Path | None) -> None:
        if self._shards:
            self._running = launch_cluster(find_server_files(), self._shards * (1 + self._replicas))
        else:
            self._running = (launch(find_server_files(), self._directory, private),)
        self._private = self._running[0].private
        # First of all the finalizer, which also runs at the interpreter's exit: from here on the server ends, whatever
        # happens while it is waited for.
        self._finalizer = weakref.finalize(self, stop, *self._running)
        try:
            for server in self._running:
                wait_until_ready(server)
            if self._shards:
                wait_until_formed(self._running, self._shards)
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
        self._running, self._finalizer = (), None

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
        where = "not running"
        if self._running:  # without the password of a cluster
            where = self.url if not self._shards else f"a cluster at {self.url.partition('@')[2]}"
        kept = f", directory={str(self._directory)!r}" if self._directory else ""
        return f"<EmbeddedRedis {where}{kept}>"


def _check_cluster(has_directory: bool, shards: int, replicas: int) -> None:
    if not 0 <= shards <= MOST_NODES or not 0 <= replicas <= MOST_NODES or shards * (1 + replicas) > MOST_NODES:
        raise ConfigurationError(
            f"a cluster of {shards} primaries with {replicas} replicas each cannot be started on one machine; take "
            f"cluster=3, replicas=1, or up to {MOST_NODES} nodes in all"
        )
    if replicas and not shards:
        raise ConfigurationError(f"replicas={replicas} is for a cluster; give the number of its primaries, cluster=3")
    if has_directory and shards:
        raise ConfigurationError("an embedded cluster keeps nothing; leave out directory, or cluster")
