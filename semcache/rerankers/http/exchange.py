"""Sends a request to a rerank service until it is answered, its time is over, or trying again has no point."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from threading import Event
from typing import TYPE_CHECKING, Any

from tenacity import AsyncRetrying, Retrying

from semcache.causes import cause_of
from semcache.errors import ConfigurationError, DeadlineExceededError, RerankerError, RerankServiceError, SemcacheError
from semcache.protocols import Clock
from semcache.rerankers.http.attempts import retried
from semcache.rerankers.http.clients import Clients, import_httpx
from semcache.rerankers.http.endpoint import Endpoint
from semcache.rerankers.http.replies import Reply
from semcache.rerankers.rate_limit import RateLimit

if TYPE_CHECKING:
    import httpx

# A packet that is lost when a connection is opened is sent again after 1 and after 3 s.
_CONNECT_S = 3.5
# The largest honest answer holds all documents, each letter escaped as \uXXXX, besides a result for each.
_ANSWER_PER_BYTE = 6
_ANSWER_BYTES = 1 << 20
_ERROR_BYTES = 1 << 16


# Of a service that says 429 without a Retry-After. Its limits count by the second or by the minute.
_PAUSE_S = 1.0


@dataclass(frozen=True, slots=True)
class Until:
    """The time of the clock until which an answer must be there, ``left_s`` after its beginning."""

    at: float
    left_s: float
    is_callers: bool
    """Whether it is the caller's deadline, and not the longest time that an answer may take."""


@dataclass(slots=True)
class Asked:
    """One request: its body, how many pairs it holds, and the texts that no error may show."""

    body: bytes
    pairs: int
    secrets: Sequence[str]
    until: Until
    has_turn: bool
    """Whether the next attempt has its turn of the rate limit already."""


