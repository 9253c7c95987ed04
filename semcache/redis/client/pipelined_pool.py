"""Sends the commands of an event loop's tasks to one server: those of the same time together, over few connections."""

import asyncio
from collections.abc import Callable, Sequence
from math import inf
from typing import Any, cast

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from semcache.redis.client.commands import Command, Replies
from semcache.redis.client.wire import NO_VALUE, RENEWAL_S, as_invalid, as_reply, is_of_replica, is_used_up, packed

_MAX_CONNECTIONS = 4
"""Connections of an event loop. More than one, so that a slow reply does not hold up the others; few, so that calls
gather into large batches while all of them wait."""


class PipelinedPool:
    """For the tasks of one event loop: commands that are sent at the same time go out together, over few connections.

    While all connections wait for replies, new calls gather and go out as the next batch. ``timeout_s`` bounds each
    call from its beginning, in seconds; ``connect_timeout_s`` the opening of a connection. A cancelled call, and one
    whose time is over, leave the others alone.

    A sender is a task that owns one connection for as long as calls are waiting. Everything here belongs to one event
    loop and is touched by its tasks only. A task keeps control between two awaits, so a check and the change that
    depends on it need no lock as long as no await stands between them.
    """

    def __init__(self, connect: Callable[[], Any], timeout_s: float, connect_timeout_s: float) -> None:
        self._connect = connect
        self._timeout_s = timeout_s
        self._connect_timeout_s = connect_timeout_s
        self._connections: list[Any] = []
        """All that may be open, also those that senders own."""
        self._idle: list[Any] = []
        self._waiting: list[_Call] = []
        """Calls that no sender has taken yet, oldest first."""
        self._senders: set[asyncio.Task[None]] = set()
        self._under_way: set[_Batch] = set()
        self._timer: asyncio.TimerHandle | None = None
        """Fires when the time of the first of all calls is over. One for all of them: nearly every call is answered
        long before."""
        self._suspects: set[Any] = set()
        """Connections that are closed before they are used again."""
        self._renewed_at = -inf
        """When that was so since the server is a replica."""
        self._closing: asyncio.Task[None] | None = None

    async def exchange(self, commands: Sequence[Command], left_s: float | None = None) -> Replies:
        """See ConnectionPool."""
        return await self.submit(commands, left_s)

    def submit(self, commands: Sequence[Command], left_s: float | None = None) -> "asyncio.Future[Replies]":
        """``exchange`` for a caller that asks several servers at once: the replies are awaited later, or cancelled."""
        loop = asyncio.get_running_loop()
        timeout_s = self._timeout_s if left_s is None else min(left_s, self._timeout_s)
        call = _Call(commands, loop, timeout_s, waits_for_opening=left_s is None)
        self._waiting.append(call)
        if self._timer is None or call.deadline < self._timer.when():
            self._expire_at(call.deadline)
        # Only the first waiting call starts a sender. Calls that come before that sender runs are sent by it, too; and
        # if calls are waiting although senders are running, then all of them are busy.
        if len(self._waiting) == 1 and len(self._senders) < _MAX_CONNECTIONS:
            sender = loop.create_task(self._send_waiting())
            self._senders.add(sender)
            sender.add_done_callback(self._on_sender_done)
        return call.replies

    def _on_sender_done(self, sender: "asyncio.Task[None]") -> None:
        # A sender takes itself out of the set. One that is still in it was cancelled before its first step, so it could
        # not fail the calls that count on it: they would wait for ever.
        if sender in self._senders:
            self._senders.discard(sender)
            left, self._waiting = self._waiting, []
            for call in left:
                call.replies.cancel()

    async def _send_waiting(self) -> None:
        """Send batches as long as calls are waiting."""
        connection, sender = None, cast("asyncio.Task[None]", asyncio.current_task())
        batch: list[_Call] = []
        try:
            connection = self._idle.pop() if self._idle else self._new_connection()
            while self._waiting:
                batch, self._waiting = self._waiting, []
                await self._send_batch(connection, batch)
        except BaseException as error:
            # Calls that wait behind a failure would meet the same failure, after their time is over: they fail now.
            # All of this comes before the await below, where their tasks may run and send again.
            failed, self._waiting = batch + self._waiting, []
            self._senders.discard(sender)
            for call in failed:
                call.fail(error)
            if connection is not None:
                self._connections.remove(connection)
                self._suspects.discard(connection)
                await connection.disconnect(nowait=True)
            if not isinstance(error, Exception):
                raise
        else:
            # Here and not in the callback, which runs later: a call that came in between would see a sender that is
            # not busy any more, start none of its own, and wait for ever.
            self._senders.discard(sender)
            self._idle.append(connection)

    def _new_connection(self) -> Any:
        connection = self._connect()
        self._connections.append(connection)
        return connection

    async def _send_batch(self, connection: Any, batch: "list[_Call]") -> None:
        was_open = connection.is_connected
        if was_open and (connection in self._suspects or is_used_up(connection)):
            await connection.disconnect(nowait=True)
            self._suspects.discard(connection)
        try:
            await self._exchange(connection, batch)
        except RedisConnectionError:  # see ConnectionPool.exchange
            if not was_open:
                raise
            await connection.disconnect(nowait=True)
            await self._exchange(connection, batch)

    async def _exchange(self, connection: Any, batch: "list[_Call]") -> None:
        # The others were cancelled, or their time is over, or they were answered before the connection was lost.
        under_way = _Batch([call for call in batch if not call.replies.done()])
        if not under_way.calls:
            return
        self._under_way.add(under_way)
        try:
            if not connection.is_connected:
                await self._open(connection, under_way.calls)
            # It is set only when no call waits any more: a time of its own would be one more timer for each batch.
            async with asyncio.timeout(None) as under_way.limit:
                is_replica = await _answer(connection, under_way.calls)
        except TimeoutError:
            raise RedisTimeoutError("no reply in time") from None  # the calls have been told already
        finally:
            self._under_way.discard(under_way)
        if is_replica and (now := asyncio.get_running_loop().time()) > self._renewed_at + RENEWAL_S:
            self._renewed_at = now
            self.renew()

    async def _open(self, connection: Any, calls: "list[_Call]") -> None:
        """Open a connection. It takes the time it takes: calls that can wait no longer leave it to later ones."""
        loop = asyncio.get_running_loop()
        patient = [call for call in calls if call.waits_for_opening]
        for call in patient:
            call.deadline += self._connect_timeout_s
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                await connection.connect()
        except TimeoutError:
            raise RedisTimeoutError(f"no connection within {self._connect_timeout_s:g} s") from None
        except NO_VALUE as error:
            raise as_invalid(error) from error
        for call in patient:
            call.deadline = loop.time() + self._timeout_s

    def _expire_at(self, time: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(time, self._expire, time)

    def _expire(self, due: float) -> None:
        """Fail the calls whose time is over. A connection that has no other calls to answer is given up."""
        self._timer = None
        now = asyncio.get_running_loop().time()
        # A loop that is late itself has perhaps not yet read replies that are there: they get that much more time.
        grace_s = min(2 * (now - due), self._timeout_s)
        outstanding = [*self._waiting, *(call for batch in self._under_way for call in batch.calls)]
        outstanding = [call for call in outstanding if not call.replies.done()]
        for call in outstanding:
            if call.deadline + grace_s <= now:
                call.fail(RedisTimeoutError(f"no reply within {call.timeout_s:.3g} s"))
        for batch in self._under_way:
            if batch.limit is not None and all(call.replies.done() for call in batch.calls):
                batch.limit.reschedule(now)
                batch.limit = None  # it cannot be set again
        left = [call.deadline for call in outstanding if not call.replies.done()]
        if left:
            self._expire_at(max(min(left), now + grace_s / 2))

    def renew(self) -> None:
        """Close every connection before it is used again."""
        self._suspects = set(self._connections)

    def close_soon(self) -> None:
        """``close`` in a task of its own, which this pool keeps until it is done."""
        self._closing = asyncio.get_running_loop().create_task(self.close())

    async def close(self) -> None:
        """Wait for the calls that are under way, and close the connections."""
        if self._senders:
            await asyncio.wait(self._senders)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._idle:
            connection = self._idle.pop()
            self._connections.remove(connection)
            self._suspects.discard(connection)
            await connection.disconnect()

    def abandon(self) -> None:
        """Close the sockets without the loop, which is closed or belongs to the parent of this process."""
        for connection in self._connections:
            _close_socket(connection)
        self._connections, self._idle, self._waiting, self._senders = [], [], [], set()
        self._suspects, self._under_way = set(), set()
        self._timer = None


class _Batch:
    """Calls that were sent together, and the time limit of their replies; None while a connection is opened."""

    __slots__ = ("calls", "limit")

    def __init__(self, calls: "list[_Call]") -> None:
        self.calls = calls
        self.limit: asyncio.Timeout | None = None


class _Call:
    """Commands of one task, and the future of their replies.

    ``deadline`` is a time of the event loop's clock; the opening of a connection adds to it if the call
    ``waits_for_opening``.
    """

    __slots__ = ("commands", "deadline", "replies", "timeout_s", "waits_for_opening")

    def __init__(
        self,
        commands: Sequence[Command],
        loop: asyncio.AbstractEventLoop,
        timeout_s: float,
        *,
        waits_for_opening: bool,
    ) -> None:
        self.commands = commands
        self.replies: asyncio.Future[Replies] = loop.create_future()
        self.timeout_s = timeout_s
        self.deadline = loop.time() + timeout_s
        self.waits_for_opening = waits_for_opening

    def fail(self, error: BaseException) -> None:
        """Raise the error in the task, or cancel the task's call if the sender itself was cancelled."""
        if self.replies.done():  # answered before the failure, or cancelled
            return
        if isinstance(error, Exception):
            self.replies.set_exception(error)
        else:
            self.replies.cancel()


def _close_socket(connection: Any) -> None:
    """Close an asynchronous connection's socket, and nothing else of it."""
    # Both redis-py and asyncio can only close it by the loop: a closed loop refuses, and in a forked child the parent's
    # loop would no longer be told when its own copy of the socket is ready. Neither offers the socket itself, so it is
    # taken from inside. uvloop has no such attribute; it closes the sockets of a loop with the loop.
    writer = getattr(connection, "_writer", None)
    sock = None if writer is None else getattr(writer.get_extra_info("socket"), "_sock", None)
    if sock is not None:
        sock.close()


async def _answer(connection: Any, calls: Sequence[_Call]) -> bool:
    """Send the calls' commands and read their replies. Whether the server says that it is a replica."""
    commands = [command for call in calls for command in call.commands]
    await connection.send_packed_command([packed(commands)], check_health=False)
    is_replica = False
    for call in calls:
        replies: Replies = []
        for _ in call.commands:
            try:
                replies.append(await connection.read_response())
            except ResponseError as error:
                is_replica = is_replica or is_of_replica(error)
                replies.append(as_reply(error))
            except NO_VALUE as error:
                raise as_invalid(error) from error
        # The replies of a call that was cancelled meanwhile are read all the same: those of the next call lie behind.
        if not call.replies.done():
            call.replies.set_result(replies)
    return is_replica
