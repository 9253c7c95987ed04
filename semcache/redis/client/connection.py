"""Connections to one Redis: clients with bounded waits, and what to do when it does not answer."""

import asyncio
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from typing import Any, Self
from urllib.parse import urlsplit

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.exceptions import ResponseError
from redis.retry import Retry

from semcache.errors import ConfigurationError
from semcache.events import Event
from semcache.protocols import Clock
from semcache.redis.client.circuit_breaker import RedisCircuitBreaker
from semcache.redis.client.pool import ConnectionPool, PipelinedPool, Replies
from semcache.redis.client.scripts import Command
from semcache.redis.server.embedded import EmbeddedRedis

_SCHEMES = ("redis", "rediss", "unix")


class RedisConnection:
    """One Redis, for any number of threads and event loops.

    ``url`` is ``redis://``, ``rediss://``, ``unix://``, or ``embedded`` for a private server that all such connections
    of the process share and that ends with the last of them. No command waits longer than ``timeout_s``, opening a
    connection no longer than ``connect_timeout_s`` (seconds); after a failure Redis is left alone for ``retry_after_s``
    seconds, doubling up to ``max_retry_after_s``. Nothing is opened until the first command.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout_s: float = 0.25,  # a look-up takes about 1 ms, a cross-encoder about 1 s
        connect_timeout_s: float = 0.5,  # TLS needs a few round trips more than a command
        retry_after_s: float = 1.0,  # at most one request per second waits for a dead server
        max_retry_after_s: float = 30.0,  # a restarted server is used again within half a minute
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
            # Version 2 of the protocol: replies of the search module have one shape there, on every server.
            "protocol": 2,
        }
        if not self._url.startswith("unix:"):  # notices a peer that went without a word; unix sockets know
            self._options["socket_keepalive"] = True
        self._timeouts = timeout_s, connect_timeout_s
        self.client: redis.Redis = self._build(redis.Redis, Retry)
        self._pool = ConnectionPool(_opener(self.client.connection_pool))
        self._loops: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, tuple[redis.asyncio.Redis, PipelinedPool]] = (
            weakref.WeakKeyDictionary()
        )

    def _build(self, kind: Any, retry: Any, **options: Any) -> Any:
        # One immediate retry where the connection was dropped (a restarted server); none after a timeout, since a
        # frozen server would cost it twice.
        once = retry(NoBackoff(), 1, supported_errors=(redis.exceptions.ConnectionError,))
        try:
            return kind.from_url(self._url, retry=once, **{**self._options, **options})
        except (ValueError, TypeError):
            # Not chained: what the library says may quote the password.
            raise ConfigurationError(
                f"cannot use the Redis url {_without_secrets(self._url)}; write redis://[user:password@]host:port/db, "
                "rediss://..., unix:///path/to/socket or embedded, with special characters percent-encoded"
            ) from None

    def exchange(self, commands: Sequence[Command]) -> Replies:
        """Send commands together; a reply for each, in which an error of the server is a value like any other."""
        return self._pool.exchange(commands)

    async def aexchange(self, commands: Sequence[Command]) -> Replies:
        """``exchange``, awaited."""
        return await self._of_loop()[1].exchange(commands)

    def async_client(self) -> redis.asyncio.Redis:
        """A client for the running event loop: sockets cannot be shared between loops."""
        return self._of_loop()[0]

    def _of_loop(self) -> tuple[redis.asyncio.Redis, PipelinedPool]:
        loop = asyncio.get_running_loop()
        both = self._loops.get(loop)
        if both is None:
            client = self._build(redis.asyncio.Redis, AsyncRetry)
            # The link bounds whole batches itself, which costs less than bounding every read.
            unbounded = self._build(redis.asyncio.ConnectionPool, AsyncRetry, socket_timeout=None)
            both = self._loops[loop] = client, PipelinedPool(_opener(unbounded), *self._timeouts)
        return both

    def close(self) -> None:
        """Close what can be closed without an event loop, and the embedded server if this was its last user."""
        self._pool.close()
        self.client.close()
        if self._embedded:
            self._embedded = False
            _shared_server.release()

    async def aclose(self) -> None:
        """Close the running loop's connections, and everything that ``close`` does."""
        both = self._loops.pop(asyncio.get_running_loop(), None)
        if both is not None:
            client, link = both
            await link.close()
            await client.aclose()
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


