"""Bounds by the clock all that redis-py's connections for threads send and read.

The timeout of a socket begins anew with every read. A server that sends a reply byte by byte would hold a thread for as
long as it likes.
"""

from math import inf
from time import monotonic
from typing import Any


class Limit:
    """The time of ``time.monotonic`` by which a connection must have done what it is doing; infinite for no limit."""

    __slots__ = ("until",)

    def __init__(self) -> None:
        self.until = inf

    def left_s(self) -> float:
        """Seconds that are left. Raises TimeoutError when none are, as a socket does."""
        left_s = self.until - monotonic()
        if left_s <= 0:
            raise TimeoutError("timed out")
        return left_s


class TimedSocket:
    """A socket whose calls together end by its limit; everything else is the socket's own."""

    __slots__ = ("_limit", "_reads", "_socket", "_timeout_s")

    def __init__(self, socket: Any, limit: Limit) -> None:
        self._socket = socket
        self._limit = limit
        self._timeout_s = 0.0
        # The first read after a sending needs no other timeout than that.
        self._reads = 0

    def sendall(self, data: bytes) -> None:
        """Send all of it. Python bounds the sending as a whole."""
        if self._limit.until < inf:
            self._bound()
        self._reads = 0
        self._socket.sendall(data)

    def recv_into(self, buffer: Any) -> int:
        """Read what has come, as much as fits."""
        if self._reads and self._limit.until < inf:
            self._bound()
        self._reads += 1
        return self._socket.recv_into(buffer)  # type: ignore[no-any-return]

    def _bound(self) -> None:
        left_s = self._limit.left_s()
        # To set a timeout is a call of the system. Most requests have the same budget, to within a millisecond.
        if not 0.9 * left_s < self._timeout_s < left_s + 0.001:
            self._socket.settimeout(left_s)
            self._timeout_s = left_s

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
