"""How much faster is a whole request than reranking 100 passages afresh?"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks import experiment, machine, plots, server, workload
from benchmarks.experiment import Result, Target
from benchmarks.measure import Seconds, ratio, summary
from benchmarks.trec import Topic, data_folder, load_topics
from semcache import OptimizedRerankerPipeline, Ranking
from semcache.embedders import SentenceTransformerEmbedder
from semcache.rerankers import OnnxCrossEncoder
from semcache.settings import Settings

TOP_K = 5
PASSAGES = 100
TOPICS = 43
QUICK_TOPICS, QUICK_REWRITES = 2, 3
EXACT_REPEATS = 10
BARE, EXACT, SEMANTIC, VERIFIED = "reranker alone", "exact", "semantic", "verified"

Found = dict[str, list[tuple[float, int]]]
"""By what was measured: seconds, and pairs asked."""


def measure(quick: bool) -> Result:
    """Whole requests by status, against the bare cross-encoder, on real passages, queries and rewrites."""
    settings = Settings()
    topics = load_topics(data_folder())[: QUICK_TOPICS if quick else TOPICS]
    reranker = OnnxCrossEncoder()
    embedder = SentenceTransformerEmbedder(backend=settings.embedder.backend)
    embedder.embed(["warm up"])
    found: Found = {}
    with ExitStack() as stack:
        url = stack.enter_context(server.started())
        pipeline = stack.enter_context(_pipeline(url, reranker, embedder, settings))
        for at, topic in enumerate(topics):
            steps = list(_requests(pipeline, reranker, topic, QUICK_REWRITES if quick else None))
            first, *others = steps
            for step in (first, *(others if at % 2 == 0 else others[::-1])):
                for what, seconds, asked in step():
                    found.setdefault(what, []).append((seconds, asked))
        described = machine.describe(server.client(url))
    timings = {what: np.array([seconds for seconds, _ in samples]) for what, samples in found.items()}
    return Result(
        name="end_to_end",
        question=f"How much faster is a request than reranking {PASSAGES} passages afresh?",
        method=(
            f"TREC DL 2019: the {PASSAGES} BM25 passages of each topic, its query, and its rewrites that people found "
            f"valid; top {TOP_K}. The pipeline with packaged models and default thresholds; what a rewrite left in the"
            " cache is forgotten after it. Embedding included. The order within a topic is reversed for every second "
            "one."
        ),
        parameters={
            "topics": len(topics),
            "passages": PASSAGES,
            "top_k": TOP_K,
            "reranker": reranker.name,
            "embedder": embedder.name,
            "trust_threshold": settings.reuse.trust_threshold,
            "reuse_threshold": settings.reuse.reuse_threshold,
        },
        machine=described,
        rows=[_row(what, samples, timings[what]) for what, samples in found.items()],
        targets=list(_targets(timings)),
        seed=workload.SEED,
    )


def _pipeline(
    url: str, reranker: OnnxCrossEncoder, embedder: SentenceTransformerEmbedder, settings: Settings
) -> OptimizedRerankerPipeline:
    # A threshold that nothing reaches: a slow machine must not be answered by a fallback here.
    return OptimizedRerankerPipeline(
        reranker, None, url, None, settings.reuse.trust_threshold, 60.0, embedding_model=embedder, settings=settings
    )


def _row(what: str, samples: Sequence[tuple[float, int]], seconds: Seconds) -> dict[str, Any]:
    return {"status": what, **summary(seconds), "pairs_asked": float(np.mean([asked for _, asked in samples]))}


def _requests(
    pipeline: OptimizedRerankerPipeline, reranker: OnnxCrossEncoder, topic: Topic, most: int | None
) -> Iterator[Any]:
    """What is done for a topic: its first request fills the cache, so it comes first."""
    texts = [topic.documents[place] for place in topic.runs["bm25"][:PASSAGES]]
    query, *rewrites = topic.queries

    def through(query: str) -> Iterator[tuple[str, float, int]]:
        started = perf_counter()
        ranking: Ranking[str] = pipeline.rerank(query, texts, TOP_K)
        yield str(ranking.status), perf_counter() - started, ranking.asked

    def alone() -> Iterator[tuple[str, float, int]]:
        started = perf_counter()
        scores = reranker.score([(query, text) for text in texts])
        np.argsort(-scores, kind="stable")[:TOP_K]
        yield BARE, perf_counter() - started, len(texts)

    def again() -> Iterator[tuple[str, float, int]]:
        for _ in range(EXACT_REPEATS):
            yield from through(query)

    def rewritten(rewrite: str) -> Iterator[tuple[str, float, int]]:
        yield from through(rewrite)
        pipeline.cache.forget(query=rewrite)

    yield lambda: through(query)
    yield alone
    yield again
    for rewrite in rewrites[:most]:
        yield lambda rewrite=rewrite: rewritten(rewrite)


def _targets(timings: dict[str, Seconds]) -> Iterator[Target]:
    for status, bound in ((EXACT, 1500), (SEMANTIC, 100), (VERIFIED, 5)):
        if status in timings:
            faster = ratio(timings[BARE], timings[status])
            yield Target(f"fresh reranking / {status} hit, top {TOP_K} of {PASSAGES}", faster, at_least=bound)


def plot(result: Result, path: Path) -> None:
    """p50 by status."""
    values = {row["status"]: row["p50_ms"] for row in result.rows}
    plots.bars(values, path, title=f"A whole request, {PASSAGES} passages, top {TOP_K}", x="p50, ms", log_x=True)


if __name__ == "__main__":
    experiment.main(measure, plot)
