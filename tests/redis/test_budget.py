"""A Redis that hangs or is slow delays a request by its budget at most, and soon not at all; then it is used again."""

import asyncio
import gc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import pairwise
from threading import Event
from threading import enumerate as all_threads
from time import monotonic
from typing import Any

import pytest
import redis

from semcache.cache import RedisSemanticCache
from semcache.cached import CachedReranker
from semcache.entries.fingerprint import entry_id
from semcache.errors import DeadlineExceededError, StoreError, StoreLeftAloneError, StoreTooSlowError
from semcache.events import CacheFailed, CacheRecovered, CacheUnavailable
from semcache.redis.client.connection import RedisConnection
from semcache.runtime.budget import TimeBudget
from semcache.runtime.threads import ThreadPool
from semcache.settings import Settings
from tests.fakes import CountingReranker, WordEmbedder
from tests.redis.proxy import Proxy
from tests.scripted import PATIENCE_S, Stopwatch

DOCUMENTS = [f"passage {number}" for number in range(5)]
BUDGET_S = 0.25
PATIENT_S = 3 * BUDGET_S
"""What a request may take on a busy machine; a timeout for each of its commands would be more."""
PING = (("PING",),)

STEPS = ("ReadExact", "ReadVector", "FindNeighbours", "Remember")
"""Those of requests; the background has others."""


class Scene:
    """A cached reranker behind a proxy, and what its observers heard."""

    def __init__(self, proxy: Proxy, namespace: str, how: str, watch: Stopwatch) -> None:
        self.proxy, self.watch = proxy, watch
        self.events: list[Any] = []
        self.recovered = Event()
        # The time of single commands is that of production.
        knobs = {"url": proxy.url, "budget_s": BUDGET_S, "timeout_s": 0.25, "connect_timeout_s": 0.5}
        knobs |= {"retry_after_s": 0.05, "max_retry_after_s": 0.05}
        settings = Settings(redis=knobs, cache={"namespace": namespace}, reuse={"audit_rate": 0})
        self.cache = RedisSemanticCache(embedding_model=WordEmbedder(), settings=settings, observers=[self.hear])
        self.reranker = CachedReranker(CountingReranker(), self.cache)
        self.loop = asyncio.new_event_loop() if how == "tasks" else None

    def hear(self, event: Any) -> None:
        self.events.append(event)
        if isinstance(event, CacheRecovered):
            self.recovered.set()

    def rerank(self, query: str, deadline_s: float | None = None) -> Any:
        if self.loop is None:
            return self.reranker.rerank(query, DOCUMENTS, 3, deadline_s=deadline_s)
        return self.loop.run_until_complete(self.reranker.arerank(query, DOCUMENTS, 3, deadline_s=deadline_s))

    def took_s(self, query: str) -> float:
        started = self.watch.seconds
        assert self.rerank(query).status in ("fresh", "exact")
        return self.watch.seconds - started

    def until_exact(self) -> None:
        """Ask until the answer comes out of the cache."""
        until = monotonic() + PATIENCE_S
        while self.rerank("how far is the moon").status != "exact":
            assert monotonic() < until

    def until_left_alone(self) -> list[float]:
        """How long requests took until Redis was left alone."""
        took: list[float] = []
        until = monotonic() + PATIENCE_S
        while not self.heard(CacheUnavailable):
            took.append(self.took_s(f"question {len(took)} here"))
            assert monotonic() < until
        return took

    def ask_late(self) -> str:
        """Ask until a question waited for a slow Redis and Redis was not left alone, as a busy machine may have it."""
        for number in range(20):
            assert self.cache.backend.writes.drain(PATIENCE_S)
            self.events.clear()
            self.recovered.clear()
            self.proxy.delay_s = 0.6 * BUDGET_S
            assert self.took_s(f"late-{number}") < PATIENT_S
            self.proxy.heal()
            if not self.heard(CacheUnavailable):
                return f"late-{number}"
            assert self.recovered.wait(PATIENCE_S)
        raise AssertionError("Redis was left alone each time")

    def heard(self, kind: type) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    def close(self) -> None:
        if self.loop is not None:
            self.loop.run_until_complete(self.reranker.aclose())
            self.loop.run_until_complete(self.cache.aclose())
            self.loop.close()
            self.loop = None
        self.reranker.close()
        self.cache.close()


