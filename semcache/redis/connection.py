"""Connections to one Redis: clients with bounded waits, and what to do when it does not answer."""

import asyncio
import threading
import time
import weakref
from collections.abc import Awaitable, Callable
from typing import Any, Self
from urllib.parse import urlsplit

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

from semcache.errors import ConfigurationError
from semcache.events import Event
from semcache.protocols import Clock
from semcache.redis.embedded import EmbeddedRedis
from semcache.redis.gate import AvailabilityGate

_SCHEMES = ("redis", "rediss", "unix")
_MAX_CONNECTIONS = 256
"""More callers at once than a model can serve; redis-py's 100 is too few for an event loop with many requests."""


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
        self.gate = AvailabilityGate(retry_after_s, max_retry_after_s, clock=clock, on_event=on_event)
        self._embedded = url == "embedded"
        self._url = _shared_server.acquire() if self._embedded else url
        self.where = f"Redis at {_without_secrets(self._url)}"
        self._options: dict[str, Any] = {
            "socket_timeout": timeout_s,
            "socket_connect_timeout": connect_timeout_s,
            "decode_responses": False,
            "max_connections": _MAX_CONNECTIONS,
            # Version 2 of the protocol: replies of the search module have one shape there, on every server.
            "protocol": 2,
        }
        if not self._url.startswith("unix:"):  # notices a peer that went without a word; unix sockets know
            self._options["socket_keepalive"] = True
        self.client: redis.Redis = self._build(redis.Redis, Retry)
        self._loops: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, redis.asyncio.Redis] = (
            weakref.WeakKeyDictionary()
        )

    def _build(self, kind: Any, retry: Any) -> Any:
        # One immediate retry where the connection was dropped (an idle one, a restarted server); none after a timeout,
        # since a frozen server would cost it twice.
        once = retry(NoBackoff(), 1, supported_errors=(redis.exceptions.ConnectionError,))
        try:
            return kind.from_url(self._url, retry=once, **self._options)
        except (ValueError, TypeError):
            # Not chained: what the library says may quote the password.
            raise ConfigurationError(
                f"cannot use the Redis url {_without_secrets(self._url)}; write redis://[user:password@]host:port/db, "
                "rediss://..., unix:///path/to/socket or embedded, with special characters percent-encoded"
            ) from None

    def async_client(self) -> redis.asyncio.Redis:
        """The client of the running event loop: sockets cannot be shared between loops."""
        loop = asyncio.get_running_loop()
        client = self._loops.get(loop)
        if client is None:
            client = self._loops[loop] = self._build(redis.asyncio.Redis, _AsyncRetry)
        return client

    def close(self) -> None:
        """Close what can be closed without an event loop, and the embedded server if this was its last user."""
        self.client.close()
        if self._embedded:
            self._embedded = False
            _shared_server.release()

    async def aclose(self) -> None:
        """Close the running loop's client, and everything that ``close`` does."""
        client = self._loops.pop(asyncio.get_running_loop(), None)
        if client is not None:
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


class _AsyncRetry(AsyncRetry):
    """Sees a timeout where redis-py's asynchronous client says that the connection failed *because of* a timeout."""

    async def call_with_retry(self, do: Callable[[], Awaitable[Any]], *rest: Any, **named: Any) -> Any:
        async def unwrapped() -> Any:
            try:
                return await do()
            except redis.exceptions.ConnectionError as error:
                if isinstance(error.__cause__, redis.exceptions.TimeoutError):
                    raise error.__cause__ from None
                raise

        return await super().call_with_retry(unwrapped, *rest, **named)


class GivenClient:
    """A redis-py client that the caller made and keeps: its timeouts and retries are the caller's."""

    def __init__(self, client: redis.Redis | redis.asyncio.Redis) -> None:
        if client.get_connection_kwargs().get("decode_responses"):
            raise ConfigurationError(
                "the Redis client decodes replies, which damages vectors; use decode_responses=False"
            )
        self._client = client
        self.gate = AvailabilityGate(1.0, 30.0, clock=time.monotonic, on_event=lambda event: None)
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

    def __repr__(self) -> str:
        return f"<GivenClient to {self.where}>"


Connection = RedisConnection | GivenClient


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
