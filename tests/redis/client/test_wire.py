"""Commands as they are sent, and replies that changed on the way such that no value of Python can be made of them."""

from collections.abc import Iterator
from socketserver import BaseRequestHandler, ThreadingTCPServer
from threading import Thread

import pytest

from semcache.errors import StoreUnavailableError
from semcache.redis.client.commands import Command
from semcache.redis.client.connection import RedisConnection
from semcache.redis.client.wire import packed, packed_for_shards


class OneBitOff(BaseRequestHandler):
    """Answers every command by a map that has a list for a name: of a list of strings, one bit away."""

    def handle(self) -> None:
        while self.request.recv(4096):
            self.request.sendall(b"%1\r\n*1\r\n+a\r\n+b\r\n")


@pytest.fixture
def url() -> Iterator[str]:
    with ThreadingTCPServer(("127.0.0.1", 0), OneBitOff) as server:
        server.daemon_threads = True
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"redis://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_such_a_reply_is_an_error_of_redis(url: str) -> None:
    with RedisConnection(url) as connection, pytest.raises(StoreUnavailableError, match="no reply of Redis: TypeError"):
        connection.execute([("GET", "k")])


async def test_in_an_event_loop_too(url: str) -> None:
    async with RedisConnection(url) as connection:
        with pytest.raises(StoreUnavailableError, match="no reply of Redis: TypeError"):
            await connection.aexecute([("GET", "k")])


SEARCH = ("FT.SEARCH", "i", "*=>[KNN 4 @e $v AS vector_distance]", "LIMIT", 0, 4, "PARAMS", 2, "v")


@pytest.mark.parametrize(
    "commands",
    [
        [(*SEARCH, b"vector")],
        [(*SEARCH, b"vector"), ("SET", b"key", b"token", "NX", "PX", 5)],
        [("FT.SEARCH", "i", "*", "NOCONTENT", "LIMIT", 0, 0)],
        [("READONLY",), (*SEARCH, b""), (*SEARCH, b"\r\n$1")],
        [],
    ],
)
def test_what_shards_are_sent_is_what_one_server_is_sent(commands: list[Command]) -> None:
    assert packed_for_shards(commands) == packed(commands)
    assert packed_for_shards(commands) == packed(commands), "also from what was packed before"
