"""Sends commands to one server over redis-py's connections, without the cost of its clients and pools.

A GET by redis-py's client takes twice the processor time of the same GET on a connection alone
(benchmarks/results/client_cost.md): for every command the client looks at the socket, takes locks, counts and measures.
Both pools here do without these, and pay for it in one place: a connection that the server closed while it was idle is
noticed only when it is used, and is then opened again, once.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Any, cast

from hiredis import pack_command
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from semcache.redis.client.commands import Command, Replies
from semcache.runtime.forking import renew_in_child

_MAX_CONNECTIONS = 4
"""Connections of an event loop. More than one, so that a slow reply does not hold up the others; few, so that calls
gather into large batches while all of them wait."""


class ConnectionPool:
    """For threads: each call has a connection to itself, which is kept for a later call.

    ``connect`` makes a redis-py connection, which opens itself when it is first used. Safe to use from several threads.
    """

    def __init__(self, connect: Callable[[], Any]) -> None:
        self._connect = connect
        # Connections that no call uses. A call takes one out and puts it back when it is done, so that no other thread
        # can reach the connection meanwhile. list.pop and list.append are atomic in CPython: no lock is needed.
        self._idle: list[Any] = []
        renew_in_child(self)

    def after_fork_in_child(self) -> None:
        """Leave the connections to the parent, whose sockets this process shares."""
        # The list is replaced, not emptied: closing the connections properly would say goodbye to the server in the
        # parent's name. redis-py only closes the copy of the socket when it collects a connection of another process.
        self._idle = []

    def exchange(self, commands: Sequence[Command]) -> Replies:
        """Send commands together and read their replies. Raises what redis-py raises for a connection."""
        try:
            # From the end of the list: the connection that was used last is the one least likely to have gone stale.
            connection = self._idle.pop()
        except IndexError:
            connection, was_open = self._connect(), False
        else:
            was_open = True
        try:
            if was_open and _has_left_over(connection):
                connection.disconnect()
            try:
                replies = _exchange(connection, commands)
            except RedisConnectionError:
                # A new connection that fails would fail again. A timeout is no RedisConnectionError and never repeated:
                # a server that hangs would cost it twice. What is repeated may have been carried out already; all
                # writes of an entry bear that, and the statistics of reuse count an observation twice.
                if not was_open:
                    raise
                connection.disconnect()
                replies = _exchange(connection, commands)
        except BaseException:
            # Replies that were not read yet would be taken for those of the next call, also after an interrupt.
            connection.disconnect()
            raise
        self._idle.append(connection)
        return replies

    def close(self) -> None:
        """Close the connections that no call uses now; later calls open others."""
        while self._idle:
            self._idle.pop().disconnect()


def _has_left_over(connection: Any) -> bool:
    """Whether something was received behind the last reply. Then all later replies would be off by one.

    What the server sends later is not seen: to look at the socket, as redis-py's ``can_read`` does, takes a tenth of a
    whole exchange. Then the check of an entry fails, and the connection is not used again either.
    """
    # Of redis-py's parser and of hiredis' reader below it; redis-py itself asks it in the same way.
    reader = getattr(getattr(connection, "_parser", None), "_reader", None)
    return reader is not None and reader.has_data()


def _exchange(connection: Any, commands: Sequence[Command]) -> Replies:
    connection.send_packed_command([_packed(commands)], check_health=False)
    replies: Replies = []
    for _ in commands:
        try:
            replies.append(connection.read_response())
        except ResponseError as error:
            replies.append(_as_reply(error))
    return replies


def _as_reply(error: ResponseError) -> ResponseError:
    # The frames of its traceback hold the error, and the variables of all callers: without this, a closed cache and its
    # reranker would stay in memory until the garbage collector comes.
    return error.with_traceback(None)


def _packed(commands: Iterable[Command]) -> bytes:
    # The function that redis-py uses too, after it has looked at the type of every argument.
    return b"".join(map(pack_command, commands))  # type: ignore[arg-type] # its stub says tuples of one


class PipelinedPool:
    """For the tasks of one event loop: commands that are sent at the same time go out together, over few connections.

    While all connections wait for replies, new calls gather and go out as the next batch. ``timeout_s`` bounds each
    call from its beginning, in seconds; ``connect_timeout_s`` the opening of a connection. A cancelled call leaves the
    others alone.

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
        self._suspects: set[Any] = set()
        """Connections that are closed before they are used again."""

    async def exchange(self, commands: Sequence[Command]) -> Replies:
        """See ConnectionPool."""
        loop = asyncio.get_running_loop()
        call = _Call(commands, loop, self._timeout_s)
        self._waiting.append(call)
        # Only the first waiting call starts a sender. Calls that come before that sender runs are sent by it, too; and
        # if calls are waiting although senders are running, then all of them are busy.
        if len(self._waiting) == 1 and len(self._senders) < _MAX_CONNECTIONS:
            sender = loop.create_task(self._send_waiting())
            self._senders.add(sender)
            sender.add_done_callback(self._on_sender_done)
        return await call.replies

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
        if was_open and (connection in self._suspects or _has_left_over(connection)):
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
        # The others were cancelled, or were answered before the connection was lost.
        calls = [call for call in batch if not call.replies.done()]
        if not calls:
            return
        loop = asyncio.get_running_loop()
        # One timer for the batch instead of one per read. The first call has waited longest, so none waits too long.
        deadline = calls[0].deadline
        if not connection.is_connected:
            try:
                async with asyncio.timeout(self._connect_timeout_s):
                    await connection.connect()
            except TimeoutError:
                raise RedisTimeoutError(f"no connection within {self._connect_timeout_s:g} s") from None
            # Opening has a time of its own, as it has for threads.
            deadline = loop.time() + self._timeout_s
        try:
            async with asyncio.timeout_at(deadline):
                await _answer(connection, calls)
        except TimeoutError:
            raise RedisTimeoutError(f"no reply within {self._timeout_s:g} s") from None

    def renew(self) -> None:
        """Close every connection before it is used again."""
        self._suspects = set(self._connections)

    async def close(self) -> None:
        """Wait for the calls that are under way, and close the connections."""
        if self._senders:
            await asyncio.wait(self._senders)
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
        self._suspects = set()


class _Call:
    """Commands of one task, and the future of their replies. ``deadline`` is a time of the event loop's clock."""

    __slots__ = ("commands", "deadline", "replies")

    def __init__(self, commands: Sequence[Command], loop: asyncio.AbstractEventLoop, timeout_s: float) -> None:
        self.commands = commands
        self.replies: asyncio.Future[Replies] = loop.create_future()
        self.deadline = loop.time() + timeout_s

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


async def _answer(connection: Any, calls: Sequence[_Call]) -> None:
    commands = [command for call in calls for command in call.commands]
    await connection.send_packed_command([_packed(commands)], check_health=False)
    for call in calls:
        replies: Replies = []
        for _ in call.commands:
            try:
                replies.append(await connection.read_response())
            except ResponseError as error:
                replies.append(_as_reply(error))
        # The replies of a call that was cancelled meanwhile are read all the same: those of the next call lie behind.
        if not call.replies.done():
            call.replies.set_result(replies)
