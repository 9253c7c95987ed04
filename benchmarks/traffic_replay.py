"""Sends a stream of requests through the whole pipeline, with a reranker that gives recorded scores."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import server
from benchmarks.streams import SEED, Stream
from benchmarks.traffic_loss import gains, kept, loss, scaled_gains
from semcache import OptimizedRerankerPipeline
from semcache.protocols import Embedder, FloatArray, Pair, Reranker
from semcache.ranking import Ranking
from semcache.settings import Settings

P95_S = 60.0
"""So high that no answer is degraded on a slow machine. Degradation is not the question here."""
TIMEOUT_S = 30.0
"""For Redis, so that no step of the cache fails on a slow machine. An unreachable Redis is not the question either."""


@dataclass(frozen=True, slots=True)
class Mode:
    """A way to run the pipeline: values of the section ``prune`` of the settings, by name."""

    name: str
    prune: Mapping[str, Any] = field(default_factory=dict)
    min_score: float | None = None


@dataclass(frozen=True, slots=True)
class Served:
    """One answer of the pipeline. ``asked`` counts pairs and ``rounds`` calls of the reranker.

    ``own_s`` are the seconds of the request outside of reranker and embedder, ``embedded`` says how often the embedder
    was called. ``loss``, ``scaled_loss`` and ``kept`` compare it with whole scoring (``traffic_loss``).
    """

    query: int
    status: str
    asked: int
    rounds: int
    own_s: float
    embedded: int
    loss: float
    scaled_loss: float
    kept: float


@dataclass(frozen=True, slots=True)
class Replayed:
    """All answers of one run in order, and the pairs that audits asked for in the background.

    ``entries`` and ``used_bytes`` are of the cache at the end, ``stats`` those of the pipeline.
    """

    served: Sequence[Served]
    audited: int
    entries: int
    used_bytes: int
    stats: Mapping[str, Any]


class Recorded:
    """A reranker that answers with recorded scores; ``name`` says whose. Counts pairs, and the seconds it took."""

    listwise = False

    def __init__(self, name: str, stream: Stream, scores: NDArray[np.float32]) -> None:
        self.name = f"recorded/{name}"
        self._scores = {
            query: {stream.documents[at]: score for at, score in zip(stream.candidates[row], known, strict=False)}
            for row, (query, known) in enumerate(zip(stream.queries, scores.tolist(), strict=True))
        }
        self.pairs = 0
        self.spent_s = 0.0

    def score(self, pairs: Sequence[Pair]) -> FloatArray:
        """The recorded score of each pair. A pair without one is a KeyError: nothing may be made up here."""
        started = perf_counter()
        scores = np.array([self._scores[query][text] for query, text in pairs], dtype=np.float32)
        self.pairs += len(pairs)
        self.spent_s += perf_counter() - started
        return scores


class Precomputed:
    """The cache's embedder, with the vectors that the stream has already. Counts its calls, and the seconds."""

    def __init__(self, stream: Stream) -> None:
        self.name, self.dims = "all-MiniLM-L6-v2/precomputed", stream.query_vectors.shape[1]
        self._vectors = dict(zip(stream.queries, stream.query_vectors, strict=True))
        self.calls = 0
        self.spent_s = 0.0

    def embed(self, texts: Sequence[str]) -> FloatArray:
        """The vector of each text."""
        started = perf_counter()
        rows = np.stack([self._vectors[text] for text in texts])
        self.calls += 1
        self.spent_s += perf_counter() - started
        return rows


def replay(stream: Stream, scores: NDArray[np.float32], mode: Mode, top_k: int, reranker: str) -> Replayed:
    """Every request of the stream in order, one at a time, on an empty Redis. ``scores`` are by query and candidate."""
    model, embedder = Recorded(reranker, stream, scores), Precomputed(stream)
    # What is explored and what is audited is drawn by chance.
    random.seed(SEED)
    with server.started() as url, pipeline(url, model, embedder, mode) as tried:
        client = server.client(url)
        empty = client.info("memory")["used_memory"]
        served = [_served(tried, stream, scores, query, top_k, mode, model, embedder) for query in stream.requests]
        tried.audit.drain(60.0)
        used = client.info("memory")["used_memory"] - empty
        entries, stats = tried.cache.store.count(), tried.get_stats()["cache"]
    if stats["cache_failures"]:
        raise SystemExit(f"{stats['cache_failures']} cache steps failed, which makes the figures worthless")
    audited = model.pairs - sum(answer.asked for answer in served)
    return Replayed(served, audited, entries, used, stats)


def pipeline(url: str, reranker: Reranker, embedder: Embedder, mode: Mode) -> OptimizedRerankerPipeline:
    """The pipeline with default settings but for the mode, and no limits on time."""
    settings = Settings(
        redis={"url": url, "timeout_s": TIMEOUT_S, "connect_timeout_s": TIMEOUT_S},
        monitor={"p95_threshold_s": P95_S},
        # The given reranker takes the place of the first rung.
        rerankers=[{"kind": "embedding"}, {"kind": "embedding"}],
        prune=dict(mode.prune),
    )
    return OptimizedRerankerPipeline.from_settings(settings, primary=reranker, embedder=embedder)


def answer(
    tried: OptimizedRerankerPipeline, stream: Stream, query: int, top_k: int, depth: int, min_score: float | None = None
) -> Ranking[str]:
    """The answer to a query of the stream with its first ``depth`` candidates, as a dense retriever passes them."""
    at = stream.candidates[query, :depth]
    return tried.rerank(
        stream.queries[query],
        [stream.documents[position] for position in at],
        top_k,
        retrieval_scores=stream.cosines[query, :depth].tolist(),
        document_vectors=stream.document_vectors[at],
        min_score=min_score,
    )


def _served(
    tried: OptimizedRerankerPipeline,
    stream: Stream,
    scores: NDArray[np.float32],
    query: int,
    top_k: int,
    mode: Mode,
    model: Recorded,
    embedder: Precomputed,
) -> Served:
    elsewhere, calls = model.spent_s + embedder.spent_s, embedder.calls
    started = perf_counter()
    ranking = answer(tried, stream, query, top_k, scores.shape[1], mode.min_score)
    own_s = perf_counter() - started - (model.spent_s + embedder.spent_s - elsewhere)
    truth = scores[query].astype(float)
    return Served(
        query=int(query),
        status=ranking.status.value,
        asked=ranking.asked,
        rounds=ranking.rounds,
        own_s=own_s,
        embedded=embedder.calls - calls,
        loss=loss(ranking.indices, gains(truth, mode.min_score), top_k),
        scaled_loss=loss(ranking.indices, scaled_gains(truth), top_k),
        kept=kept(ranking.indices, truth, top_k, mode.min_score),
    )