class Exchange:
    """One service, asked by POST. Safe to use from several threads and event loops.

    A request is sent at most ``attempts`` times: again after a failed connection, 429, 502, 503 or 504, as long as
    there is time. A 429 or a Retry-After holds up all requests, not only the one that got it. ``on_pause`` is told of
    it.
    """

    def __init__(
        self,
        service: str,
        endpoint: Endpoint,
        clients: Clients,
        rate_limit: RateLimit,
        attempts: int,
        clock: Clock,
        on_pause: Callable[[float], None],
    ) -> None:
        self._service = service
        self._endpoint = endpoint
        self._clients = clients
        self._rate_limit = rate_limit
        self._attempts = attempts
        self._clock = clock
        self._on_pause = on_pause
        self._httpx = import_httpx()
        try:
            self._url = self._httpx.URL(endpoint.url)
        except self._httpx.InvalidURL:  # without the cause, which may show a secret
            raise ConfigurationError("url cannot be read; it must look like https://host:port/path") from None
        self._closing = Event()

    def send(self, asked: Asked) -> bytes:
        """The body of the answer.

        Raises RerankServiceError, or DeadlineExceededError if the caller's deadline comes first.
        """
        return Retrying(sleep=self._sleep, **self._retried(asked))(self._attempt, asked)

    async def asend(self, asked: Asked) -> bytes:
        """``send``, awaited."""
        return await AsyncRetrying(sleep=asyncio.sleep, **self._retried(asked))(self._aattempt, asked)

    def _retried(self, asked: Asked) -> dict[str, Any]:
        return retried(self._attempts, self._left_s(asked.until), partial(self._rate_limit.wait_s, asked.pairs))

    def close(self) -> None:
        """Wake the threads that wait until they may try again."""
        self._closing.set()
        self._clients.close()

    async def aclose(self) -> None:
        """``close`` for event loops."""
        self._closing.set()
        await self._clients.aclose()

    def _attempt(self, asked: Asked) -> bytes:
        while (wait_s := self._wait_s(asked)) > 0:
            self._sleep(wait_s)
        received = _Received(len(asked.body))
        with (
            self._translated(received, asked.until),
            self._clients.for_thread(self._left_s(asked.until)) as client,
            client.stream("POST", **self._request(asked)) as response,
        ):
            received.begin(response)
            for chunk in response.iter_bytes():
                if received.is_enough(chunk):
                    break
                self._left_s(asked.until)  # raises if no time is left, however small the pieces are that keep coming
        return self._answer(received, asked.secrets)

    async def _aattempt(self, asked: Asked) -> bytes:
        while (wait_s := self._wait_s(asked)) > 0:  # noqa: ASYNC110 - time alone brings the turn
            await asyncio.sleep(wait_s)
        received = _Received(len(asked.body))
        client = await self._clients.for_running_loop()
        with self._translated(received, asked.until):
            async with (
                asyncio.timeout(self._left_s(asked.until)),
                client.stream("POST", **self._request(asked)) as response,
            ):
                received.begin(response)
                async for chunk in response.aiter_bytes():
                    if received.is_enough(chunk):
                        break
        return self._answer(received, asked.secrets)

    def _request(self, asked: Asked) -> dict[str, Any]:
        left_s = self._left_s(asked.until)
        timeout = self._httpx.Timeout(left_s, connect=min(left_s, _CONNECT_S))
        return {"url": self._url, "content": asked.body, "timeout": timeout}

    def _answer(self, received: "_Received", secrets: Sequence[str]) -> bytes:
        if received.is_too_large:
            raise RerankerError(
                f"{self._service} answered with more than {received.most} bytes, which is more than all documents and "
                "their scores take; check url"
            )
        reply = Reply(received.status, received.headers, bytes(received.body))
        if reply.is_answer:
            return reply.body
        error = reply.error(self._service, self._endpoint.shown, secrets)
        pause_s = error.retry_after_s
        if error.status == HTTPStatus.TOO_MANY_REQUESTS:
            pause_s = _PAUSE_S if pause_s is None else pause_s
            self._rate_limit.refused(pause_s)
        elif pause_s is not None:
            self._rate_limit.pause(pause_s)
        if pause_s is not None:
            self._on_pause(pause_s)
        raise error

    @contextmanager
    def _translated(self, received: "_Received", until: Until) -> Iterator[None]:
        """Errors of httpx as ours."""
        try:
            yield
        except (TimeoutError, self._httpx.TimeoutException) as error:
            raise self._timed_out(error, until) from error
        except self._httpx.DecodingError as error:
            raise RerankerError(f"{self._service} answered with what cannot be unpacked: {cause_of(error)}") from error
        # A client that is closed under a request raises RuntimeError.
        except (RuntimeError, self._httpx.TransportError) as error:
            if self._clients.is_closed:
                raise self._closed("in the middle of a request") from error
            if isinstance(error, RuntimeError):
                raise
            # Before an answer has begun, the connection may have been closed as idle, or the server was restarted. What
            # breaks off in the middle was computed and paid for, and would break off again.
            if received.status:
                why = f"{self._service} broke off in the middle of its answer: {cause_of(error)}"
                raise RerankServiceError(why) from error
            raise self._unreachable(cause_of(error)) from error

    def _timed_out(self, error: Exception, until: Until) -> Exception:
        if isinstance(error, self._httpx.PoolTimeout):
            return self._too_late(until, "all connections are in use; raise concurrency")
        if not isinstance(error, self._httpx.ConnectTimeout):
            return self._too_late(until, "no answer came")
        if self._clock() >= until.at:
            return self._too_late(until, "it could not be reached")
        return self._unreachable(f"no connection within {_CONNECT_S} s")

    def _unreachable(self, why: str) -> RerankServiceError:
        return RerankServiceError(
            f"{self._service} could not be reached at {self._endpoint.shown}: {why}", may_pass=True
        )

    def _too_late(self, until: Until, why: str) -> RerankServiceError | DeadlineExceededError:
        if until.is_callers:
            return DeadlineExceededError(f"{self._service} did not answer within {until.left_s:.3g} s: {why}")
        return RerankServiceError(f"{self._service} did not answer within timeout_s={until.left_s:.3g}: {why}")

    def _left_s(self, until: Until) -> float:
        left_s = until.at - self._clock()
        if left_s <= 0:
            raise self._too_late(until, "no time is left")
        return left_s

    def _wait_s(self, asked: Asked) -> float:
        """Take the request's turn of the rate limit: 0. Or the seconds after which to try again.

        Raises if these are too many.
        """
        if asked.has_turn:
            asked.has_turn = False  # a further attempt needs one of its own
            return 0.0
        wait_s = self._rate_limit.try_take(asked.pairs)
        if 0 < wait_s >= self._left_s(asked.until):
            why = f"{self._service} was not called: its rate limit or a Retry-After lets it be called in {wait_s:.3g} s"
            if asked.until.is_callers:
                raise DeadlineExceededError(why)
            raise RerankServiceError(
                f"{why}, after timeout_s={asked.until.left_s:.3g}; send less, or raise requests_per_minute or "
                "pairs_per_minute if the service allows it",
                retry_after_s=wait_s,
            )
        return wait_s

    def _sleep(self, seconds: float) -> None:
        if seconds > 0 and self._closing.wait(seconds):
            raise self._closed("while a request waited to be sent")

    def _closed(self, when: str) -> SemcacheError:
        return SemcacheError(f"the reranker {self._service} was closed {when}")


class _Received:
    """The part of a response that is there, and how much of it may come."""

    def __init__(self, request_bytes: int) -> None:
        self.status = 0
        self.headers: Mapping[str, str] = {}
        self.body = bytearray()
        self.most = _ANSWER_BYTES + _ANSWER_PER_BYTE * request_bytes
        self.is_too_large = False

    def begin(self, response: "httpx.Response") -> None:
        """Status and headers are there."""
        self.status, self.headers = response.status_code, response.headers

    def is_enough(self, chunk: bytes) -> bool:
        """Take a piece of the body; True if no further one is needed, of an error or of what can be no answer."""
        self.body += chunk
        if self.status >= HTTPStatus.MULTIPLE_CHOICES:
            return len(self.body) > _ERROR_BYTES
        self.is_too_large = len(self.body) > self.most
        return self.is_too_large