@pytest.fixture
def proxy(redis_url: str) -> Iterator[Proxy]:
    with Proxy(redis_url).running() as proxy:
        yield proxy


@pytest.fixture(params=["threads", "tasks"])
def scene(request: pytest.FixtureRequest, proxy: Proxy, namespace: str) -> Iterator[Scene]:
    with Stopwatch() as watch:
        scene = Scene(proxy, namespace, request.param, watch)
        try:
            scene.until_exact()
            yield scene
        finally:
            scene.close()


@pytest.mark.parametrize(
    "trouble",
    [{"frozen": True}, {"delay_s": 0.06}, {"delay_s": 0.5}, {"byte_s": 0.05}, {"garbage": True}],
    ids=lambda trouble: next(iter(trouble)),
)
def test_each_request_waits_within_its_budget_and_later_ones_do_not(scene: Scene, trouble: dict[str, Any]) -> None:
    for name, value in trouble.items():
        setattr(scene.proxy, name, value)
    took = scene.until_left_alone()
    assert max(took) < PATIENT_S
    assert len(took) <= 20
    told = len(scene.events)
    assert sum(scene.took_s(f"later question {number}") for number in range(20)) < 20 * BUDGET_S / 2
    steps = [event.step for event in scene.events[told:] if isinstance(event, CacheFailed) and event.step in STEPS]
    assert steps == ["ReadExact"] * 20, "one event for all steps of a request"
    assert len(scene.heard(CacheUnavailable)) == 1
    scene.proxy.heal()
    assert scene.recovered.wait(PATIENCE_S)
    scene.until_exact()


