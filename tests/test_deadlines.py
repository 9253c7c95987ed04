"""A deadline covers everything: loading, embedding, scoring. What is late is left out, or said, on time."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Event
from threading import enumerate as all_threads
from time import monotonic
from typing import Any

import pytest

from semcache import CachedReranker, OptimizedRerankerPipeline, Ranking, RedisSemanticCache
from semcache.errors import DeadlineExceededError
from semcache.events import CacheFailed
from semcache.protocols import FloatArray, Pair
from semcache.runtime.threads import MOST_THREADS
from semcache.settings import Settings
from tests.fakes import CountingReranker, WordEmbedder
from tests.scripted import PATIENCE_S, Stopwatch

DOCUMENTS = [f"passage {number}" for number in range(6)]
DEADLINE_S = 0.6
"""Half of it is left where a model or Redis hangs, and a thread of a busy machine has to get its turn in it."""
MARGIN_S = 0.5


class LoadingEmbedder(WordEmbedder):
    """Its first call takes until ``loaded`` is set, and the others wait for it, as models do."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded = Event()
        self.embedded = Event()

    def embed(self, texts: Sequence[str]) -> FloatArray:
        assert self.loaded.wait(PATIENCE_S)
        vectors = super().embed(texts)
        self.embedded.set()
        return vectors


