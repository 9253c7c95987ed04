"""The connection to one Redis: bounded waits, a circuit breaker, and a pool for threads and for each event loop."""

import asyncio
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Self
from urllib.parse import urlsplit

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

from semcache.errors import ConfigurationError
from semcache.events import Event
from semcache.protocols import Clock
from semcache.redis.client.circuit_breaker import RedisCircuitBreaker
from semcache.redis.client.commands import Command, CreateIndex, RedisStep, Replies
from semcache.redis.client.failures import FOREIGN, translated
from semcache.redis.client.pool import ConnectionPool, PipelinedPool
from semcache.redis.server.embedded import EmbeddedRedis
from semcache.settings import Redis as RedisKnobs

_SCHEMES = ("redis", "rediss", "unix")
_DEFAULTS = RedisKnobs()
"""The defaults stand in the settings, each with its reason."""


class _LoopConnections(NamedTuple):
    """An event loop's own connections: sockets cannot be shared between loops."""

    client: redis.asyncio.Redis
    pool: PipelinedPool


class RedisConnection:
    """One Redis, for any number of threads and event loops.

    ``url`` is ``redis://``, ``rediss://``, ``unix://``, or ``embedded`` for a private server that all such connections
    of the process share and that ends with the last of them. No command waits longer than ``timeout_s``, opening a
    connection no longer than ``connect_timeout_s`` (seconds); after a failure Redis is left alone for ``retry_after_s``
    seconds, doubling up to ``max_retry_after_s``. Nothing is opened until the first command.

    Example:
        with RedisConnection("redis://localhost:6379", timeout_s=0.1) as connection:
            store = RedisStore(connection, namespace="docs", reranker="r", embedder="e", dims=384)
    """

    def __init__(
        self,
        url: str,
        *,
        timeout_s: float = _DEFAULTS.timeout_s,
        connect_timeout_s: float = _DEFAULTS.connect_timeout_s,
        retry_after_s: float = _DEFAULTS.retry_after_s,
        max_retry_after_s: float = _DEFAULTS.max_retry_after_s,
        on_event: Callable[[Event], None] = lambda event: None,
        clock: Clock = time.monotonic,
    ) -> None:
        self.breaker = RedisCircuitBreaker(retry_after_s, max_retry_after_s, clock=clock, on_event=on_event)
        self._embedded = url == "embedded"
        self._url = _shared_server.acquire() if self._embedded else url
        self.where = f"Redis at {_without_secrets(self._url)}"
        self._options: dict[str, Any] = {
            "socket_timeout": timeout_s,
            "socket_connect_timeout": connect_timeout_s,
            "decode_responses": False,
            # In version 2 of the protocol replies of the search module have the same shape on every server; version 3
            # gives mappings. All code that reads replies counts on version 2.
            "protocol": 2,
        }
        # Keep-alive notices a peer that vanished without closing. Unix sockets refuse the option, and need none.
        if not self._url.startswith("unix:"):
            self._options["socket_keepalive"] = True
        self._timeouts = timeout_s, connect_timeout_s
        self.client: redis.Redis = self._build(redis.Redis, Retry)
        """redis-py's own client, for what is not on the path of a request. It does not ask the breaker."""
        self._pool = ConnectionPool(_connect_like(self.client.connection_pool))
        # Each loop reads and writes its own item only, so threads that run loops need no lock. Weak, because a loop may
        # end without a word (asyncio.run): its sockets are then collected with it.
        self._loops: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _LoopConnections] = (
            weakref.WeakKeyDictionary()
        )

    def _build(self, kind: Any, retry: Any, **options: Any) -> Any:
        # One immediate retry where the connection was dropped (a restarted server); none after a timeout, since a
        # server that hangs would cost it twice.
        once = retry(NoBackoff(), 1, supported_errors=(redis.exceptions.ConnectionError,))
        try:
            return kind.from_url(self._url, retry=once, **{**self._options, **options})
        except (ValueError, TypeError):
            # Not chained: redis-py's message may quote the password.
            raise ConfigurationError(
                f"cannot use the Redis url {_without_secrets(self._url)}; write redis://[user:password@]host:port/db, "
                "rediss://..., unix:///path/to/socket or embedded, with special characters percent-encoded"
            ) from None

    def execute(self, step: RedisStep) -> Any:
        """The answer to a step: a reply for each command, or for ``CreateIndex`` the server's error or None.

        Raises StoreUnavailableError when Redis does not answer, at once while the breaker is open. Raises StoreError
        when it refuses the connection.
        """
        with self.breaker.admit():
            # Translated inside the block: the breaker counts StoreUnavailableError.
            try:
                return step.create(self.client) if isinstance(step, CreateIndex) else self.exchange(step)
            except FOREIGN as error:
                raise translated(error, self.where) from error

    async def aexecute(self, step: RedisStep) -> Any:
        """``execute``, awaited."""
        with self.breaker.admit():
            try:
                if isinstance(step, CreateIndex):
                    return await step.acreate(self._of_loop().client)
                return await self.aexchange(step)
            except FOREIGN as error:
                raise translated(error, self.where) from error

    def exchange(self, commands: Sequence[Command]) -> Replies:
        """Send commands in one round trip, without the breaker. Raises what redis-py raises for a connection."""
        return self._pool.exchange(commands)

    async def aexchange(self, commands: Sequence[Command]) -> Replies:
        """``exchange``, awaited. Commands of tasks that send at the same time share round trips."""
        return await self._of_loop().pool.exchange(commands)

    def _of_loop(self) -> _LoopConnections:
        loop = asyncio.get_running_loop()
        own = self._loops.get(loop)
        if own is None:
            client = self._build(redis.asyncio.Redis, AsyncRetry)
            # No timeout per read: the pool bounds whole batches, which costs less.
            unbounded = self._build(redis.asyncio.ConnectionPool, AsyncRetry, socket_timeout=None)
            own = _LoopConnections(client, PipelinedPool(_connect_like(unbounded), *self._timeouts))
            self._loops[loop] = own
        return own

    def close(self) -> None:
        """Close the connections of threads, and the embedded server if this was its last user. Twice is harmless.

        Connections of event loops are closed by ``aclose`` in each loop, or when the loop is collected.
        """
        self._pool.close()
        self.client.close()
        if self._embedded:
            self._embedded = False
            _shared_server.release()

    async def aclose(self) -> None:
        """Close the running loop's connections, and everything that ``close`` does."""
        own = self._loops.pop(asyncio.get_running_loop(), None)
        if own is not None:
            await own.pool.close()
            await own.client.aclose()
        # In a thread: the end of an embedded server is waited for.
        await asyncio.to_thread(self.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"<RedisConnection to {self.where}>"


def _connect_like(pool: Any) -> Callable[[], Any]:
    """A function that makes connections as redis-py's pool would.

    The pool's own ``make_connection`` counts every connection and refuses beyond a maximum, but never counts down.
    """
    return lambda: pool.connection_class(**pool.connection_kwargs)


def _without_secrets(url: str) -> str:
    """Scheme, host, port and path of a url; never user, password or query (``?password=``)."""
    try:
        parts = urlsplit(url)
        if parts.scheme not in _SCHEMES:  # it may be a password that was given in the place of a url
            return "(not a Redis url)"
        address = f"{parts.hostname or ''}{f':{parts.port}' if parts.port else ''}"
    except ValueError:  # such as a password with an unescaped "/" or "#", which then stands where the port should
        return "(unreadable url)"
    return f"{parts.scheme}://{address}{parts.path}"


class _SharedServer:
    """The embedded server of all connections of this process with the url ``embedded``; ends with its last user."""

    def __init__(self) -> None:
        # Held while the server starts or stops: a second caller needs the url of a server that answers.
        self._lock = threading.Lock()
        self._server: EmbeddedRedis | None = None
        self._users = 0

    def acquire(self) -> str:
        """The url of the server, which is started for its first user."""
        with self._lock:
            if self._server is None:
                self._server = EmbeddedRedis().start()
            self._users += 1
            return self._server.url

    def release(self) -> None:
        """Stop the server if this was its last user."""
        with self._lock:
            self._users -= 1
            if self._users == 0 and self._server is not None:
                self._server.close()
                self._server = None


_shared_server = _SharedServer()
