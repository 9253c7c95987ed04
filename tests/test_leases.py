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
from tests.scripted import PATIENCE_S, GatedReranker, ScriptedReranker, poison

QUERY, DOCUMENTS = "how far is the moon", [f"passage {number}" for number in range(6)]

MakeReranker = Callable[..., CachedReranker]


@pytest.fixture
def make_reranker(redis_url: str, namespace: str) -> Iterator[MakeReranker]:
    """Makes a reranker over a cache of its own."""
    with ExitStack() as stack:

        def make(
            model: Any, events: list[Event] | None = None, *, lease_s: float = 20.0, **reuse: Any
        ) -> CachedReranker:
            settings = Settings(cache={"namespace": namespace, "lease_s": lease_s}, reuse={"audit_rate": 0, **reuse})
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


NEAR = {"trust_threshold": 0.5, "reuse_threshold": 0.5, "guard": "off"}


@pytest.mark.parametrize("how", ["clear", "forget"])
async def test_one_whose_answer_was_known_from_a_near_query_keeps_none_waiting(
    make_reranker: MakeReranker, redis_url: str, namespace: str, how: str
) -> None:
    events: list[Event] = []
    first, second = make_reranker(ScriptedReranker(), **NEAR), make_reranker(ScriptedReranker(), events, **NEAR)
    first.rerank("how far is the moon away", DOCUMENTS)
    assert first.rerank(QUERY, DOCUMENTS).status == "semantic"
    assert (await first.arerank(f"{QUERY} now", DOCUMENTS)).status == "semantic"
    assert await asyncio.to_thread(first.cache.backend.drain, PATIENCE_S)
    assert lease_ms(redis_url, namespace) == []
    if how == "clear":
        first.cache.clear()
    else:
        first.cache.forget(query="how far is the moon away")
    assert second.rerank(QUERY, DOCUMENTS).status == "fresh"
    assert not [event for event in events if isinstance(event, LeaseAwaited)]


@pytest.mark.parametrize("is_async", [False, True], ids=["thread", "event loop"])
async def test_it_is_renewed_while_the_model_computes(
    make_reranker: MakeReranker, redis_url: str, namespace: str, is_async: bool
) -> None:
    model = GatedReranker()
    reranker = make_reranker(model, lease_s=1.2)
    ask = reranker.arerank(QUERY, DOCUMENTS) if is_async else asyncio.to_thread(reranker.rerank, QUERY, DOCUMENTS)
    request = asyncio.create_task(ask)
    await asyncio.to_thread(model.wait_until_inside)
    with redis.Redis.from_url(redis_url) as client:
        (key,) = client.scan_iter(f"semcache:{namespace}:*:c:*")
        assert client.persist(key)
        # Only a renewal sets a time again.
        while (left_ms := client.pttl(key)) == -1:
            await asyncio.sleep(0)
    assert 0 < left_ms <= 1_200
    model.let_go()
    assert (await request).status == "fresh"
    assert lease_ms(redis_url, namespace) == []


def test_a_list_of_requests_takes_none(make_reranker: MakeReranker, redis_url: str, namespace: str) -> None:
    model = GatedReranker()
    with ThreadPoolExecutor(1) as threads:
        answers = threads.submit(make_reranker(model).rerank_many, [QUERY], [DOCUMENTS])
        model.wait_until_inside()
        assert lease_ms(redis_url, namespace) == []
        model.let_go()
        assert [answer.status for answer in answers.result()] == ["fresh"]
