"""How much faster is a whole request than reranking 100 passages afresh?"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks import experiment, machine, plots, server, workload
from benchmarks.experiment import ExperimentResult, Target
from benchmarks.timing import ratio, summary
from benchmarks.trec import data_folder, load_topics
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
BACKENDS = ("torch", "onnx", "onnx-int8")
BARE, EXACT, SEMANTIC, VERIFIED = "reranker alone", "exact", "semantic", "verified"

Side = tuple[str, str]
"""(status, or the bare reranker; backend of the embedder)"""

Measured = Iterator[tuple[Side, float, int]]


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
            texts = list(map(topic.documents.__getitem__, topic.runs["bm25"][:PASSAGES]))
            query, *rewrites = topic.queries
            requests = _Requests(pipelines, reranker, query, texts)
            requests.remember()
            calls = _in_order(requests, rewrites[: QUICK_REWRITES if quick else None])
            for side, seconds, asked in chain.from_iterable(call() for call in calls[:: 1 if at % 2 == 0 else -1]):
                found.setdefault(side, []).append((seconds, asked))
        described = machine.describe(url)
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
            "embedders": [pipelines[backend].cache.backend.embedder.name for backend in BACKENDS],
            "trust_threshold": settings.reuse.trust_threshold,
            "reuse_threshold": settings.reuse.reuse_threshold,
        },
        machine=described,
        rows=[_row(*side, samples) for side, samples in sorted(found.items())],
        targets=list(_targets({side: np.array(samples)[:, 0] for side, samples in found.items()})),
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


@dataclass(frozen=True, slots=True)
class _Requests:
    """The requests of a topic, each as its side, its duration in seconds, and the number of pairs asked about."""

    pipelines: Mapping[str, OptimizedRerankerPipeline]
    reranker: OnnxCrossEncoder
    query: str
    texts: list[str]

    def remember(self) -> None:
        """Put the query into all caches. They share a server, but not a scope: their embedders differ."""
        scores = self.reranker.score([(self.query, text) for text in self.texts]).tolist()
        for pipeline in self.pipelines.values():
            pipeline.cache.remember(self.query, self.texts, scores)

    def bare(self) -> Measured:
        started = perf_counter()
        scores = self.reranker.score([(self.query, text) for text in self.texts])
        np.argsort(-scores, kind="stable")[:TOP_K]
        yield (BARE, "none"), perf_counter() - started, len(self.texts)

    def repeated(self, backend: str) -> Measured:
        for _ in range(EXACT_REPEATS):
            yield self._through(backend, self.query)

    def rewritten(self, backend: str, rewrite: str) -> Measured:
        yield self._through(backend, rewrite)
        # The next rewrite must be served from the original query, not from this one.
        self.pipelines[backend].cache.forget(query=rewrite)

    def _through(self, backend: str, query: str) -> tuple[Side, float, int]:
        started = perf_counter()
        ranking: Ranking[str] = self.pipelines[backend].rerank(query, self.texts, TOP_K)
        return (str(ranking.status), backend), perf_counter() - started, ranking.asked


def _in_order(requests: _Requests, rewrites: Sequence[str]) -> list[Callable[[], Measured]]:
    calls = [requests.bare, *(partial(requests.repeated, backend) for backend in BACKENDS)]
    return calls + [partial(requests.rewritten, backend, rewrite) for rewrite in rewrites for backend in BACKENDS]


def _row(what: str, backend: str, samples: Sequence[tuple[float, int]]) -> dict[str, Any]:
    seconds, asked = np.array(samples).T
    return {"status": what, "embedder": backend, **summary(seconds), "pairs_asked": float(np.mean(asked))}


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