class LoadingReranker(CountingReranker):
    """As LoadingEmbedder."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded = Event()

    def score(self, pairs: Sequence[Pair]) -> FloatArray:
        assert self.loaded.wait(PATIENCE_S)
        return super().score(pairs)


Ask = Callable[[CachedReranker, str, float | None], Ranking[Any]]


def by_call(reranker: CachedReranker, query: str, deadline_s: float | None) -> Ranking[Any]:
    return reranker.rerank(query, DOCUMENTS, 3, deadline_s=deadline_s)


def awaited(reranker: CachedReranker, query: str, deadline_s: float | None) -> Ranking[Any]:
    return asyncio.run(reranker.arerank(query, DOCUMENTS, 3, deadline_s=deadline_s))


BOTH_WAYS = pytest.mark.parametrize("ask", [by_call, awaited])


@pytest.fixture
def knobs(namespace: str) -> Settings:
    return Settings(cache={"namespace": namespace})


@pytest.fixture
def embedder() -> Iterator[LoadingEmbedder]:
    embedder = LoadingEmbedder()
    yield embedder
    embedder.loaded.set()


@pytest.fixture
def model() -> Iterator[LoadingReranker]:
    model = LoadingReranker()
    yield model
    model.loaded.set()


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    with Stopwatch() as watch:
        return call(), watch.seconds


@BOTH_WAYS
def test_a_query_that_is_not_embedded_in_time_is_asked_without_near_queries(
    redis_url: str, knobs: Settings, embedder: LoadingEmbedder, ask: Ask
) -> None:
    told: list[Any] = []
    with RedisSemanticCache(redis_url, embedder, settings=knobs, observers=[told.append]) as cache:
        reranker = CachedReranker(CountingReranker(), cache)
        ranking, took_s = timed(lambda: ask(reranker, "how far is the moon", DEADLINE_S))
        assert (ranking.status, ranking.asked) == ("fresh", 6)
        assert took_s < DEADLINE_S + MARGIN_S
        (failed,) = [event for event in told if isinstance(event, CacheFailed)]
        assert (failed.step, failed.error.split(" did")[0]) == ("Embed", "DeadlineExceededError: embedder words")
        # What needs no vector is there all the same.
        assert ask(reranker, "how far is the moon", PATIENCE_S).status == "exact"
        embedder.loaded.set()
        ask(reranker, "is the moon far", None)
        assert ask(reranker, "moon the is far", PATIENCE_S).similarity == pytest.approx(1, abs=0.001)


@BOTH_WAYS
def test_embedding_goes_on_in_the_background_and_the_next_request_finds_the_model_loaded(
    redis_url: str, knobs: Settings, embedder: LoadingEmbedder, ask: Ask
) -> None:
    with RedisSemanticCache(redis_url, embedder, settings=knobs) as cache:
        reranker = CachedReranker(CountingReranker(), cache)
        ask(reranker, "one", DEADLINE_S)
        assert embedder.texts == []
        embedder.loaded.set()
        assert embedder.embedded.wait(PATIENCE_S)
        assert embedder.texts == ["one"]


@BOTH_WAYS
def test_without_a_deadline_an_embedder_that_hangs_is_waited_for_no_longer_than_others(
    redis_url: str, knobs: Settings, embedder: LoadingEmbedder, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("semcache.embedders.queries.EMBEDDER_PATIENCE_S", DEADLINE_S)
    told: list[Any] = []
    with RedisSemanticCache(redis_url, embedder, settings=knobs, observers=[told.append]) as cache:
        reranker = CachedReranker(CountingReranker(), cache)
        embedder.loaded.set()
        ask(reranker, "how far is the moon", None)
        embedder.loaded.clear()
        ranking, took_s = timed(lambda: ask(reranker, "how old is the sun", None))
        assert (ranking.status, ranking.asked) == ("fresh", 6)
        assert took_s < DEADLINE_S + MARGIN_S
        assert [event.step for event in told if isinstance(event, CacheFailed)] == ["Embed"]


def embedding_threads() -> int:
    return sum(thread.name == "semcache-embed" for thread in all_threads())


@BOTH_WAYS
def test_an_embedder_that_hangs_does_not_pile_up_threads(
    redis_url: str, knobs: Settings, embedder: LoadingEmbedder, ask: Ask
) -> None:
    with RedisSemanticCache(redis_url, embedder, settings=knobs) as cache:
        reranker = CachedReranker(CountingReranker(), cache)
        before = embedding_threads()
        until = monotonic() + PATIENCE_S
        later = 0
        while later < 5:
            # On a busy machine the time may be over before anything is embedded, and the reranker may be late, too.
            later += embedding_threads() - before >= MOST_THREADS
            with suppress(DeadlineExceededError):
                ask(reranker, f"question {monotonic()}", 0.02)
            assert monotonic() < until
        assert embedding_threads() - before == MOST_THREADS


@BOTH_WAYS
def test_a_single_reranker_that_is_late_is_an_error_on_time(
    redis_url: str, knobs: Settings, model: LoadingReranker, ask: Ask
) -> None:
    with RedisSemanticCache(redis_url, WordEmbedder(), settings=knobs) as cache:
        reranker = CachedReranker(model, cache)
        with Stopwatch() as watch, pytest.raises(DeadlineExceededError, match="counting did not answer within"):
            ask(reranker, "how far is the moon", DEADLINE_S)
        assert watch.seconds < DEADLINE_S + MARGIN_S
        model.loaded.set()
        assert ask(reranker, "how far is the moon", PATIENCE_S).status == "fresh"


async def test_an_asynchronous_reranker_that_is_late_is_cancelled_on_time(redis_url: str, knobs: Settings) -> None:
    cancelled = asyncio.Event()

    async def hang(query: str, texts: list[str]) -> list[float]:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        return []

    async with RedisSemanticCache(redis_url, WordEmbedder(), settings=knobs) as cache:
        reranker = CachedReranker(hang, cache, name="hanging", probe=False)
        with pytest.raises(DeadlineExceededError, match="did not answer within"):
            await reranker.arerank("how far is the moon", DOCUMENTS, 3, deadline_s=DEADLINE_S)
        await asyncio.wait_for(cancelled.wait(), PATIENCE_S)
        with pytest.raises(DeadlineExceededError, match="did not answer within"):
            await asyncio.to_thread(reranker.rerank, "how far is the sun", DOCUMENTS, 3, deadline_s=DEADLINE_S)


@BOTH_WAYS
def test_a_ladder_answers_in_time_by_a_lower_rung_while_primary_and_embedder_load(
    redis_url: str, knobs: Settings, embedder: LoadingEmbedder, model: LoadingReranker, ask: Ask
) -> None:
    with OptimizedRerankerPipeline(
        model, CountingReranker("fallback"), redis_url, embedding_model=embedder, settings=knobs
    ) as pipeline:
        ranking, took_s = timed(lambda: ask(pipeline, "how far is the moon", DEADLINE_S))
        assert (ranking.status, ranking.reason, ranking.reranker) == ("degraded", "deadline", "fallback")
        assert took_s < DEADLINE_S + MARGIN_S
        model.loaded.set()
        embedder.loaded.set()
        # Fresh, or exact if it was scored in spare time meanwhile.
        assert ask(pipeline, "how far is the moon", PATIENCE_S).reranker == model.name


class NoExecutor(ThreadPoolExecutor):
    """An event loop's own executor, which a cache leaves to the application."""

    def submit(self, *_: Any, **__: Any) -> Any:
        raise AssertionError("the event loop's executor was used")


async def test_the_event_loop_goes_on_and_its_executor_is_left_alone(
    redis_url: str, knobs: Settings, embedder: LoadingEmbedder, model: LoadingReranker
) -> None:
    with RedisSemanticCache(redis_url, embedder, settings=knobs) as cache:
        single = CachedReranker(model, cache)
        asyncio.get_running_loop().set_default_executor(NoExecutor())
        asking = [asyncio.ensure_future(single.arerank(query, DOCUMENTS, 3)) for query in ("moon", "sun")]
        for gate in (embedder.loaded, model.loaded):
            # A task that blocks the loop would never see the gate open.
            for _ in range(100):
                await asyncio.sleep(0)
            gate.set()
        assert [ranking.status for ranking in await asyncio.gather(*asking)] == ["fresh", "fresh"]
