"""Sentinels that hang or talk nonsense, played by small servers."""

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from threading import Event, Thread

import pytest
import redis
import redis.asyncio

from semcache.redis.client.sentinel import Finder, HostPort, Sentinels, afollowing
from tests.scripted import PATIENCE_S

STATE = {"name": "cache", "ip": "10.0.0.7", "port": "6380", "flags": "master", "role-reported": "master"}
MASTERS = [part for pair in STATE.items() for part in pair]
REPLY = f"*1\r\n*{len(MASTERS)}\r\n" + "".join(f"${len(part)}\r\n{part}\r\n" for part in MASTERS)

Talk = Callable[[socket.socket], None]


class Heard:
    """Has the method that a finder calls."""

    def moved(self, before: HostPort, primary: HostPort) -> None:
        raise AssertionError("nothing has moved")


HEARD = Heard()


@contextmanager
def sentinel(talk: Talk) -> Iterator[HostPort]:
    """A program that accepts connections, and says what it says."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with suppress(OSError):  # the end of the test, or of the connection
                while True:
                    connection, _ = server.accept()
                    with connection, suppress(OSError):
                        talk(connection)

        thread = Thread(target=serve)
        thread.start()
        try:
            yield server.getsockname()
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


def answering(reply: str) -> Talk:
    """Everything is fine, and to the question for primaries it says this."""

    def talk(connection: socket.socket) -> None:
        while asked := connection.recv(65536):
            for command in asked.split(b"*")[1:]:
                connection.sendall(reply.encode() if b"MASTERS" in command else b"+OK\r\n")

    return talk


def drips(connection: socket.socket) -> None:
    """A reply that never ends."""
    connection.sendall(b"*1000000\r\n")
    while not Event().wait(0.01):
        connection.sendall(b"$1\r\na\r\n")


def finder(*hosts: HostPort, timeout_s: float = PATIENCE_S) -> Finder:
    return Finder(Sentinels("cache", hosts), timeout_s, HEARD.moved)


@pytest.mark.parametrize("nonsense", ["+OK\r\n", ":7\r\n", "*1\r\n+OK\r\n", "*1\r\n*2\r\n+name\r\n+cache\r\n"])
def test_after_one_that_talks_nonsense_the_next_is_asked(nonsense: str) -> None:
    with ExitStack() as stack:
        hosts = [stack.enter_context(sentinel(answering(reply))) for reply in (nonsense, REPLY)]
        assert finder(*hosts).find() == ("10.0.0.7", 6380)


async def test_where_the_system_gives_no_more_threads_there_is_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Thread) -> None:
        raise RuntimeError("can't start new thread")

    connection = afollowing(redis.asyncio.Connection)(find=lambda: ("127.0.0.1", 1))
    with monkeypatch.context() as patch, pytest.raises(redis.ConnectionError, match="can't start new thread"):
        patch.setattr(Thread, "start", refuse)
        await connection.connect()


def test_one_that_never_ends_its_reply_is_not_waited_for() -> None:
    with sentinel(drips) as host:
        asking = finder(host, timeout_s=0.1)
        with pytest.raises(redis.TimeoutError):
            asking.find()
