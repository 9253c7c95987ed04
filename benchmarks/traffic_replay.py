"""Sends a stream of requests through the whole pipeline, with a reranker that gives recorded scores."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter, process_time, thread_time
from typing import Any

import numpy as np
import redis
from numpy.typing import NDArray

from benchmarks import server
from benchmarks.streams import SEED, Stream
from benchmarks.traffic_loss import absolute_loss, gains, kept, loss, scaled_gains
from semcache import OptimizedRerankerPipeline
from semcache.protocols import Embedder, FloatArray, Pair, Reranker
from semcache.ranking import Ranking
from semcache.settings import Settings

P95_S = 60.0
"""So high that no answer is degraded on a slow machine. Degradation is not the question here."""
TIMEOUT_S = 30.0
"""For Redis, so that no step of the cache fails on a slow machine. An unreachable Redis is not the question either."""


SHARED_EVERY_S = 5.0
"""How often what was learned is shared and followed (``semcache.audit.pruning``), here in modelled seconds."""


@dataclass(frozen=True, slots=True)
class Mode:
    """A way to run the pipeline: values of the sections ``prune`` and ``reuse`` of the settings, by name."""

    name: str
    prune: Mapping[str, Any]
    reuse: Mapping[str, Any] = field(default_factory=dict)
    min_score: float | None = None


@dataclass(frozen=True, slots=True)
class Served:
    """One answer of the pipeline. ``asked`` counts pairs and ``rounds`` calls of the reranker.

    ``own_s`` is the processor time of this process for the request, and ``waited_s`` what its caller waited, both less
    reranker and embedder; ``embedded`` says how often the embedder was called. ``loss``,
    ``absolute_loss``, ``scaled_loss`` and ``kept`` compare it with whole scoring (``traffic_loss``).
    """

    query: int
    status: str
    asked: int
    rounds: int
    own_s: float
    waited_s: float
    embedded: int
    loss: float
    absolute_loss: float
    scaled_loss: float
    kept: float


@dataclass(frozen=True, slots=True)
class Replayed:
    """All answers of one run in order, and the pairs that audits asked for in the background.

    ``server_s`` is the processor time of Redis, ``background_s`` that of what was learned between requests.
    ``entries`` and ``used_bytes`` are of the cache at the end, ``stats`` those of the pipeline.
    """

    served: Sequence[Served]
    audited: int
    server_s: float
    background_s: float
    entries: int
    used_bytes: int
    stats: Mapping[str, Any]

    @property
    def beside_s(self) -> float:
        """Processor seconds outside of the requests."""
        return self.server_s + self.background_s


class Clock:
    """Adds up, over the times it was entered, the seconds that passed and the processor time of the thread."""

    def __init__(self) -> None:
        self.passed_s = self.used_s = 0.0

    def __enter__(self) -> None:
        self._started = perf_counter(), thread_time()

    def __exit__(self, *_: object) -> None:
        self.passed_s += perf_counter() - self._started[0]
        self.used_s += thread_time() - self._started[1]


class Recorded:
    """A reranker that answers with recorded scores; ``name`` says whose. Counts pairs and its own time."""

    listwise = False

    def __init__(self, name: str, stream: Stream, scores: NDArray[np.float32]) -> None:
        self.name = f"recorded/{name}"
        self._scores = {
            query: {stream.documents[at]: score for at, score in zip(stream.candidates[row], known, strict=False)}
            for row, (query, known) in enumerate(zip(stream.queries, scores.tolist(), strict=True))
        }
        self.pairs = 0
        self.clock = Clock()

    def score(self, pairs: Sequence[Pair]) -> FloatArray:
        """The recorded score of each pair. A pair without one is a KeyError: nothing may be made up here."""
        with self.clock:
            scores = np.array([self._scores[query][text] for query, text in pairs], dtype=np.float32)
        self.pairs += len(pairs)
        return scores


class Precomputed:
    """The cache's embedder, with the vectors that the stream has already. Counts calls and its own time."""

    def __init__(self, stream: Stream) -> None:
        self.name, self.dims = "all-MiniLM-L6-v2/precomputed", stream.query_vectors.shape[1]
        self._vectors = dict(zip(stream.queries, stream.query_vectors, strict=True))
        self.calls = 0
        self.clock = Clock()

    def embed(self, texts: Sequence[str]) -> FloatArray:
        """The vector of each text."""
        with self.clock:
            self.calls += 1
            return np.stack([self._vectors[text] for text in texts])


