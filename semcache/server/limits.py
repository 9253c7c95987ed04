"""Refuses before any work is done: too many requests at once, and requests that are too large or too slow."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from math import isfinite

from starlette.requests import ClientDisconnect, Request

from semcache.server.formats import Asked
from semcache.server.refusals import RefusedError
from semcache.settings import Server

DEADLINE_HEADER = "X-Semcache-Deadline-S"


class Limits:
    """The limits of the section ``server`` of the settings, for the requests of one event loop."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._under_way = 0

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Count a request in the block. Raises RefusedError (503) when as many as may be are under way."""
        if self._under_way >= self._server.max_requests:
            raise RefusedError(
                503, f"{self._under_way} requests are under way, which is the most", self._server.retry_after_s
            )
        self._under_way += 1
        try:
            yield
        finally:
            self._under_way -= 1

    def deadline_s(self, request: Request) -> float:
        """Seconds for this request: what its header says, at most the setting. Raises RefusedError (400)."""
        said = request.headers.get(DEADLINE_HEADER)
        if said is None:
            return self._server.deadline_s
        try:
            seconds = float(said)
        except ValueError:
            seconds = 0.0
        if not (isfinite(seconds) and seconds > 0):
            raise RefusedError(400, f"{DEADLINE_HEADER} must be a number of seconds above 0, such as 0.5")
        return min(seconds, self._server.deadline_s)

    async def body_of(self, request: Request, deadline_s: float) -> bytes:
        """The body. Raises RefusedError: 413 as soon as it is too large, 408 when it does not come in time."""
        most = self._server.max_body_bytes
        said = request.headers.get("content-length", "0")
        if said.isdecimal() and int(said) > most:
            raise _too_large(most)
        body = bytearray()
        try:
            async with asyncio.timeout(deadline_s):
                async for part in request.stream():
                    body += part
                    if len(body) > most:
                        raise _too_large(most)
        except TimeoutError:
            raise RefusedError(408, f"the body did not come within {deadline_s:g} s") from None
        except ClientDisconnect:
            raise RefusedError(400, "the client closed the connection") from None
        return bytes(body)

    def check(self, asked: Asked, texts: list[str]) -> None:
        """Raises RefusedError for no documents (422), too many of them, or texts that are too long (413)."""
        server = self._server
        if not texts:
            raise RefusedError(422, "there are no documents; send at least one")
        if len(texts) > server.max_documents:
            raise RefusedError(413, f"{len(texts)} documents; send at most {server.max_documents}")
        if len(asked.query) > server.max_chars:
            raise RefusedError(413, f"the query has {len(asked.query)} characters; send at most {server.max_chars}")
        for at, text in enumerate(texts):
            if len(text) > server.max_chars:
                raise RefusedError(413, f"document {at} has {len(text)} characters; send at most {server.max_chars}")


def _too_large(most: int) -> RefusedError:
    return RefusedError(413, f"the body is larger than {most} bytes; send fewer or shorter documents")
