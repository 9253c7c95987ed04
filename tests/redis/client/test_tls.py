"""Connections with TLS, to a small server of the tests' own: the packaged redis-server has no TLS."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
import redis

from semcache.cache import RedisSemanticCache
from semcache.errors import StoreError, StoreTooSlowError, StoreUnavailableError, TransientStoreError
from semcache.redis.client.connection import RedisConnection
from semcache.redis.client.lent_client import address_of_client
from semcache.runtime.budget import TimeBudget
from tests.fakes import WordEmbedder
from tests.redis.certificate import CERTIFICATE
from tests.redis.proxy import Proxy
from tests.scripted import Stopwatch


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    path = tmp_path / "localhost.pem"
    path.write_text(CERTIFICATE)
    return path


@pytest.fixture
def port(certificate: Path) -> Iterator[int]:
    """The port of a server that says to every command that there is nothing."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    def serve() -> None:
        with suppress(OSError):  # also when a client does not trust it, or the test has closed it
            while True:
                connection, _ = server.accept()
                with suppress(OSError), context.wrap_socket(connection, server_side=True) as encrypted:
                    while encrypted.recv(4096):
                        encrypted.sendall(b"$-1\r\n")

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
    thread.join()


@pytest.mark.parametrize("options", ["ssl_ca_certs={}", "ssl_cert_reqs=none"])
async def test_options_of_tls_count_for_threads_and_event_loops(port: int, certificate: Path, options: str) -> None:
    url = f"rediss://127.0.0.1:{port}?{options.format(certificate)}"
    async with RedisConnection(url, timeout_s=5, connect_timeout_s=5) as connection:
        assert await connection.aexecute([("GET", "k")]) == [None]
    with RedisConnection(url, timeout_s=5, connect_timeout_s=5) as connection:
        assert connection.execute([("GET", "k")]) == [None]


def test_those_of_a_client_too(port: int, certificate: Path) -> None:
    lent = redis.Redis("127.0.0.1", port, ssl=True, ssl_ca_certs=str(certificate))
    with RedisConnection(address_of_client(lent), timeout_s=5, connect_timeout_s=5) as connection:
        assert connection.execute([("GET", "k")]) == [None]


def test_a_certificate_that_is_not_trusted_is_found_at_the_construction(port: int) -> None:
    with pytest.raises(StoreError, match=r"certificate of .* is not trusted: self.signed.*\?ssl_ca_certs=") as caught:
        RedisSemanticCache(f"rediss://127.0.0.1:{port}", WordEmbedder())
    assert not isinstance(caught.value, TransientStoreError)


async def test_a_certificate_for_another_name_is_said_to_be_one(port: int, certificate: Path) -> None:
    url = f"rediss://:secret@127.1:{port}?ssl_ca_certs={certificate}"  # another name of the same machine
    message = r"is for another name: .*127\.1.*; write the name that it was issued for"
    async with RedisConnection(url, timeout_s=5, connect_timeout_s=5) as connection:
        with pytest.raises(StoreError, match=message) as caught:
            await connection.aexecute([("GET", "k")])
    with (
        RedisConnection(url, timeout_s=5, connect_timeout_s=5) as connection,
        pytest.raises(StoreError, match=message),
    ):
        connection.execute([("GET", "k")])
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("trouble", [{"frozen": True}, {"byte_s": 0.05}], ids=lambda trouble: next(iter(trouble)))
async def test_a_request_waits_no_longer_than_without_tls(
    redis_url: str, certificate: Path, trouble: dict[str, Any]
) -> None:
    with Proxy(redis_url, certificate).running() as proxy:
        async with RedisConnection(proxy.url, timeout_s=5, connect_timeout_s=5) as connection:
            ping = [("PING",)]  # its answer has seven bytes
            assert connection.execute(ping) == await connection.aexecute(ping) == [b"PONG"]
            proxy.change(**trouble)
            began = monotonic()
            with Stopwatch() as watch:
                with TimeBudget(0.1), pytest.raises(StoreTooSlowError):
                    connection.execute(ping)
                with TimeBudget(0.1), pytest.raises(StoreTooSlowError):
                    await connection.aexecute(ping)
                assert watch.seconds < 0.6
            assert monotonic() - began >= 0.2
            proxy.heal()


async def test_a_server_that_asks_for_a_certificate_gets_it(redis_url: str, certificate: Path) -> None:
    with Proxy(redis_url, certificate, asks_for_certificate=True).running() as proxy:
        url = f"{proxy.url}&ssl_certfile={certificate}&ssl_keyfile={certificate}"
        async with RedisConnection(url, timeout_s=5, connect_timeout_s=5) as connection:
            assert connection.execute([("PING",)]) == await connection.aexecute([("PING",)]) == [b"PONG"]
        with RedisSemanticCache(url, WordEmbedder()) as cache:
            cache.remember("q", ["a"], [1.0])
            assert cache.lookup("q", ["a"]).status == "exact"


async def test_without_it_the_connection_is_refused(redis_url: str, certificate: Path) -> None:
    with Proxy(redis_url, certificate, asks_for_certificate=True).running() as proxy:
        async with RedisConnection(proxy.url, timeout_s=5, connect_timeout_s=5) as connection:
            with pytest.raises(StoreUnavailableError, match="cannot be reached"):
                await connection.aexecute([("PING",)])
        with (
            RedisConnection(proxy.url, timeout_s=5, connect_timeout_s=5) as connection,
            pytest.raises(StoreUnavailableError, match="cannot be reached"),
        ):
            connection.execute([("PING",)])
