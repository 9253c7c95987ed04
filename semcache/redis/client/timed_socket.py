"""Bounds by the clock all that redis-py's connections for threads send and read.

The timeout of a socket begins anew with every read. A server that sends a reply byte by byte would hold a thread for as
long as it likes.
"""

from collections.abc import Callable
from math import inf
from ssl import SSLWantReadError
from time import monotonic
from typing import Any


class Limit:
    """The time by which a connection must have done what it is doing; none before ``begin``."""

    __slots__ = ("_grace_s", "_set_timeout", "_timeout_s", "is_new", "opened_at", "until")

    def __init__(self) -> None:
        self.until: float = inf
        self.opened_at: float = 0.0
        self._grace_s = 0.0
        self._timeout_s = 0.0
        self._set_timeout: Callable[[float], None] | None = None
        self.is_new: bool = False
        """Whether the next read is the first: it needs no other timeout than that of ``begin``."""

    def of_socket(self, set_timeout: Callable[[float], None]) -> None:
        """The connection was opened, with a socket that this sets the timeout of."""
        self.opened_at = monotonic()
        self._set_timeout = set_timeout
        self._timeout_s = 0.0

    def begin(self, until: float, left_s: float) -> None:
        """Be done by ``until``, a time of ``time.monotonic``, which is in ``left_s`` seconds."""
        self.until = until
        self._grace_s = left_s
        self.is_new = True
        self._bound(left_s)

    def before_reading(self) -> None:
        """Bound a further read. Raises TimeoutError when no time is left, as a socket does."""
        if self.until < inf:
            left_s = self.until - monotonic()
            if left_s <= -self._grace_s:
                raise TimeoutError("timed out")
            # A thread that is late itself, in a busy process, still takes what has come meanwhile.
            self._bound(max(left_s, 0.0))

    def _bound(self, left_s: float) -> None:
        # To set a timeout is a call of the system. Most requests have the same budget, to within a millisecond.
        if not 0.9 * left_s < self._timeout_s < left_s + 0.001 and self._set_timeout is not None:
            self._set_timeout(left_s)
            self._timeout_s = left_s


class TimedSocket:
    """A socket whose reads together end by a limit; everything else is the socket's own.

    Python bounds the sending of all data as a whole, by the timeout.
    """

    __slots__ = ("_limit", "_recv_into", "_socket", "sendall")

    def __init__(self, socket: Any, limit: Limit) -> None:
        self._socket = socket
        self.sendall: Any = socket.sendall
        self._recv_into = socket.recv_into
        self._limit = limit
        limit.of_socket(socket.settimeout)

    def recv_into(self, buffer: Any) -> int:
        """Read what has come, as much as fits."""
        limit = self._limit
        if limit.is_new:
            limit.is_new = False
        else:
            limit.before_reading()
        try:
            return self._recv_into(buffer)  # type: ignore[no-any-return]
        except (BlockingIOError, SSLWantReadError):  # the time is over, and nothing has come
            raise TimeoutError("timed out") from None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._socket, name)


def bounded(kind: type[Any]) -> type[Any]:
    """A kind of redis-py's connections for threads, each with a ``limit``."""

    class Bounded(kind):  # type: ignore[misc] # a kind of which mypy knows nothing
        def __init__(self, *arguments: Any, **named: Any) -> None:
            self.limit = Limit()
            super().__init__(*arguments, **named)

        # redis-py has no other place where the socket can be had: each of its own kinds overrides this method, too.
        def _connect(self) -> TimedSocket:
            return TimedSocket(super()._connect(), self.limit)

    return Bounded
