"""Connections with TLS, to a small server of the tests' own: the packaged redis-server has no TLS."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import redis

from semcache.cache import RedisSemanticCache
from semcache.errors import StoreError, TransientStoreError
from semcache.redis.client.connection import RedisConnection
from semcache.redis.client.lent_client import address_of_client
from tests.fakes import WordEmbedder
from tests.redis.certificate import CERTIFICATE


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
