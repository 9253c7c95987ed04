"""Everything that a service can do wrong, asked by threads and by event loops."""

import asyncio
import gzip
from collections.abc import Callable, Iterator
from threading import Event
from time import monotonic
from typing import Any

import pytest

from semcache.errors import DeadlineExceededError, RerankerError, RerankServiceError, SemcacheError
from semcache.protocols import FloatArray
from semcache.rerankers import HttpReranker
from tests.contracts.reranker import PAIRS
from tests.rerank_service import Handler, Request, RerankService, Response, relevance
from tests.scripted import PATIENCE_S

EXPECTED = [relevance(*pair) for pair in PAIRS]
Ask = Callable[[HttpReranker], FloatArray]


def by_thread(reranker: HttpReranker) -> FloatArray:
    return reranker.score(PAIRS)


def by_loop(reranker: HttpReranker) -> FloatArray:
    return asyncio.run(reranker.ascore_pairs(PAIRS))


@pytest.fixture(params=[by_thread, by_loop])
def ask(request: pytest.FixtureRequest) -> Ask:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def service() -> Iterator[RerankService]:
    with RerankService("cohere") as service:
        yield service


@pytest.fixture
def make(service: RerankService) -> Iterator[Callable[..., HttpReranker]]:
    made: list[HttpReranker] = []

    def make(**options: Any) -> HttpReranker:
        made.append(HttpReranker("cohere", "m", url=service.url, **{"api_key": "sk-geheim-12345", **options}))
        return made[-1]

    yield make
    for reranker in made:
        reranker.close()


def status(number: int, said: Any = "later", **headers: str) -> Callable[[Handler, Request], Response]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda handler, request: Response(said, number, named)


def hang_up(handler: Handler, request: Request) -> None:
    """The connection is closed without an answer."""


def break_off(handler: Handler, request: Request) -> None:
    """The connection is closed in the middle of the body."""
    handler.send_response(200)
    handler.send_header("content-length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"results": [')


@pytest.mark.parametrize("answer", [status(429, retry_after="0"), status(502), status(503), status(504), hang_up])
def test_what_may_pass_is_tried_again(
    service: RerankService, make: Callable[..., HttpReranker], ask: Ask, answer: Any
) -> None:
    service.script += [answer, answer]
    assert ask(make()).tolist() == EXPECTED
    assert len(service.requests) == 3


@pytest.mark.parametrize("answer", [status(503), hang_up])
def test_it_is_tried_no_more_than_that(
    service: RerankService, make: Callable[..., HttpReranker], ask: Ask, answer: Any
) -> None:
    service.always = answer
    with pytest.raises(RerankServiceError) as caught:
        ask(make(retries=1))
    assert caught.value.may_pass
    assert len(service.requests) == 2


@pytest.mark.parametrize("number", [400, 401, 403, 404, 413, 422, 500, 501, 302, 308])
def test_what_would_fail_again_is_not_tried_again(
    service: RerankService, make: Callable[..., HttpReranker], ask: Ask, number: int
) -> None:
    service.always = status(number, {"message": "no, sk-geheim-12345"}, location="http://elsewhere/v2/rerank")
    with pytest.raises(RerankServiceError, match=f"cohere/m@127.0.0.1:[0-9]+ answered {number}") as caught:
        ask(make())
    assert (caught.value.status, caught.value.may_pass) == (number, False)
    assert "geheim" not in str(caught.value)
    assert len(service.requests) == 1


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (break_off, "broke off in the middle of its answer: RemoteProtocolError"),
        (status(200, b"<html>hello</html>", content_type="text/html"), "no JSON but 18 bytes that begin with b'<html>"),
        (status(200, b'{"results": ['), "no JSON"),
        (status(200, {"results": []}), "gave 0 scores for 3 documents"),
        (status(200, b"no gzip", content_encoding="gzip"), "what cannot be unpacked"),
        (status(204, b""), "an empty body"),
    ],
)
def test_an_answer_that_cannot_be_used_was_paid_for_and_is_not_asked_for_again(
    service: RerankService, make: Callable[..., HttpReranker], ask: Ask, answer: Any, message: str
) -> None:
    service.always = answer
    with pytest.raises(RerankerError, match=message):
        ask(make())
    assert len(service.requests) == 1


