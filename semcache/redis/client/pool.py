"""Sends commands to one server over redis-py's connections for threads, without the cost of its clients and pools.

A GET by redis-py's client takes 1.4 times the processor time of the same GET on a connection alone
(benchmarks/results/client_cost.md): for every command the client looks at the socket, takes locks, counts and measures.
This pool and that of event loops do without these, and pay for it in one place: a connection that the server closed
while it was idle is noticed only when it is used, and is then opened again, once.
"""

from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from semcache.errors import DeadlineExceededError
from semcache.redis.client.commands import Command, Replies
from semcache.redis.client.wire import (
    NO_VALUE,
    RENEWAL_S,
    as_invalid,
    as_reply,
    is_of_replica,
    is_used_up,
    packed,
    packed_for_shards,
)
from semcache.runtime.forking import renew_in_child
from semcache.runtime.threads import ThreadPool

_OPENING_THREADS = 4
"""Connections that are opened at once. A server that accepts them at all does it quickly."""
_LEAST_S = 0.001
"""A timeout of 0 would mean not to wait at all, and a negative one is refused."""


class ConnectionPool:
    """For threads: each call has a connection to itself, which is kept for a later call.

    ``connect`` makes a connection of a ``bounded`` kind, which is not open yet. ``timeout_s`` bounds each exchange,
    ``connect_timeout_s`` the opening of a connection, both by the clock. Safe to use from several threads.
    """

    def __init__(self, connect: Callable[[], Any], timeout_s: float, connect_timeout_s: float) -> None:
        self._connect = connect
        self._timeout_s = timeout_s
        self._connect_timeout_s = connect_timeout_s
        # Connections that no call uses. A call takes one out and puts it back when it is done, so that no other thread
        # can reach the connection meanwhile. list.pop and list.append are atomic in CPython: no lock is needed.
        self._idle: list[Any] = []
        self._threads = ThreadPool(_OPENING_THREADS, "semcache-redis-connect", idle_s=0)
        renew_in_child(self)

    def after_fork_in_child(self) -> None:
        """Leave the connections to the parent, whose sockets this process shares."""
        # The list is replaced, not emptied: closing the connections properly would say goodbye to the server in the
        # parent's name. redis-py only closes the copy of the socket when it collects a connection of another process.
        self._idle = []

    def exchange(self, commands: Sequence[Command], left_s: float | None = None, began: float | None = None) -> Replies:
        """Send commands together and read their replies. Raises what redis-py raises for a connection.

        ``left_s`` are the seconds that the caller can wait from ``began`` on, a time of ``time.monotonic`` and now by
        default, for the opening of a connection as well.
        """
        timeout_s = self._timeout_s
        if left_s is not None and left_s < timeout_s:
            timeout_s = left_s
        until = (monotonic() if began is None else began) + timeout_s
        try:
            # From the end of the list: the connection that was used last is the one least likely to have gone stale.
            connection = self._idle.pop()
        except IndexError:
            connection = None
        if connection is not None:
            try:
                if not is_used_up(connection):
                    return self._exchange(connection, commands, until, timeout_s)
                connection.disconnect()
            except RedisConnectionError:
                # It was closed while it was idle. A new connection that fails would fail again. A timeout is no
                # RedisConnectionError and never repeated: a server that hangs would cost it twice. What is repeated may
                # have been carried out already; all writes of an entry bear that, and the statistics of reuse count an
                # observation twice.
                pass
        if left_s is None:
            connection = self.opened()
            until = monotonic() + timeout_s
        else:
            connection = self._opened_beside(until)
            timeout_s = max(until - monotonic(), _LEAST_S)
        return self._exchange(connection, commands, until, timeout_s)

    def send(self, commands: Sequence[Command], left_s: float | None, began: float) -> "Sent":
        """Send commands without waiting for their replies; see ``exchange``."""
        timeout_s = self._timeout_s if left_s is None else min(left_s, self._timeout_s)
        until = began + timeout_s
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = None
        if connection is not None and is_used_up(connection):
            connection.disconnect()
            connection = None
        if connection is not None:
            connection.limit.begin(until, timeout_s)
            try:
                connection.send_packed_command([packed_for_shards(commands)], check_health=False)
            except RedisConnectionError:  # it was closed while it was idle, see ``exchange``
                connection.disconnect()
                connection = None
            except BaseException:  # also an interrupt: half a command may have been sent
                connection.disconnect()
                raise
        return Sent(self, commands, connection, until, left_s is None)

    def give_back(self, connection: Any) -> None:
        """Keep a connection for later calls, whose replies have all been read."""
        self._idle.append(connection)

    def opened(self) -> Any:
        """A new connection, which the caller closes."""
        connection = self._connect()
        connection.limit.begin(monotonic() + self._connect_timeout_s, self._connect_timeout_s)
        try:
            connection.connect()
        except NO_VALUE as error:
            connection.disconnect()
            raise as_invalid(error) from error
        except BaseException:  # also an interrupt, in the middle of logging in
            connection.disconnect()
            raise
        return connection

    def _opened_beside(self, until: float) -> Any:
        """A new connection, opened by another thread: a request waits for a part of that only.

        A connection that takes longer (TLS, a name server) is kept for a later request.
        """
        while True:
            left_s = until - monotonic()
            try:
                self._threads.call(self._keep_another, "a new connection", left_s)
                return self._idle.pop()
            except DeadlineExceededError:
                raise RedisTimeoutError(f"no connection within the {max(left_s, 0):.3g} s that were left") from None
            except RuntimeError as error:  # the system gives no more threads
                raise RedisConnectionError(str(error)) from error
            except IndexError:  # another thread took it, and will give it back
                continue

    def _keep_another(self) -> None:
        self._idle.append(self.opened())

    def _exchange(self, connection: Any, commands: Sequence[Command], until: float, timeout_s: float) -> Replies:
        connection.limit.begin(until, timeout_s)
        try:
            replies = exchange_on(connection, commands)
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


