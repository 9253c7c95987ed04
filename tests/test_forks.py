"""A pipeline that was used before a fork answers in the child, whatever its threads did then; the parent goes on."""

import asyncio
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sentence_transformers import CrossEncoder

from semcache import (
    AsyncBatchReranker,
    CachedReranker,
    EmbeddedRedis,
    OptimizedRerankerPipeline,
    Ranking,
    RedisSemanticCache,
)
from semcache.embedders import SentenceTransformerEmbedder
from semcache.protocols import Embedder
from semcache.rerankers import OnnxCrossEncoder
from semcache.settings import Settings
from tests.fakes import CountingReranker, WordEmbedder
from tests.forks import PATIENCE_S, in_child
from tests.scripted import GatedReranker

DOCUMENTS = ["berlin is a city", "the museums of paris", "how many people live in germany", "a city"]

Ask = Callable[[CachedReranker, str], Ranking[Any]]

WITHOUT_LEASES = {"lease_s": 0.0}
"""By a lease a child waits for the scores of its parent, which a test may hold up."""


def plainly(reranker: CachedReranker, query: str) -> Ranking[Any]:
    return reranker.rerank(query, DOCUMENTS, 4)


def in_a_loop(reranker: CachedReranker, query: str) -> Ranking[Any]:
    return asyncio.run(reranker.arerank(query, DOCUMENTS, 4))


def with_a_deadline(reranker: CachedReranker, query: str) -> Ranking[Any]:
    return reranker.rerank(query, DOCUMENTS, 4, deadline_s=PATIENCE_S)


EVERY_WAY = pytest.mark.parametrize("ask", [plainly, in_a_loop, with_a_deadline])


@pytest.fixture
def cache(redis_url: str, namespace: str) -> Iterator[RedisSemanticCache]:
    settings = Settings(cache={"namespace": namespace, **WITHOUT_LEASES})
    with RedisSemanticCache(redis_url, WordEmbedder(), settings=settings) as cache:
        yield cache


@pytest.fixture
def pipeline_of(redis_url: str, namespace: str) -> Iterator[Callable[..., OptimizedRerankerPipeline]]:
    made: list[OptimizedRerankerPipeline] = []

    def make(reranker: object, embedder: Embedder | None = None) -> OptimizedRerankerPipeline:
        settings = Settings(cache={"namespace": namespace, **WITHOUT_LEASES})
        made.append(
            OptimizedRerankerPipeline(
                reranker,
                None,
                redis_url,
                p95_threshold=60,
                embedding_model=embedder or WordEmbedder(),
                settings=settings,
            )
        )
        return made[-1]

    yield make
    for pipeline in made:
        pipeline.close()


@EVERY_WAY
def test_it_answers_in_the_child_and_in_the_parent(
    pipeline_of: Callable[..., OptimizedRerankerPipeline], ask: Ask
) -> None:
    pipeline = pipeline_of(CountingReranker())
    asked_before = ask(pipeline, "asked before the fork")
    fresh, exact, near = in_child(
        lambda: (
            ask(pipeline, "asked in the child"),
            ask(pipeline, "asked before the fork"),
            ask(pipeline, "the fork before asked"),
        )
    )
    assert (fresh.status, exact.status, near.similarity) == ("fresh", "exact", pytest.approx(1, abs=0.001))
    assert exact.scores == asked_before.scores
    assert ask(pipeline, "asked in the child").status == "exact"
    assert ask(pipeline, "asked in the parent").status == "fresh"


def test_it_answers_in_children_of_children_and_in_several_at_once(
    pipeline_of: Callable[..., OptimizedRerankerPipeline],
) -> None:
    pipeline = pipeline_of(CountingReranker())
    plainly(pipeline, "once")
    grandchild = in_child(lambda: (plainly(pipeline, "child"), in_child(lambda: plainly(pipeline, "grandchild"))))
    assert [ranking.status for ranking in grandchild] == ["fresh", "fresh"]
    context = multiprocessing.get_context("fork")
    answers = context.SimpleQueue()

    def work(number: int) -> None:
        answers.put(plainly(pipeline, f"question {number}").status)

    workers = [context.Process(target=work, args=(number,)) for number in range(4)]
    for worker in workers:
        worker.start()
    assert [answers.get() for _ in workers] == ["fresh"] * 4
    for worker in workers:
        worker.join(PATIENCE_S)


@pytest.mark.parametrize("kind", ["pipeline", "single", "batches"])
@EVERY_WAY
def test_a_fork_in_the_midst_of_requests_leaves_them_to_the_parent(
    pipeline_of: Callable[..., OptimizedRerankerPipeline], cache: RedisSemanticCache, kind: str, ask: Ask
) -> None:
    model = GatedReranker()
    reranker: CachedReranker
    if kind == "pipeline":
        reranker = pipeline_of(model)
    else:
        reranker = CachedReranker(model if kind == "single" else AsyncBatchReranker(model), cache)
    with ThreadPoolExecutor(4) as callers:
        # In the model, waiting for it, and following another request.
        waiting = [callers.submit(plainly, reranker, query) for query in ("first", "first", "second", "third")]
        model.wait_until_inside()

        def answer() -> Ranking[Any]:
            model.let_go(2)  # the semaphore is the child's own
            return ask(reranker, "first")

        assert in_child(answer).status == "fresh"
        model.let_go(4)
        # The child's scores came first. They are the same, and found by no request that had looked before.
        assert {future.result(PATIENCE_S).scores for future in waiting} == {(31.0, 20.0, 16.0, 6.0)}


