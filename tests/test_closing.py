"""The end of a pipeline: what waits is answered, and what hangs is given up in time."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from time import monotonic

import pytest

from semcache.pipeline import OptimizedRerankerPipeline
from semcache.protocols import FloatArray, Pair
from semcache.ranking import Ranking, Status
from semcache.settings import Settings
from tests.fakes import CountingReranker, WordEmbedder
from tests.scripted import PATIENCE_S

DOCUMENTS = ["a red car", "the moon", "an apple pie"]
SOON_S = 0.3


class Held(CountingReranker):
    """Every call waits until it is let go."""

    def __init__(self) -> None:
        super().__init__("held")
        self.is_inside = Event()
        self.may_end = Event()
        self.taken = 0

    def score(self, pairs: Sequence[Pair]) -> FloatArray:
        self.taken += len(pairs)
        self.is_inside.set()
        self.may_end.wait(PATIENCE_S)
        return super().score(pairs)


@pytest.fixture
def pipeline(redis_url: str, namespace: str) -> OptimizedRerankerPipeline:
    # Slow enough that no request goes to a lower rung by itself.
    settings = Settings(cache={"namespace": namespace}, monitor={"p95_threshold_s": 2 * PATIENCE_S})
    return OptimizedRerankerPipeline(Held(), None, redis_url, embedding_model=WordEmbedder(), settings=settings)


def held(pipeline: OptimizedRerankerPipeline) -> Held:
    model = pipeline.reranker.primary_reranker.reranker
    assert isinstance(model, Held)
    return model


def ask(pipeline: OptimizedRerankerPipeline, count: int) -> list[Callable[[], Ranking[str]]]:
    return [lambda n=n: pipeline.rerank(f"question {n} {n * n}", DOCUMENTS) for n in range(count)]  # type: ignore[misc]


@pytest.mark.parametrize("how", ["close", "aclose"])
async def test_those_that_wait_are_answered(how: str, pipeline: OptimizedRerankerPipeline) -> None:
    model = held(pipeline)
    with ThreadPoolExecutor(30) as threads:
        futures = [threads.submit(request) for request in ask(pipeline, 30)]
        while pipeline.get_stats()["reranker"]["waiting_pairs"] + model.taken < 30 * len(DOCUMENTS):
            await asyncio.sleep(0)
        asyncio.get_running_loop().call_later(0.05, model.may_end.set)
        await (pipeline.aclose() if how == "aclose" else asyncio.to_thread(pipeline.close))
        assert {future.result(PATIENCE_S).status for future in futures} == {Status.FRESH}


@pytest.mark.parametrize("how", ["close", "aclose"])
async def test_a_model_that_hangs_is_given_up_in_time_and_every_caller_is_answered(
    how: str, pipeline: OptimizedRerankerPipeline, caplog: pytest.LogCaptureFixture
) -> None:
    model = held(pipeline)
    with ThreadPoolExecutor(8) as threads:
        futures = [threads.submit(request) for request in ask(pipeline, 8)]
        assert await asyncio.to_thread(model.is_inside.wait, PATIENCE_S)
        began = monotonic()
        await (pipeline.aclose(SOON_S) if how == "aclose" else asyncio.to_thread(pipeline.close, SOON_S))
        assert monotonic() - began < PATIENCE_S / 2
        assert {future.result(PATIENCE_S).status for future in futures} == {Status.DEGRADED}
        model.may_end.set()
    assert "its threads are left to calls that do not end: 1" in caplog.text
