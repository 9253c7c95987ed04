"""A server that is asked for its figures: whatever answers there, and where the key goes."""

import socketserver
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Thread

import pytest

from semcache.commands.asking import ask, checked_url
from semcache.errors import InvalidInputError, RerankServiceError, SemcacheError

KEY = "operator-0123456789"
NEEDED = {"about"}


@contextmanager
def answering(answer: Callable[[str], str]) -> Iterator[tuple[str, list[str]]]:
    """The url of a server that sends ``answer`` of its own url to every request, and the requests that it got."""
    got: list[str] = []

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            got.append(self.request.recv(4096).decode())
            self.request.sendall(answer(url).encode())

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield url, got
        finally:
            server.shutdown()
            thread.join()


def test_a_key_is_not_sent_to_where_a_server_redirects_to() -> None:
    elsewhere = "HTTP/1.0 302 Found\r\nLocation: {}/elsewhere\r\n\r\n"
    with answering(elsewhere.format) as (url, got), pytest.raises(RerankServiceError):
        ask(url, "/stats", KEY, "--server", NEEDED)
    assert KEY in got[0]
    assert not any(KEY in request for request in got[1:])
    assert len(got) > 1


@pytest.mark.parametrize(
    "answer",
    [
        'HTTP/1.0 200 OK\r\n\r\n{"status": "ok"}',
        "HTTP/1.0 200 OK\r\n\r\n[]",
        "HTTP/1.0 200 OK\r\n\r\n<html>",
        "HTTP/1.0 404 Not Found\r\n\r\n",
        "HTTP/1.0 200 OK\r\nContent-Length: 99\r\n\r\n{",
        "-ERR unknown command\r\n",
        "",
    ],
    ids=["another object", "no object", "no JSON", "no such path", "half an answer", "no HTTP", "nothing"],
)
def test_what_is_no_server_of_semcache_is_named_with_what_to_do(answer: str) -> None:
    with answering(lambda url: answer) as (url, _), pytest.raises(RerankServiceError) as caught:
        ask(url, "/live", None, "--url", NEEDED)
    assert url in str(caught.value)
    assert "`semcache serve`, or name another by --url" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["localhost:8080", "file:///etc/passwd", "http://[::1", "http://", "http://a b", "http://a:b"]
)
def test_what_is_no_url_is_named_with_one_that_is(url: str) -> None:
    with pytest.raises(SemcacheError) as caught:
        ask(checked_url(url, "--url"), "/live", None, "--url", NEEDED)
    assert isinstance(caught.value, InvalidInputError)
    assert f"--url is '{url}'" in str(caught.value)
    assert "http://localhost:8080" in str(caught.value)
