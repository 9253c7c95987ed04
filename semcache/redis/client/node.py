"""The connection to one server: bounded waits, a circuit breaker, and a pool for threads and for each event loop."""

from collections.abc import Callable, Sequence
from functools import partial
from random import random
from time import monotonic
from typing import Any

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.retry import Retry

from semcache.errors import StoreError, StoreTooSlowError, StoreUnavailableError
from semcache.events import Event, PrimaryChanged
from semcache.protocols import Clock
from semcache.redis.client.address import ASYNC, SYNC, Address
from semcache.redis.client.awaited import Awaited
from semcache.redis.client.circuit_breaker import RedisCircuitBreaker
from semcache.redis.client.commands import Command, CreateIndex, Reconnect, RedisStep, Replies
from semcache.redis.client.failures import FOREIGN, translated
from semcache.redis.client.index_creation import IndexCreation
from semcache.redis.client.pipelined_pool import PipelinedPool
from semcache.redis.client.pool import ConnectionPool, Sent
from semcache.redis.client.prober import Prober, quickest_answer_s
from semcache.redis.client.redis_pools import connect_like, redis_pool
from semcache.redis.client.sentinel import Finder, HostPort, afollowing, following
from semcache.redis.client.timed_socket import bounded
from semcache.runtime.budget import TimeBudget, current_budget
from semcache.runtime.loops import PerLoop
from semcache.settings import Redis as RedisKnobs

_DEFAULTS = RedisKnobs()
"""The defaults stand in the settings, each with its reason."""

_BOUNDED = {kind: bounded(connection) for kind, connection in SYNC.items()}
_FOLLOWING = {kind: following(connection) for kind, connection in _BOUNDED.items()}
_ASYNC_FOLLOWING = {kind: afollowing(connection) for kind, connection in ASYNC.items()}
"""Those whose address the Sentinels tell."""

ROUND_TRIPS = 5
"""Of a look-up at most: the exact entry, its vector, the index of a tenant, neighbours, their scores. Where one takes
longer than this part of the budget, a look-up cannot be made within it, and Redis counts as slow."""
_QUICK_AGAIN = 0.9
"""Part of the time that counts as slow within which a Redis that is left alone must answer, so that one that takes just
that long is not taken up and left alone again and again. Not much less: one that always took a little less before it
failed once must be taken up again."""

_IN_VAIN = 0.25
"""Of the budget: a wait that says something about the server. Shards of a cluster that are asked at once have half of
what is left of it."""