@pytest.mark.parametrize("kind", ["pipeline", "single"])
@EVERY_WAY
def test_torch_answers_as_in_the_parent(
    pipeline_of: Callable[..., OptimizedRerankerPipeline],
    cache: RedisSemanticCache,
    tiny_cross_encoder: Path,
    kind: str,
    ask: Ask,
) -> None:
    model = CrossEncoder(str(tiny_cross_encoder))
    reranker = pipeline_of(model) if kind == "pipeline" else CachedReranker(model, cache)
    # In this thread, too, so that torch has started its helper threads for it.
    expected = model.predict([("how many museums", text) for text in DOCUMENTS])
    plainly(reranker, "asked before the fork")
    with ThreadPoolExecutor(1) as callers:
        busy = callers.submit(lambda: [plainly(reranker, f"museums {number}") for number in range(20)])
        ranking = in_child(lambda: ask(reranker, "how many museums"))
        assert len(busy.result(PATIENCE_S)) == 20
    assert ranking.status == "fresh"
    assert ranking.scores == pytest.approx([expected[index] for index in ranking.indices], abs=1e-4)


@EVERY_WAY
def test_torch_and_onnx_embedders_answer_as_in_the_parent(
    cache: RedisSemanticCache,
    minilm: SentenceTransformerEmbedder,
    int8_embedder: SentenceTransformerEmbedder,
    redis_url: str,
    namespace: str,
    ask: Ask,
) -> None:
    for embedder in (minilm, int8_embedder):
        settings = Settings(cache={"namespace": namespace, **WITHOUT_LEASES})
        with RedisSemanticCache(redis_url, embedder, settings=settings) as over_redis:
            reranker = CachedReranker(CountingReranker(), over_redis)
            plainly(reranker, "how many people live in berlin")
            near = in_child(lambda reranker=reranker: ask(reranker, "how many people are living in berlin"))
            assert near.similarity == pytest.approx(
                float(embedder.embed(["how many people live in berlin"])[0] @ _embedded(embedder)), abs=0.01
            )


def _embedded(embedder: Embedder) -> Any:
    return embedder.embed(["how many people are living in berlin"])[0]


@EVERY_WAY
def test_an_onnx_cross_encoder_answers_as_in_the_parent(
    pipeline_of: Callable[..., OptimizedRerankerPipeline], cross_encoder: OnnxCrossEncoder, ask: Ask
) -> None:
    pipeline = pipeline_of(cross_encoder)
    plainly(pipeline, "asked before the fork")
    expected = cross_encoder.score([("how many museums", text) for text in DOCUMENTS])
    with ThreadPoolExecutor(1) as callers:
        busy = callers.submit(plainly, pipeline, "museums")
        ranking = in_child(lambda: ask(pipeline, "how many museums"))
        assert busy.result(PATIENCE_S).status == "fresh"
    assert ranking.status == "fresh"
    assert ranking.scores == pytest.approx([expected[index] for index in ranking.indices], abs=1e-4)


def test_closing_in_the_child_closes_nothing_of_the_parents() -> None:
    with OptimizedRerankerPipeline(CountingReranker(), None, "embedded", embedding_model=WordEmbedder()) as pipeline:
        plainly(pipeline, "once")

        def close() -> str:
            plainly(pipeline, "in the child")
            pipeline.close()
            return repr(pipeline.cache)

        assert in_child(close) == repr(pipeline.cache)
        assert plainly(pipeline, "in the child").status == "exact"


def test_a_child_that_asks_for_an_embedded_server_gets_one_of_its_own() -> None:
    with RedisSemanticCache("embedded", WordEmbedder()) as cache:

        def where() -> str:
            with RedisSemanticCache("embedded", WordEmbedder()) as own, EmbeddedRedis() as another:
                assert another.url not in repr(own)
                return repr(own)

        assert in_child(where) != repr(cache)


def test_a_program_that_forks_and_exits_says_nothing(redis_url: str) -> None:
    """Both processes end as programs do, with threads, connections and ONNX sessions from before the fork."""
    script = f"""
import asyncio, os, sys
from semcache import OptimizedRerankerPipeline
pipeline = OptimizedRerankerPipeline("cross-encoder/ms-marco-MiniLM-L-12-v2", None, {redis_url!r})
pipeline.rerank("before the fork", ["a city", "a museum"])
child = os.fork()
ranking = pipeline.rerank(f"after the fork {{child}}", ["a city", "a museum"])
asyncio.run(pipeline.arerank(f"after the fork {{child}}", ["a city", "a museum"]))
print(ranking.status, flush=True)
if child:
    print(os.waitpid(child, 0)[1])
"""
    environment = {**os.environ, "SEMCACHE_EMBEDDER__BACKEND": "onnx-int8", "TOKENIZERS_PARALLELISM": "false"}
    # Python 3.12 and newer warn of every fork beside threads.
    command = [sys.executable, "-W", "ignore:This process:DeprecationWarning", "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment, check=False)
    assert sorted(done.stdout.split()) == ["0", "fresh", "fresh"]
    assert done.stderr == ""
