"""Rate limits of services: kept by the reranker itself, or by the line of a batcher before it, but never twice."""

import asyncio
import gc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from time import monotonic

import pytest

from semcache.batching.batcher import Batcher
from semcache.errors import ConfigurationError, DeadlineExceededError, RerankServiceError
from semcache.rerankers import HttpReranker, adapt
from semcache.rerankers.named import NamedReranker
from semcache.rerankers.rate_limit import RateLimit
from tests.contracts.reranker import PAIRS
from tests.rerank_service import RerankService, Response
from tests.scripted import PATIENCE_S, Stopwatch

BURST = 20
"""Requests at once of a limit of 1,200 a minute; further ones come 20 times a second."""


@pytest.fixture
def service() -> Iterator[RerankService]:
    with RerankService("tei") as service:
        yield service


@pytest.fixture
def limited(service: RerankService) -> Iterator[HttpReranker]:
    with HttpReranker("tei", url=service.url, requests_per_minute=60 * BURST, concurrency=50) as reranker:
        yield reranker


def test_threads_keep_the_limit(limited: HttpReranker, service: RerankService) -> None:
    started = monotonic()
    with ThreadPoolExecutor(BURST + 4) as threads:
        list(threads.map(lambda _: limited.score(PAIRS), range(BURST + 4)))
    assert 0.15 < monotonic() - started < PATIENCE_S / 2
    assert len(service.requests) == BURST + 4


async def test_event_loops_keep_the_limit(limited: HttpReranker, service: RerankService) -> None:
    started = monotonic()
    await asyncio.gather(*(limited.ascore_pairs(PAIRS) for _ in range(BURST + 4)))
    assert 0.15 < monotonic() - started < PATIENCE_S / 2
    await limited.aclose()


@pytest.mark.parametrize("named", [False, True])
async def test_behind_a_batcher_each_request_counts_once(service: RerankService, named: bool) -> None:
    async with HttpReranker("tei", url=service.url, requests_per_minute=6) as limited:
        reranker = adapt(limited, name="ours") if named else limited
        assert isinstance(reranker, NamedReranker) is named
        async with Batcher(reranker) as batcher:
            # If it counted twice, it would have to wait for ten seconds.
            await batcher.ascore(PAIRS, deadline=monotonic() + 5)
            # The line of the batcher refuses what would begin too late, without a call.
            with pytest.raises(DeadlineExceededError, match="the rate limit lets this request begin in"):
                await batcher.ascore(PAIRS, deadline=monotonic() + 5)
    assert len(service.requests) == 1


def test_pairs_are_limited_too(service: RerankService) -> None:
    with HttpReranker("tei", url=service.url, pairs_per_minute=60, timeout_s=2) as reranker:
        reranker.score(PAIRS)
        with pytest.raises(RerankServiceError, match=r"was not called: its rate limit .* after timeout_s=2; send less"):
            reranker.score(PAIRS)
    assert len(service.requests) == 1


def test_a_request_that_would_wait_too_long_fails_at_once(service: RerankService) -> None:
    with HttpReranker("tei", url=service.url, requests_per_minute=6) as reranker:
        reranker.score(PAIRS)
        with Stopwatch() as watch:
            with pytest.raises(DeadlineExceededError, match=r"was not called: its rate limit"):
                reranker.score(PAIRS, deadline_s=1)
            with pytest.raises(DeadlineExceededError, match=r"was not called: its rate limit"):
                asyncio.run(reranker.ascore_pairs(PAIRS, deadline_s=1))
            assert watch.seconds < 0.5


def test_a_retry_has_to_wait_for_its_turn(service: RerankService) -> None:
    service.always = lambda handler, request: Response("later", 503)
    limited = HttpReranker("tei", url=service.url, requests_per_minute=6, timeout_s=8)
    with limited, pytest.raises(RerankServiceError, match="503"):
        limited.score(PAIRS)
    assert len(service.requests) == 1


def test_too_many_requests_pause_even_without_a_retry_after(service: RerankService) -> None:
    service.always = lambda handler, request: Response("slow down", 429)
    with HttpReranker("tei", url=service.url, retries=0) as reranker:
        with pytest.raises(RerankServiceError, match="429"):
            reranker.score(PAIRS)
        assert reranker.rate_limit.wait_s(1) == pytest.approx(1.0, abs=0.3)


def test_a_batcher_with_numbers_of_its_own_is_told_of_a_pause(service: RerankService) -> None:
    service.always = lambda handler, request: Response("slow down", 429, {"retry-after": "30"})
    with (
        HttpReranker("tei", url=service.url, retries=0) as reranker,
        Batcher(reranker, requests_per_minute=600) as batcher,
    ):
        with pytest.raises(RerankServiceError, match="429"):
            batcher.score(PAIRS)
        with pytest.raises(DeadlineExceededError, match="the rate limit lets this request begin in"):
            batcher.score(PAIRS, deadline=monotonic() + 1)
    assert len(service.requests) == 1


def test_what_is_told_of_pauses_is_not_kept_alive(service: RerankService) -> None:
    heard: list[float] = []

    class Listener:
        def pause(self, seconds: float) -> None:
            heard.append(seconds)

    service.always = lambda handler, request: Response("slow down", 503, {"retry-after": "0"})
    kept, dropped = Listener(), Listener()
    with HttpReranker("tei", url=service.url, retries=0) as reranker:
        for listener in (dropped, kept):
            reranker.on_pause(listener.pause)
        del dropped, listener
        gc.collect()
        with pytest.raises(RerankServiceError):
            reranker.score(PAIRS)
    assert heard == [0.0]


def test_a_limit_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="requests_per_minute must be a number above 0"):
        HttpReranker("tei", url="http://h", requests_per_minute=0)
    assert isinstance(HttpReranker("tei", url="http://h").rate_limit, RateLimit)