class GivenClient:
    """A redis-py client that the caller made and keeps: its timeouts and retries are the caller's."""

    def __init__(self, client: redis.Redis | redis.asyncio.Redis) -> None:
        if client.get_connection_kwargs().get("decode_responses"):
            raise ConfigurationError(
                "the Redis client decodes replies, which damages vectors; use decode_responses=False"
            )
        self._client = client
        self.breaker = RedisCircuitBreaker(1.0, 30.0, clock=time.monotonic, on_event=lambda event: None)
        options = client.get_connection_kwargs()
        self.where = (
            f"Redis at {options.get('path') or '{host}:{port}'.format_map({'host': '?', 'port': '?', **options})}"
        )

    @property
    def client(self) -> redis.Redis:
        if isinstance(self._client, redis.Redis):
            return self._client
        raise ConfigurationError(
            "an asynchronous Redis client was given where calls are not awaited; give a redis.Redis"
        )

    def async_client(self) -> redis.asyncio.Redis:
        if isinstance(self._client, redis.asyncio.Redis):
            return self._client
        raise ConfigurationError("a redis.Redis was given where calls are awaited; give a redis.asyncio.Redis")

    def exchange(self, commands: Sequence[Command]) -> Replies:
        """See RedisConnection."""
        if len(commands) == 1:  # a pipeline of one costs the client twice as much
            try:
                return [self.client.execute_command(*commands[0])]  # type: ignore[no-untyped-call]
            except ResponseError as error:
                return [error]
        with self.client.pipeline(transaction=False) as pipeline:
            for command in commands:
                pipeline.execute_command(*command)  # type: ignore[no-untyped-call]
            return pipeline.execute(raise_on_error=False)

    async def aexchange(self, commands: Sequence[Command]) -> Replies:
        """See RedisConnection."""
        if len(commands) == 1:
            try:
                return [await self.async_client().execute_command(*commands[0])]  # type: ignore[no-untyped-call]
            except ResponseError as error:
                return [error]
        async with self.async_client().pipeline(transaction=False) as pipeline:
            for command in commands:
                pipeline.execute_command(*command)
            return await pipeline.execute(raise_on_error=False)

    def __repr__(self) -> str:
        return f"<GivenClient to {self.where}>"


Connection = RedisConnection | GivenClient


def _opener(pool: Any) -> Callable[[], Any]:
    """Makes connections as the pool would. The pool's own maker counts, and refuses at a number it never lowers."""
    return lambda: pool.connection_class(**pool.connection_kwargs)


def _without_secrets(url: str) -> str:
    """Scheme, host, port and path of a url; never user, password or query (``?password=``)."""
    try:
        parts = urlsplit(url)
        if parts.scheme not in _SCHEMES:  # whatever it is, it may be a secret
            return "(not a Redis url)"
        address = f"{parts.hostname or ''}{f':{parts.port}' if parts.port else ''}"
    except ValueError:  # such as a password with an unescaped "/" or "#", which then stands where the port should
        return "(unreadable url)"
    return f"{parts.scheme}://{address}{parts.path}"


class _SharedServer:
    """One embedded server for everybody in the process who asked for ``embedded``; ends with its last user."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._server: EmbeddedRedis | None = None
        self._users = 0

    def acquire(self) -> str:
        with self._lock:
            if self._server is None:
                self._server = EmbeddedRedis().start()
            self._users += 1
            return self._server.url

    def release(self) -> None:
        with self._lock:
            self._users -= 1
            if self._users == 0 and self._server is not None:
                self._server.close()
                self._server = None


_shared_server = _SharedServer()