def test_three_outages_are_told_of_three_times(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        scene.recovered.clear()
        scene.events.clear()
        scene.proxy.frozen = True
        scene.until_left_alone()
        scene.proxy.heal()
        assert scene.recovered.wait(PATIENCE_S)
    lines = [record.getMessage()[:13] for record in caplog.records if record.getMessage().startswith("Redis is")]
    assert lines == ["Redis is away", "Redis is back"] * 3


def test_what_is_left_of_a_deadline_is_the_rerankers(scene: Scene) -> None:
    scene.proxy.delay_s = 2.0
    started = scene.watch.seconds
    with suppress(DeadlineExceededError):  # on a busy machine
        assert scene.rerank("another question", deadline_s=0.24).status == "fresh"
    assert scene.watch.seconds - started < 0.24 + PATIENT_S, "half of the deadline, which is less than the budget"
    assert not scene.heard(CacheUnavailable), "an impatient caller says nothing about Redis"


def test_what_a_slow_look_up_left_no_time_for_is_stored_after_the_answer(
    scene: Scene, redis_url: str, namespace: str
) -> None:
    query = scene.ask_late()
    assert scene.cache.backend.writes.drain(PATIENCE_S)
    # Looked at past the proxy: on a busy machine a next request may find Redis left alone.
    with redis.Redis.from_url(redis_url) as client:
        assert list(client.scan_iter(f"semcache:{namespace}:*:s:{{{entry_id('', query)}}}"))
    assert not [event for event in scene.heard(CacheFailed) if event.step == "Remember"]


def test_closing_waits_for_what_is_stored_after_answers(scene: Scene, namespace: str, redis_url: str) -> None:
    query = scene.ask_late()
    scene.close()
    settings = Settings(redis={"url": redis_url}, cache={"namespace": namespace}, reuse={"audit_rate": 0})
    with CachedReranker(
        CountingReranker(), RedisSemanticCache(embedding_model=WordEmbedder(), settings=settings)
    ) as later:
        assert later.rerank(query, DOCUMENTS, 3).status == "exact"


async def test_a_call_that_is_cancelled_says_nothing_about_redis(redis_url: str) -> None:
    async with RedisConnection(redis_url) as connection:
        waiting = asyncio.create_task(connection.aexecute((("BLPOP", "nothing-comes-here", 0.05),)))
        await asyncio.sleep(0)
        waiting.cancel()
        with suppress(asyncio.CancelledError):
            await waiting
        assert repr(connection.node.breaker) == "<RedisCircuitBreaker closed>"
        assert await connection.aexecute(PING) == [b"PONG"]


async def test_an_application_that_keeps_the_threads_of_its_loop_busy_holds_nothing_up(
    redis_url: str, namespace: str
) -> None:
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
    done = Event()
    busy = asyncio.create_task(asyncio.to_thread(done.wait))
    try:
        async with asyncio.timeout(PATIENCE_S):
            settings = Settings(redis={"url": redis_url}, cache={"namespace": namespace})
            cache = RedisSemanticCache(embedding_model=WordEmbedder(), settings=settings)
            async with CachedReranker(CountingReranker(), cache) as reranker:
                assert [(await reranker.arerank("q", DOCUMENTS)).status for _ in range(2)] == ["fresh", "exact"]
            await cache.aclose()
    finally:
        done.set()
        await busy


def test_garbage_opens_no_connection_per_request(scene: Scene) -> None:
    scene.proxy.garbage = True
    scene.until_left_alone()
    before = scene.proxy.accepted
    for number in range(50):
        scene.rerank(f"later question {number}")
    assert scene.proxy.accepted - before < 20, "probes alone"


def test_a_wrong_password_is_tried_once_and_then_by_probes(plain_url: str) -> None:
    with RedisConnection(plain_url.format(":wr0ng@")) as connection:
        with pytest.raises(StoreError, match="refused the user name or password"):
            connection.execute(PING)
        with pytest.raises(StoreLeftAloneError, match=r"The failure: .*refused the user name or password"):
            connection.execute(PING)


def test_a_busy_request_says_nothing_about_redis(redis_url: str) -> None:
    with RedisConnection(redis_url, budget_s=1.0) as connection:
        connection.execute(PING)
        with TimeBudget(0.0), pytest.raises(StoreTooSlowError, match=r"all the time .*budget_s, 1 s"):
            connection.execute(PING)
        assert connection.execute(PING) == [b"PONG"]


def test_all_calls_of_a_request_spend_one_budget(redis_url: str) -> None:
    with RedisConnection(redis_url) as connection, TimeBudget(PATIENCE_S) as budget:
        left = [budget.left_s]
        for _ in range(3):
            connection.execute((("BLPOP", "nothing-comes-here", 0.01),))
            left.append(budget.left_s)
        assert all(after < before - 0.009 for before, after in pairwise(left))
        ThreadPool(1, "test").call(lambda: connection.execute(PING), "PING", PATIENCE_S)
        assert budget.left_s < left[-1]


def test_a_new_connection_that_takes_longer_than_a_request_is_there_for_the_next(proxy: Proxy) -> None:
    proxy.delay_s = 0.04
    with RedisConnection(proxy.url, budget_s=0.5) as connection:
        with TimeBudget(0.01), pytest.raises(StoreTooSlowError):
            connection.execute(PING)
        until = monotonic() + PATIENCE_S
        replies = None
        while replies is None:
            assert monotonic() < until
            # Enough for a command, and not for a command after the opening of a connection.
            with TimeBudget(0.06), suppress(StoreTooSlowError):
                replies = connection.execute(PING)


def test_a_connection_that_is_dropped_is_probed_no_longer() -> None:
    before = set(all_threads())
    connection = RedisConnection("redis://127.0.0.1:1", retry_after_s=0.01, max_retry_after_s=0.01)
    with pytest.raises(Exception, match="cannot be reached"):
        connection.execute(PING)
    with pytest.raises(StoreLeftAloneError):
        connection.execute(PING)
    del connection
    gc.collect()  # the errors refer to it
    until = monotonic() + PATIENCE_S
    while set(all_threads()) - before:
        assert monotonic() < until