class NodeConnection:
    """One server, for any number of threads and event loops.

    No command waits longer than ``timeout_s``, opening a connection no longer than ``connect_timeout_s``, and all
    commands of a request together no longer than ``budget_s`` (seconds, see ``TimeBudget``). After a failure, and while
    it is slow, the server is left alone and asked in the background, every ``retry_after_s`` seconds
    (``RedisCircuitBreaker``), until it answers again. ``revive`` is called when it does not answer, and must not wait.
    Nothing is opened until the first command. Raises ConfigurationError for an address that cannot be used.
    """

    def __init__(
        self,
        address: Address,
        *,
        budget_s: float = _DEFAULTS.budget_s,
        timeout_s: float = _DEFAULTS.timeout_s,
        connect_timeout_s: float = _DEFAULTS.connect_timeout_s,
        retry_after_s: float = _DEFAULTS.retry_after_s,
        max_retry_after_s: float = _DEFAULTS.max_retry_after_s,
        on_event: Callable[[Event], None] = lambda event: None,
        clock: Clock = monotonic,
        revive: Callable[[], None] = lambda: None,
    ) -> None:
        self.budget_s = budget_s
        self._slow_s = budget_s / ROUND_TRIPS
        self._timeout_s = timeout_s
        self._prober = Prober(self._probe)
        self.breaker: RedisCircuitBreaker = RedisCircuitBreaker(
            retry_after_s, max_retry_after_s, clock=clock, on_event=on_event, watch=self._prober.start, jitter=random
        )
        self._revive = revive
        self._address = address
        self._on_event = on_event
        self.where: str = address.where
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
        kinds, async_kinds = _BOUNDED, ASYNC
        if address.sentinels is not None:
            kinds, async_kinds = _FOLLOWING, _ASYNC_FOLLOWING
            self._options["find"] = Finder(address.sentinels, connect_timeout_s, self._moved).find
        pool = redis_pool(redis.ConnectionPool, kinds[address.kind], Retry, address, self._options)
        self.client: redis.Redis = redis.Redis.from_pool(pool)
        """redis-py's own client, for what is not on the path of a request. It does not ask the breaker."""
        self._pool = ConnectionPool(connect_like(pool), timeout_s, connect_timeout_s)
        # No timeout per read: the pools bound whole batches, which costs less.
        apool = partial(redis_pool, redis.asyncio.ConnectionPool, async_kinds[address.kind], AsyncRetry, address)
        unbounded = apool({**self._options, "socket_timeout": None})
        self._indexes = IndexCreation(self.client, partial(apool, self._options))
        self._loops = PerLoop(partial(PipelinedPool, connect_like(unbounded), timeout_s, connect_timeout_s))

    def execute(self, step: RedisStep) -> Any:
        """The answer to a step: a reply for each command, or for ``CreateIndex`` the server's error or None.

        Raises StoreUnavailableError when Redis does not answer, at once while the breaker is open (its
        StoreLeftAloneError). Raises StoreError when it refuses the connection, and StoreTooSlowError when the time is
        over that the request may wait (``TimeBudget``).
        """
        epoch = self.breaker.admit()
        budget, began = current_budget(), monotonic()
        left_s = None if budget is None else budget.left_s
        if left_s is not None and left_s <= 0:
            raise self._too_slow()
        try:
            if isinstance(step, CreateIndex):
                return self._indexes.create(step, left_s)
            return self._pool.close() if isinstance(step, Reconnect) else self._pool.exchange(step, left_s, began)
        except FOREIGN as error:
            raise self._failure(error, left_s, began, epoch) from error
        finally:
            self._spend(budget, began)

    async def aexecute(self, step: RedisStep) -> Any:
        """``execute``, awaited."""
        epoch = self.breaker.admit()
        budget, began = current_budget(), monotonic()
        left_s = None if budget is None else budget.left_s
        if left_s is not None and left_s <= 0:
            raise self._too_slow()
        try:
            if isinstance(step, CreateIndex):
                return await self._indexes.acreate(step, left_s)
            if isinstance(step, Reconnect):
                return (await self._loop_pool()).renew()
            return await self.aexchange(step, left_s)
        except FOREIGN as error:
            raise self._failure(error, left_s, began, epoch) from error
        finally:
            self._spend(budget, began)

    def _spend(self, budget: TimeBudget | None, began: float) -> None:
        """Take the time since then off the request's, and tell the breaker whether it was slow."""
        if budget is None:
            return
        seconds = monotonic() - began
        budget.left_s -= seconds
        if seconds > self._slow_s or self.breaker.slow_in_a_row:
            self.breaker.took(seconds > self._slow_s)

    def begin(self, commands: Sequence[Command], left_s: float | None) -> Callable[[], Replies]:
        """Send commands; what it returns waits for their replies, ``left_s`` seconds from now at most.

        So that several servers can be asked at once. Both raise what ``execute`` raises. A caller that gives up drops
        the second, and the connection with it, since its replies would be taken for those of the next call.
        """
        epoch = self.breaker.admit()
        if left_s is not None and left_s <= 0:
            raise self._too_slow()
        began = monotonic()
        try:
            sent = self._pool.send(commands, left_s, began)
        except FOREIGN as error:
            raise self._failure(error, left_s, began, epoch) from error
        return partial(self._finish, sent, left_s, began, epoch)

    def _finish(self, sent: Sent, left_s: float | None, began: float, epoch: int) -> Replies:
        try:
            return sent.replies()
        except FOREIGN as error:
            raise self._failure(error, left_s, began, epoch) from error

    async def abegin(self, commands: Sequence[Command], left_s: float | None) -> Awaited:
        """``begin`` for event loops."""
        epoch = self.breaker.admit()
        if left_s is not None and left_s <= 0:
            raise self._too_slow()
        began = monotonic()
        replies = (await self._loop_pool()).submit(commands, left_s)
        return Awaited(replies, partial(self._failure, left_s=left_s, began=began, epoch=epoch))

    def _failure(self, error: BaseException, left_s: float | None, began: float, epoch: int) -> StoreError:
        # Of a request that could wait longer, the command took its own whole time.
        if left_s is None or left_s >= self._timeout_s or not isinstance(error, redis.TimeoutError):
            failure = self._translated(error)
            # A server that cannot be reached, refuses the password or sends garbage. An error that a command is
            # answered with is a reply, and raises nothing.
            self.breaker.failed(epoch, str(failure))
            return failure
        # A request that had little time left, by its deadline or after other calls, says nothing about Redis.
        seconds = monotonic() - began
        if seconds >= self.budget_s * _IN_VAIN:
            self.breaker.waited_in_vain(seconds, seconds - left_s, self.where)
        return self._too_slow()

    def _translated(self, error: BaseException) -> StoreError:
        failure = translated(error, self.where)
        # The breaker lets few calls come this far, so a server that cannot be started is not tried all the time.
        if isinstance(failure, StoreUnavailableError):
            self._revive()
        return failure

    def _too_slow(self) -> StoreTooSlowError:
        return StoreTooSlowError(
            f"{self.where} took all the time that the request may wait for it (redis.budget_s, {self.budget_s:g} s, or "
            "half of its deadline); the rest of the request goes on without the cache"
        )

    def _probe(self) -> str:
        """The trouble with Redis at the moment; empty if it answers, and quickly enough for requests."""
        slow_s = self._slow_s * (_QUICK_AGAIN if self.breaker.is_open else 1)
        try:
            connection = self._pool.opened()
            try:
                quickest_s = quickest_answer_s(connection, self._timeout_s, slow_s)
            finally:
                connection.disconnect()
        except FOREIGN as error:
            return str(self._translated(error))
        if quickest_s <= slow_s:
            return ""
        return (
            f"{self.where} is slow: it takes {quickest_s * 1000:.0f} ms to answer, and more than "
            f"{self._slow_s * 1000:.0f} ms would hold requests up; if that is usual, raise redis.budget_s "
            f"(SEMCACHE_REDIS__BUDGET_S), {self.budget_s:g} s now, to {ROUND_TRIPS} times as much as it takes"
        )

    def exchange(self, commands: Sequence[Command], left_s: float | None = None) -> Replies:
        """Send commands in one round trip, without the breaker. Raises what redis-py raises for a connection.

        ``left_s`` are the seconds that the caller can wait, for the opening of a connection as well.
        """
        return self._pool.exchange(commands, left_s)

    async def aexchange(self, commands: Sequence[Command], left_s: float | None = None) -> Replies:
        """``exchange``, awaited. Commands of tasks that send at the same time share round trips."""
        return await (await self._loop_pool()).exchange(commands, left_s)

    def _moved(self, before: HostPort, primary: HostPort) -> None:
        """Leave the connections to the primary of before, which may hang for as long as the system waits."""
        self.renew()
        self._on_event(PrimaryChanged(*(f"{host}:{port}" for host, port in (before, primary))))

    def renew(self) -> None:
        """Use none of the connections again that no call uses now, in every event loop, without waiting."""
        self._pool.close()
        self.client.connection_pool.disconnect(inuse_connections=False)
        self._loops.each_soon(PipelinedPool.renew)

    async def _loop_pool(self) -> PipelinedPool:
        return self._loops.of_running_loop() or await self._loops.open()

    def close(self) -> None:
        """Close the connections of threads. Twice is harmless.

        Those of an event loop are closed by ``aclose`` in that loop, or when the loop ends.
        """
        self._prober.stop()
        self._pool.close()
        self._loops.abandon_closed_loops()
        self.client.close()

    def retire(self) -> None:
        """Close what calls do not use now, in every event loop, without waiting: the server is not asked any more."""
        self._loops.each_soon(PipelinedPool.close_soon)
        self.close()

    async def aclose(self) -> None:
        """Close the running loop's connections, and everything that ``close`` does."""
        await self._loops.close_running()
        self.close()

    def __repr__(self) -> str:
        return f"<NodeConnection to {self.where}>"
