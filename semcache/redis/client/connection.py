"""The connection to one Redis: bounded waits, a circuit breaker, and a pool for threads and for each event loop."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Literal, Self

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

from semcache.errors import ConfigurationError, StoreError, StoreUnavailableError
from semcache.events import Event, OptionIgnored
from semcache.protocols import Clock
from semcache.redis.client.address import ASYNC, SYNC, Address
from semcache.redis.client.circuit_breaker import RedisCircuitBreaker
from semcache.redis.client.commands import Command, CreateIndex, Reconnect, RedisStep, Replies
from semcache.redis.client.failures import FOREIGN, translated
from semcache.redis.client.lent_client import address_of_client
from semcache.redis.client.pool import ConnectionPool, PipelinedPool
from semcache.redis.client.url import address_of_url
from semcache.redis.server.shared import SHARED_SERVER, Lease
from semcache.runtime.loops import PerLoop
from semcache.settings import Redis as RedisKnobs

_DEFAULTS = RedisKnobs()
"""The defaults stand in the settings, each with its reason."""
DEFAULT_URL = _DEFAULTS.url.get_secret_value()

_Creation = tuple[asyncio.AbstractEventLoop, str]
"""An event loop, and the name of an index that is being created there."""


def server_of(redis_url: object, redis_client: object | None = None) -> "Address | Literal['embedded']":
    """The server of a url, or else of a redis-py client; asks it nothing.

    Raises ConfigurationError for what cannot be used, and for both at once; the default url counts as none.
    """
    if redis_client is None:
        return "embedded" if redis_url == "embedded" else address_of_url(redis_url)
    if redis_url != DEFAULT_URL:
        raise ConfigurationError("redis_url and redis_client are both given; pass one of them")
    return address_of_client(redis_client)


class RedisConnection:
    """One Redis, for any number of threads and event loops.

    ``url`` is ``redis://``, ``rediss://``, ``unix://``, or ``embedded`` for a private server that all such connections
    of the process share and that ends with the last of them; or it is the ``Address`` of a server. No command waits
    longer than ``timeout_s``, opening a connection no longer than ``connect_timeout_s`` (seconds); after a failure
    Redis is left alone for ``retry_after_s`` seconds, doubling up to ``max_retry_after_s``. Nothing is opened until the
    first command. Raises ConfigurationError for an address that cannot be used.

    Example:
        with RedisConnection("redis://localhost:6379", timeout_s=0.1) as connection:
            store = RedisStore(connection, namespace="docs", reranker="r", embedder="e", dims=384)
    """

    def __init__(
        self,
        url: str | Address,
        *,
        timeout_s: float = _DEFAULTS.timeout_s,
        connect_timeout_s: float = _DEFAULTS.connect_timeout_s,
        retry_after_s: float = _DEFAULTS.retry_after_s,
        max_retry_after_s: float = _DEFAULTS.max_retry_after_s,
        on_event: Callable[[Event], None] = lambda event: None,
        clock: Clock = time.monotonic,
    ) -> None:
        self.breaker = RedisCircuitBreaker(retry_after_s, max_retry_after_s, clock=clock, on_event=on_event)
        server = url if isinstance(url, Address) else server_of(url)
        self._lease: Lease | None = None
        if isinstance(server, Address):
            self._address = server
        else:
            self._lease = SHARED_SERVER.acquire()
            self._address = address_of_url(self._lease.url)
        self.where = self._address.where
        for option, instead in self._address.ignored.items():
            on_event(OptionIgnored(option, instead))
        self._options: dict[str, Any] = {
            "socket_timeout": timeout_s,
            "socket_connect_timeout": connect_timeout_s,
            "decode_responses": False,
            # In version 2 of the protocol replies of the search module have the same shape on every server; version 3
            # gives mappings. All code that reads replies counts on version 2.
            "protocol": 2,
        }
        # Keep-alive notices a peer that vanished without closing. Unix sockets refuse the option, and need none.
        if self._address.kind != "unix":
            self._options["socket_keepalive"] = True
        pool = self._redis_pool(redis.ConnectionPool, SYNC, Retry)
        self.client: redis.Redis = redis.Redis.from_pool(pool)
        """redis-py's own client, for what is not on the path of a request. It does not ask the breaker."""
        self._pool = ConnectionPool(_connect_like(pool))
        # No timeout per read: the pools bound whole batches, which costs less.
        unbounded = self._redis_pool(redis.asyncio.ConnectionPool, ASYNC, AsyncRetry, socket_timeout=None)
        self._creating: dict[_Creation, asyncio.Future[redis.ResponseError | None]] = {}
        self._loops = PerLoop(partial(PipelinedPool, _connect_like(unbounded), timeout_s, connect_timeout_s))

    @classmethod
    def of(cls, server: str | Address, knobs: RedisKnobs, on_event: Callable[[Event], None]) -> Self:
        """The connection to a server with the times that the settings name."""
        return cls(
            server,
            timeout_s=knobs.timeout_s,
            connect_timeout_s=knobs.connect_timeout_s,
            retry_after_s=knobs.retry_after_s,
            max_retry_after_s=knobs.max_retry_after_s,
            on_event=on_event,
        )

    def _redis_pool(self, kind: Any, connections: Mapping[Any, Any], retry: Any, **options: Any) -> Any:
        # One immediate retry where the connection was dropped (a restarted server); none after a timeout, since a
        # server that hangs would cost it twice.
        once = retry(NoBackoff(), 1, supported_errors=(redis.exceptions.ConnectionError,))
        # Our own options come last: an address never changes how replies are read, or how long is waited.
        arguments = {**self._address.parameters, "retry": once, **self._options, **options}
        try:
            pool = kind(connection_class=connections[self._address.kind], **arguments)
            _connect_like(pool)()  # opens nothing, but checks the arguments
        except (ValueError, TypeError, redis.RedisError) as error:
            # Not chained: redis-py's message may quote the password.
            raise ConfigurationError(
                f"the connection parameters of {self.where} cannot be used ({type(error).__name__})"
            ) from None
        return pool

    def execute(self, step: RedisStep) -> Any:
        """The answer to a step: a reply for each command, or for ``CreateIndex`` the server's error or None.

        Raises StoreUnavailableError when Redis does not answer, at once while the breaker is open. Raises StoreError
        when it refuses the connection.
        """
        with self.breaker.admit():
            # Translated inside the block: the breaker counts StoreUnavailableError.
            try:
                if isinstance(step, CreateIndex):
                    return step.create(self.client)
                return self._pool.close() if isinstance(step, Reconnect) else self.exchange(step)
            except FOREIGN as error:
                raise self._failure(error) from error

    async def aexecute(self, step: RedisStep) -> Any:
        """``execute``, awaited."""
        with self.breaker.admit():
            try:
                if isinstance(step, CreateIndex):
                    return await self._acreate(step)
                if isinstance(step, Reconnect):
                    return (await self._loop_pool()).renew()
                return await self.aexchange(step)
            except FOREIGN as error:
                raise self._failure(error) from error

    def _failure(self, error: BaseException) -> StoreError:
        failure = translated(error, self.where)
        # The breaker lets few calls come this far, so a server that cannot be started is not tried all the time.
        if self._lease is not None and isinstance(failure, StoreUnavailableError):
            self._lease.revive()
        return failure

    def exchange(self, commands: Sequence[Command]) -> Replies:
        """Send commands in one round trip, without the breaker. Raises what redis-py raises for a connection."""
        return self._pool.exchange(commands)

    async def aexchange(self, commands: Sequence[Command]) -> Replies:
        """``exchange``, awaited. Commands of tasks that send at the same time share round trips."""
        return await (await self._loop_pool()).exchange(commands)

    async def _loop_pool(self) -> PipelinedPool:
        return self._loops.of_running_loop() or await self._loops.open()

    async def _acreate(self, step: CreateIndex) -> redis.ResponseError | None:
        """Create an index, once for all tasks of a loop that find it missing at the same time, as those of a burst."""
        key = (asyncio.get_running_loop(), step.schema.index.name)
        creating = self._creating.get(key)
        if creating is None:
            creating = self._creating[key] = asyncio.ensure_future(self._acreate_now(step))
            creating.add_done_callback(lambda created: self._created(key, created))
        # Shielded, so that a task that is cancelled does not take the index from the others.
        return await asyncio.shield(creating)

    def _created(self, key: _Creation, creating: "asyncio.Future[redis.ResponseError | None]") -> None:
        self._creating.pop(key, None)
        # Read, since an error whose waiting tasks were all cancelled would be logged by asyncio as never retrieved.
        if not creating.cancelled():
            creating.exception()

    async def _acreate_now(self, step: CreateIndex) -> redis.ResponseError | None:
        # Once per index, so the client is not kept.
        pool = self._redis_pool(redis.asyncio.ConnectionPool, ASYNC, AsyncRetry)
        async with redis.asyncio.Redis.from_pool(pool) as client:
            return await step.acreate(client)

    def close(self) -> None:
        """Close the connections of threads, and the embedded server if this was its last user. Twice is harmless.

        Those of an event loop are closed by ``aclose`` in that loop, or when the loop ends.
        """
        self._pool.close()
        self._loops.abandon_closed_loops()
        self.client.close()
        if self._lease is not None:
            self._lease.end()

    async def aclose(self) -> None:
        """Close the running loop's connections, and everything that ``close`` does."""
        await self._loops.close_running()
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
