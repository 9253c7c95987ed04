"""How much faster is a whole request than reranking 100 passages afresh?"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks import experiment, machine, plots, server, workload
from benchmarks.experiment import ExperimentResult, Target
from benchmarks.timing import ratio, summary
from benchmarks.trec import Topic, data_folder, load_topics
from semcache import OptimizedRerankerPipeline, Ranking
from semcache.commands.bench.measuring import Seconds
from semcache.embedders import SentenceTransformerEmbedder
from semcache.rerankers import OnnxCrossEncoder
from semcache.settings import Settings

TOP_K = 5
PASSAGES = 100
TOPICS = 43
QUICK_TOPICS, QUICK_REWRITES = 2, 3
EXACT_REPEATS = 10
BACKENDS = ("torch", "onnx-int8")
BARE, EXACT, SEMANTIC, VERIFIED = "reranker alone", "exact", "semantic", "verified"

Side = tuple[str, str]
"""(status, or the bare reranker; backend of the embedder)"""


def measure(quick: bool) -> ExperimentResult:
    """Measure whole requests by status against the bare cross-encoder, on real passages, queries and rewrites."""
    settings = Settings()
    topics = load_topics(data_folder())[: QUICK_TOPICS if quick else TOPICS]
    reranker = OnnxCrossEncoder()
    found: dict[Side, list[tuple[float, int]]] = {}
    with ExitStack() as stack:
        url = stack.enter_context(server.started())
        pipelines = {name: stack.enter_context(_pipeline(url, reranker, name)) for name in BACKENDS}
        for at, topic in enumerate(topics):
            steps = list(_requests(pipelines, reranker, topic, QUICK_REWRITES if quick else None))
            for step in steps if at % 2 == 0 else steps[::-1]:
                for side, seconds, asked in step():
                    found.setdefault(side, []).append((seconds, asked))
        described = machine.describe(url)
    timings = {side: np.array([seconds for seconds, _ in samples]) for side, samples in found.items()}
    return ExperimentResult(
        name="end_to_end",
        question=f"How much faster is a request than reranking {PASSAGES} passages afresh?",
        method=(
            f"TREC DL 2019: the {PASSAGES} BM25 passages of each topic, its query (remembered), and its rewrites that "
            f"people found valid; top {TOP_K}. The pipeline with packaged models and default thresholds, and the "
            "embedder on each backend; what a rewrite left in the cache is forgotten after it. Embedding included. The"
            " order within a topic is reversed for every second one."
        ),
        parameters={
            "topics": len(topics),
            "passages": PASSAGES,
            "top_k": TOP_K,
            "reranker": reranker.name,
            "embedders": [pipeline.cache.backend.embedder.name for pipeline in pipelines.values()],
            "trust_threshold": settings.reuse.trust_threshold,
            "reuse_threshold": settings.reuse.reuse_threshold,
        },
        machine=described,
        rows=[_row(*side, samples, timings[side]) for side, samples in sorted(found.items())],
        targets=list(_targets(timings)),
        seed=workload.SEED,
    )


def _pipeline(url: str, reranker: OnnxCrossEncoder, backend: str) -> OptimizedRerankerPipeline:
    embedder = SentenceTransformerEmbedder(backend=backend)
    embedder.embed(["warm up"])
    settings = Settings(
        redis={"url": url},
        cache={"ttl_s": None},
        # A threshold that no answer reaches, and no fallback: on a slow machine, the primary must answer all the same.
        monitor={"p95_threshold_s": 60.0},
        rerankers=[{"kind": "retrieval-order"}],
    )
    return OptimizedRerankerPipeline.from_settings(settings, primary=reranker, embedder=embedder)


def _row(what: str, backend: str, samples: Sequence[tuple[float, int]], seconds: Seconds) -> dict[str, Any]:
    asked = float(np.mean([asked for _, asked in samples]))
    return {"status": what, "embedder": backend, **summary(seconds), "pairs_asked": asked}


Measured = Iterator[tuple[Side, float, int]]


def _requests(
    pipelines: Mapping[str, OptimizedRerankerPipeline], reranker: OnnxCrossEncoder, topic: Topic, most: int | None
) -> Iterator[Callable[[], Measured]]:
    """The requests of a topic, after its query was remembered."""
    texts = [topic.documents[position] for position in topic.runs["bm25"][:PASSAGES]]
    query, *rewrites = topic.queries
    remembered = reranker.score([(query, text) for text in texts])
    for pipeline in pipelines.values():
        pipeline.cache.remember(query, texts, remembered.tolist())

    def alone() -> Measured:
        started = perf_counter()
        scores = reranker.score([(query, text) for text in texts])
        np.argsort(-scores, kind="stable")[:TOP_K]
        yield (BARE, "none"), perf_counter() - started, len(texts)

    def through(backend: str, query: str) -> Measured:
        started = perf_counter()
        ranking: Ranking[str] = pipelines[backend].rerank(query, texts, TOP_K)
        yield (str(ranking.status), backend), perf_counter() - started, ranking.asked

    def again(backend: str) -> Measured:
        for _ in range(EXACT_REPEATS):
            yield from through(backend, query)

    def rewritten(backend: str, rewrite: str) -> Measured:
        yield from through(backend, rewrite)
        pipelines[backend].cache.forget(query=rewrite)

    yield alone
    for backend in pipelines:
        yield partial(again, backend)
    for rewrite in rewrites[:most]:
        for backend in pipelines:
            yield partial(rewritten, backend, rewrite)


def _targets(timings: Mapping[Side, Seconds]) -> Iterator[Target]:
    bare = timings[BARE, "none"]
    for status, bound in ((EXACT, 1500), (SEMANTIC, 100), (VERIFIED, 5)):
        for backend in BACKENDS:
            if (status, backend) in timings:
                what = f"fresh reranking / {status} hit, top {TOP_K} of {PASSAGES}, embedder on {backend}"
                yield Target(what, ratio(bare, timings[status, backend]), at_least=bound)


def plot(result: ExperimentResult, path: Path) -> None:
    """p50 by status."""
    values = {
        row["status"] if row["embedder"] == "none" else f"{row['status']}, {row['embedder']}": row["p50_ms"]
        for row in result.rows
    }
    plots.bars(values, path, title=f"A whole request, {PASSAGES} passages, top {TOP_K}", x="p50, ms", log_x=True)


if __name__ == "__main__":
    experiment.main(measure, plot)
