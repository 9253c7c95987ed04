"""Carries commands to one server over redis-py's connections, without the cost of its clients and pools.

A GET by redis-py's client takes twice the processor time of the same GET on its connection alone
(benchmarks/results/client_cost.md), since the client asks the operating system about the socket, locks, counts and
times each time. What that buys is had here for less: a connection that fails is dropped, and one that had gone stale is
opened again, once.
"""

import asyncio
import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any, cast

from hiredis import pack_command
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from semcache.redis.client.scripts import Command

Replies = list[Any]
"""One per command, in order; an error of the server is a value like any other."""

_AT_ONCE = 4
"""Connections of an event loop: one slow answer must not hold up the others, and few make large batches."""


class ConnectionPool:
    """For threads: each call has a connection to itself, which is kept for the next.

    ``connect`` makes a redis-py connection, which opens itself when it is first used.
    """

    def __init__(self, connect: Callable[[], Any]) -> None:
        self._connect = connect
        self._free: list[Any] = []
        self._process = os.getpid()

    def exchange(self, commands: Sequence[Command]) -> Replies:
        """Send commands together and read their replies. Raises what redis-py raises for a connection."""
        if self._process != os.getpid():  # a forked child must not write into its parent's sockets
            self._free, self._process = [], os.getpid()
        try:
            connection = self._free.pop()
        except IndexError:
            connection, was_open = self._connect(), False
        else:
            was_open = True
        try:
            try:
                replies = _exchanged(connection, commands)
            except RedisConnectionError:
                if not was_open:
                    raise
                connection.disconnect()
                replies = _exchanged(connection, commands)
        except BaseException:  # whatever was not read yet would pass for the answer to the next command
            connection.disconnect()
            raise
        self._free.append(connection)
        return replies

    def close(self) -> None:
        """Close the connections that nobody uses now."""
        while self._free:
            self._free.pop().disconnect()


def _exchanged(connection: Any, commands: Sequence[Command]) -> Replies:
    connection.send_packed_command([_packed(commands)], check_health=False)
    return [_reply(connection) for _ in commands]


def _packed(commands: Iterable[Command]) -> bytes:
    # As redis-py has it done, but for looking at the type of every argument first.
    return b"".join(map(pack_command, commands))  # type: ignore[arg-type] # its stub says tuples of one


def _reply(connection: Any) -> Any:
    try:
        return connection.read_response()
    except ResponseError as error:
        return error


class PipelinedPool:
    """For the tasks of one event loop: what they send at the same time goes out together, over few connections.

    While all connections wait for replies, new calls gather and go out as the next batch. ``timeout_s`` bounds each
    call from its beginning, in seconds; ``connect_timeout_s`` the opening of a connection. A cancelled call leaves the
    others alone.
    """

    def __init__(self, connect: Callable[[], Any], timeout_s: float, connect_timeout_s: float) -> None:
        self._connect = connect
        self._timeout_s = timeout_s
        self._connect_timeout_s = connect_timeout_s
        self._free: list[Any] = []
        self._waiting: list[_Call] = []
        self._senders: set[asyncio.Task[None]] = set()

    async def exchange(self, commands: Sequence[Command]) -> Replies:
        """See ConnectionPool."""
        loop = asyncio.get_running_loop()
        call = _Call(commands, loop, self._timeout_s)
        self._waiting.append(call)
        # Whoever comes first calls a sender; those who come before it sets out travel with it.
        if len(self._waiting) == 1 and len(self._senders) < _AT_ONCE:
            sender = loop.create_task(self._send_waiting())
            self._senders.add(sender)
            sender.add_done_callback(self._ended)
        return await call.replies

    def _ended(self, sender: "asyncio.Task[None]") -> None:
        """Let nobody wait for a sender that was cancelled before it set out."""
        if sender in self._senders:
            self._senders.discard(sender)
            left, self._waiting = self._waiting, []
            for call in left:
                call.replies.cancel()

    async def _send_waiting(self) -> None:
        """Carry batches as long as somebody waits."""
        connection, sender = None, cast("asyncio.Task[None]", asyncio.current_task())
        batch: list[_Call] = []
        try:
            connection = self._free.pop() if self._free else self._connect()
            while self._waiting:
                batch, self._waiting = self._waiting, []
                await self._send_batch(connection, batch)
        except BaseException as error:
            # Who waits behind a failure would meet the same one, later than promised.
            failed, self._waiting = batch + self._waiting, []
            self._senders.discard(sender)
            for call in failed:
                call.fail(error)
            if connection is not None:
                await connection.disconnect(nowait=True)
            if not isinstance(error, Exception):
                raise
        else:
            # At once, not when the task has ended: a call that comes in between would count on this sender.
            self._senders.discard(sender)
            self._free.append(connection)

    async def _send_batch(self, connection: Any, batch: "list[_Call]") -> None:
        was_open = connection.is_connected
        try:
            await self._exchange_once(connection, batch)
        except RedisConnectionError:
            if not was_open:
                raise
            await connection.disconnect(nowait=True)
            await self._exchange_once(connection, batch)

    async def _exchange_once(self, connection: Any, batch: "list[_Call]") -> None:
        calls = [call for call in batch if not call.replies.done()]  # the others were cancelled, or answered before
        if not calls:
            return
        due = calls[0].due
        if not connection.is_connected:
            await self._open(connection)
            due = asyncio.get_running_loop().time() + self._timeout_s
        try:
            async with asyncio.timeout_at(due):
                await _exchange_all(connection, calls)
        except TimeoutError:
            raise RedisTimeoutError(f"no reply within {self._timeout_s:g} s") from None

    async def _open(self, connection: Any) -> None:
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                await connection.connect()
        except TimeoutError:
            raise RedisTimeoutError(f"no connection within {self._connect_timeout_s:g} s") from None

    async def close(self) -> None:
        """Let what is under way come to its end, and close the connections."""
        if self._senders:
            await asyncio.wait(self._senders)
        while self._free:
            await self._free.pop().disconnect()


class _Call:
    """Commands of one task, and where their replies go. ``due`` is a time of the event loop's clock."""

    __slots__ = ("commands", "due", "replies")

    def __init__(self, commands: Sequence[Command], loop: asyncio.AbstractEventLoop, timeout_s: float) -> None:
        self.commands = commands
        self.replies: asyncio.Future[Replies] = loop.create_future()
        self.due = loop.time() + timeout_s

    def fail(self, error: BaseException) -> None:
        if self.replies.done():  # answered before the failure, or cancelled
            return
        if isinstance(error, Exception):
            self.replies.set_exception(error)
        else:
            self.replies.cancel()


async def _exchange_all(connection: Any, calls: Sequence[_Call]) -> None:
    commands = [command for call in calls for command in call.commands]
    await connection.send_packed_command([_packed(commands)], check_health=False)
    for call in calls:
        replies = [await _areply(connection) for _ in call.commands]
        if not call.replies.done():  # cancelled meanwhile
            call.replies.set_result(replies)


async def _areply(connection: Any) -> Any:
    try:
        return await connection.read_response()
    except ResponseError as error:
        return error