def endless(handler: Handler, request: Request) -> None:
    handler.send_response(200)
    handler.send_header("transfer-encoding", "chunked")
    handler.end_headers()
    while True:  # until the client hangs up, which raises
        handler.wfile.write(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")


@pytest.mark.parametrize("answer", [endless, status(200, gzip.compress(b" " * 30_000_000), content_encoding="gzip")])
def test_no_body_fills_the_memory(
    service: RerankService, make: Callable[..., HttpReranker], ask: Ask, answer: Any
) -> None:
    service.always = answer
    with pytest.raises(RerankerError, match=r"answered with more than 1\d{6} bytes"):
        ask(make())


def test_the_body_of_an_error_is_read_no_further_than_needed(
    service: RerankService, make: Callable[..., HttpReranker], ask: Ask
) -> None:
    service.always = status(400, b"x" * 10_000_000)
    with pytest.raises(RerankServiceError, match=r"answered 400 Bad Request") as caught:
        ask(make())
    assert len(str(caught.value)) < 1000


def test_a_service_that_does_not_answer_is_given_up(
    service: RerankService, make: Callable[..., HttpReranker], ask: Ask
) -> None:
    done = Event()
    service.always = lambda handler, request: done.wait(PATIENCE_S) and None
    started = monotonic()
    with pytest.raises(RerankServiceError, match=r"did not answer within timeout_s=0.2"):
        ask(make(timeout_s=0.2))
    assert monotonic() - started < PATIENCE_S / 2
    done.set()


def test_a_service_that_answers_byte_by_byte_is_given_up(
    service: RerankService, make: Callable[..., HttpReranker], ask: Ask
) -> None:
    done = Event()

    def drip(handler: Handler, request: Request) -> None:
        handler.send_response(200)
        handler.send_header("content-length", "100000")
        handler.end_headers()
        while not done.wait(0.01):
            handler.wfile.write(b" ")

    service.always = drip
    started = monotonic()
    with pytest.raises(RerankServiceError, match=r"did not answer within timeout_s=0.2"):
        ask(make(timeout_s=0.2))
    assert monotonic() - started < PATIENCE_S / 2
    done.set()


def test_no_retry_begins_after_the_time_is_over(
    service: RerankService, make: Callable[..., HttpReranker], ask: Ask
) -> None:
    service.always = status(503, "later", retry_after="30")
    started = monotonic()
    with pytest.raises(RerankServiceError, match="503") as caught:
        ask(make(timeout_s=PATIENCE_S, retries=50))
    assert monotonic() - started < PATIENCE_S / 2
    assert caught.value.retry_after_s == 30
    assert len(service.requests) == 1


def test_a_retry_after_holds_up_all_requests_and_is_said_to_those_that_cannot_wait(
    service: RerankService, make: Callable[..., HttpReranker], ask: Ask
) -> None:
    reranker = make(timeout_s=5.0)
    service.script.append(status(429, "slow down", retry_after="30"))
    for message in (
        "429 Too Many Requests",
        "not called: its rate limit or a Retry-After lets it be called in [23]",
    ):
        with pytest.raises(RerankServiceError, match=message):
            ask(reranker)
    assert len(service.requests) == 1


def test_a_short_retry_after_is_waited_for(service: RerankService, make: Callable[..., HttpReranker], ask: Ask) -> None:
    service.script.append(status(429, "slow down", retry_after="0.3"))
    started = monotonic()
    assert ask(make()).tolist() == EXPECTED
    assert 0.3 <= monotonic() - started < PATIENCE_S / 2


def test_the_callers_deadline_is_an_error_of_its_own(service: RerankService, make: Callable[..., HttpReranker]) -> None:
    done = Event()
    service.always = lambda handler, request: done.wait(PATIENCE_S) and None
    reranker = make()
    with pytest.raises(DeadlineExceededError, match=r"did not answer within 0.1 s"):
        reranker.score(PAIRS, deadline_s=0.1)
    with pytest.raises(DeadlineExceededError, match=r"did not answer within 0.1 s"):
        asyncio.run(reranker.ascore_pairs(PAIRS, deadline_s=0.1))
    done.set()
    sent = len(service.requests)
    with pytest.raises(DeadlineExceededError, match=r"no time is left"):
        reranker.score(PAIRS, deadline_s=0)
    assert len(service.requests) == sent


def test_nothing_listens(ask: Ask) -> None:
    reranker = HttpReranker("tei", url="http://me:geheim@127.0.0.1:1", retries=1)
    with pytest.raises(
        RerankServiceError, match=r"could not be reached at http://127.0.0.1:1/rerank: ConnectError"
    ) as caught:
        ask(reranker)
    assert caught.value.may_pass
    assert "geheim" not in str(caught.value)
    reranker.close()


def test_a_closed_reranker_says_so(make: Callable[..., HttpReranker], ask: Ask) -> None:
    reranker = make()
    ask(reranker)
    reranker.close()
    reranker.close()
    with pytest.raises(SemcacheError, match=r"cohere/m@127.0.0.1:\d+ is closed; make a new one"):
        ask(reranker)
