"""Two caches that share a Redis, as two processes do: which of them asks its model."""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pytest
import redis

from semcache.cache import RedisSemanticCache
from semcache.cached import CachedReranker
from semcache.degradation.monitor import LatencyMonitor
from semcache.degradation.reranker import DegradableReranker
from semcache.events import Event, LeaseAwaited
from semcache.settings import Settings
from tests.fakes import WordEmbedder
from tests.scripted import GatedReranker, poison

QUERY, DOCUMENTS = "how far is the moon", [f"passage {number}" for number in range(6)]

MakeReranker = Callable[..., CachedReranker]


@pytest.fixture
def make_reranker(redis_url: str, namespace: str) -> Iterator[MakeReranker]:
    """Makes a reranker over a cache of its own."""
    with ExitStack() as stack:

        def make(model: Any, events: list[Event] | None = None) -> CachedReranker:
            settings = Settings(cache={"namespace": namespace, "lease_s": 20.0}, reuse={"audit_rate": 0})
            observers = [] if events is None else [events.append]
            cache = RedisSemanticCache(redis_url, WordEmbedder(), settings=settings, observers=observers)
            return stack.enter_context(CachedReranker(model, stack.enter_context(cache)))

        yield make


def lease_ms(redis_url: str, namespace: str) -> list[int]:
    """How long the leases there are live on."""
    with redis.Redis.from_url(redis_url) as client:
        return [client.pttl(key) for key in client.scan_iter(f"semcache:{namespace}:*:c:*")]


def test_one_whose_model_fails_lets_another_ask(make_reranker: MakeReranker) -> None:
    events: list[Event] = []
    failing, sound = GatedReranker(), GatedReranker()
    failing.fail = poison(DOCUMENTS[0])
    first, second = make_reranker(failing), make_reranker(sound, events)
    with ThreadPoolExecutor(2) as threads:
        error = threads.submit(first.rerank, QUERY, DOCUMENTS)
        failing.wait_until_inside()
        answer = threads.submit(second.rerank, QUERY, DOCUMENTS)
        failing.let_go()
        with pytest.raises(ValueError, match="cannot read"):
            error.result()
        # Long before the lease would have expired.
        sound.wait_until_inside()
        sound.let_go()
        assert answer.result().status == "fresh"
    assert {event.outcome for event in events if isinstance(event, LeaseAwaited)} <= {"released"}


async def test_one_that_is_cancelled_lets_another_ask(
    make_reranker: MakeReranker, redis_url: str, namespace: str
) -> None:
    model = GatedReranker()
    reranker = make_reranker(model)
    request = asyncio.create_task(reranker.arerank(QUERY, DOCUMENTS))
    await asyncio.to_thread(model.wait_until_inside)
    assert len(lease_ms(redis_url, namespace)) == 1
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    model.let_go()
    assert await asyncio.to_thread(reranker.cache.backend.drain, 20)
    assert lease_ms(redis_url, namespace) == []


def test_it_lasts_no_longer_than_the_primary_may_take(
    make_reranker: MakeReranker, redis_url: str, namespace: str
) -> None:
    model = GatedReranker()
    with DegradableReranker(model, None, LatencyMonitor(p95_threshold=8.0)) as ladder, ThreadPoolExecutor(1) as threads:
        answer = threads.submit(make_reranker(ladder).rerank, QUERY, DOCUMENTS)
        model.wait_until_inside()
        (left_ms,) = lease_ms(redis_url, namespace)
        assert 0 < left_ms <= 4_000
        model.let_go()
        assert answer.result().status == "fresh"
    assert lease_ms(redis_url, namespace) == []


def test_a_list_of_requests_takes_none(make_reranker: MakeReranker, redis_url: str, namespace: str) -> None:
    model = GatedReranker()
    with ThreadPoolExecutor(1) as threads:
        answers = threads.submit(make_reranker(model).rerank_many, [QUERY], [DOCUMENTS])
        model.wait_until_inside()
        assert lease_ms(redis_url, namespace) == []
        model.let_go()
        assert [answer.status for answer in answers.result()] == ["fresh"]