class Sent:
    """Commands whose replies are to be read, by ``until``, or that are to be sent yet, where no connection was open."""

    __slots__ = ("_commands", "_connection", "_is_patient", "_pool", "_until")

    def __init__(
        self, pool: ConnectionPool, commands: Sequence[Command], connection: Any, until: float, is_patient: bool
    ) -> None:
        self._pool = pool
        self._commands = commands
        self._connection = connection
        self._until = until
        self._is_patient = is_patient

    def replies(self) -> Replies:
        """Wait for the replies. Raises what redis-py raises for a connection."""
        now = monotonic()
        # Also where others were waited for until now: what has come meanwhile is read.
        left_s = max(self._until - now, _LEAST_S)
        if self._connection is not None:
            self._connection.limit.begin(now + left_s, left_s)
            try:
                replies = read_replies(self._connection, self._commands)
            except RedisConnectionError:  # see ``ConnectionPool.exchange``
                self.abandon()
            except BaseException:  # also an interrupt: what is left of the reply would answer the next command
                self.abandon()
                raise
            else:
                self._pool.give_back(self._connection)
                return replies
        return self._pool.exchange(self._commands, None if self._is_patient else left_s)

    def abandon(self) -> None:
        """Close the connection: its replies would be taken for those of the next call."""
        if self._connection is not None:
            self._connection.disconnect()


def exchange_on(connection: Any, commands: Sequence[Command]) -> Replies:
    """Send commands on an open connection for threads, and read their replies."""
    connection.send_packed_command([packed(commands)], check_health=False)
    return read_replies(connection, commands)


def read_replies(connection: Any, commands: Sequence[Command]) -> Replies:
    """Read the replies to commands that were sent. Closes a connection that leads to a replica, unless it is new."""
    replies: Replies = []
    is_replica = False
    for _ in commands:
        try:
            replies.append(connection.read_response())
        except ResponseError as error:
            is_replica = is_replica or is_of_replica(error)
            replies.append(as_reply(error))
        except NO_VALUE as error:
            raise as_invalid(error) from error
    if is_replica and monotonic() - connection.limit.opened_at > RENEWAL_S:
        connection.disconnect()
    return replies