def replay(
    stream: Stream, scores: NDArray[np.float32], mode: Mode, top_k: int, reranker: str, pair_s: float
) -> Replayed:
    """Every request of the stream in order, one at a time, on an empty Redis. ``scores`` are by query and candidate.

    With the real reranker a pair would take ``pair_s`` seconds; what semcache does every few seconds is done as often.
    """
    model, embedder = Recorded(reranker, stream, scores), Precomputed(stream)
    # What is audited is drawn by chance.
    random.seed(SEED)
    with server.started() as url, pipeline(url, model, embedder, mode) as tried:
        client = server.client(url)
        empty, idle_s = client.info("memory")["used_memory"], _used_s(client)
        # Of the time that learning may take, there is more than enough beside a real reranker.
        tried.audit.pruning.share_of_time = 1.0
        served: list[Served] = []
        background_s = since_s = 0.0
        for query in stream.requests:
            served.append(_served(tried, stream, scores, query, top_k, mode, model, embedder))
            since_s += served[-1].asked * pair_s + served[-1].waited_s
            if since_s >= SHARED_EVERY_S or len(served) == len(stream.requests):
                background_s, since_s = background_s + _drained_s(tried), 0.0
        used, server_s = client.info("memory")["used_memory"] - empty, _used_s(client) - idle_s
        entries, stats = tried.cache.store.count(), tried.get_stats()["cache"]
    if stats["cache_failures"]:
        raise SystemExit(f"{stats['cache_failures']} cache steps failed, which makes the figures worthless")
    audited = model.pairs - sum(answer.asked for answer in served)
    return Replayed(served, audited, server_s, background_s, entries, used, stats)


def _drained_s(tried: OptimizedRerankerPipeline) -> float:
    """Wait until the background has counted and shared everything; the processor time that it took meanwhile."""
    started = process_time()
    if not tried.audit.drain(60.0):
        raise SystemExit("the background did not come to an end within a minute; free the machine")
    return process_time() - started


def _used_s(client: redis.Redis) -> float:
    info = client.info("cpu")
    return float(info["used_cpu_user"]) + float(info["used_cpu_sys"])


def pipeline(url: str, reranker: Reranker, embedder: Embedder, mode: Mode) -> OptimizedRerankerPipeline:
    """The pipeline with default settings but for the mode, and no limits on time."""
    settings = Settings(
        redis={"url": url, "timeout_s": TIMEOUT_S, "connect_timeout_s": TIMEOUT_S, "budget_s": TIMEOUT_S},
        monitor={"p95_threshold_s": P95_S},
        # The given reranker takes the place of the first rung.
        rerankers=[{"kind": "embedding"}, {"kind": "embedding"}],
        prune=dict(mode.prune),
        reuse=dict(mode.reuse),
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
    clocks, calls = (model.clock, embedder.clock), embedder.calls
    used_s, passed_s = sum(clock.used_s for clock in clocks), sum(clock.passed_s for clock in clocks)
    started, used = perf_counter(), process_time()
    ranking = answer(tried, stream, query, top_k, scores.shape[1], mode.min_score)
    used, waited = process_time() - used, perf_counter() - started
    truth = scores[query].astype(float)
    gain = gains(truth, mode.min_score)
    return Served(
        query=int(query),
        status=ranking.status.value,
        asked=ranking.asked,
        rounds=ranking.rounds,
        own_s=used - (sum(clock.used_s for clock in clocks) - used_s),
        waited_s=waited - (sum(clock.passed_s for clock in clocks) - passed_s),
        embedded=embedder.calls - calls,
        loss=loss(ranking.indices, gain, top_k),
        absolute_loss=absolute_loss(ranking.indices, gain, top_k),
        scaled_loss=loss(ranking.indices, scaled_gains(truth, mode.min_score), top_k),
        kept=kept(ranking.indices, truth, top_k, mode.min_score),
    )
