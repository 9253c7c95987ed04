"""The demo from start to end, and its result for the report and the plot."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from semcache.commands.demo.corpus import load_corpus
from semcache.commands.demo.memoising_embedder import MemoisingEmbedder
from semcache.commands.demo.replay import BreakerDiary, Served, Uncached, replay, without_cache
from semcache.commands.demo.retriever import CANDIDATES, InMemoryRetriever
from semcache.commands.demo.slowed import SlowedReranker
from semcache.commands.demo.traffic import traffic
from semcache.commands.models import Models
from semcache.documents import Document
from semcache.events import BreakerChanged
from semcache.pipeline import OptimizedRerankerPipeline
from semcache.protocols import Reranker
from semcache.rerankers.embedding import EmbeddingReranker
from semcache.settings import Settings

# Every eighth request is made again without a cache. Their durations differ little, so their mean is good to a few
# percent, and the demo stays at about a minute.
_SAMPLE_EVERY = 8

T = TypeVar("T")
Progress = Callable[[str, int, int], None]
"""Called with a task, how many of its steps are done, and how many it has."""


@dataclass(frozen=True, slots=True)
class DemoResult:
    """``threshold_s`` is the p95 threshold of the breaker in seconds.

    ``transitions`` are those of the breaker, each with the number of the request at which it came.
    """

    served: Sequence[Served]
    uncached: Sequence[Uncached]
    transitions: Sequence[tuple[int, BreakerChanged]]
    threshold_s: float


def run_demo(
    requests: int,
    seed: int,
    models: Models,
    progress: Progress = lambda task, step, steps: None,
    *,
    redis_url: str = "embedded",
) -> DemoResult:
    """Replay ``requests`` requests against a Redis, an embedded one by default, then a sample without a cache."""
    corpus = load_corpus()
    # The retriever and the fallback share what is embedded already. The cache gets the bare embedder, so that every
    # query that it has to embed costs what it costs in production.
    index = MemoisingEmbedder(models.embedder)
    progress("embedding the passages", 0, 1)
    retriever = InMemoryRetriever(corpus.passages, index)
    # Relative to this machine, so that on every machine only the slow spell is slow: three times the usual latency is
    # far above its noise. At least 0.3 s, so that a pause of the machine is no slow call where scoring takes
    # milliseconds.
    threshold_s = max(0.3, 3 * _usual_latency_s(models.reranker, corpus.passages))
    progress("embedding the passages", 1, 1)
    primary = SlowedReranker(models.reranker, 1.2 * threshold_s)
    diary = BreakerDiary()
    # The defaults, but for a breaker that is quick enough for a replay of one minute.
    settings = Settings(
        # It judges after 20 calls of the primary, since a short replay has few.
        monitor={"window_size": 40, "min_samples": 20},
        breaker={"open_s": 0.2, "max_open_s": 0.4},
    )
    with OptimizedRerankerPipeline(
        primary,
        EmbeddingReranker(index),
        redis_url,
        p95_threshold=threshold_s,
        embedding_model=models.embedder,
        rungs=(),
        settings=settings,
        observers=[diary],
    ) as pipeline:
        planned = traffic(corpus.questions, requests, seed)
        replayed = replay(pipeline, planned, retriever, corpus.updates, primary, diary)
        served = _collected(replayed, progress, "replaying", requests)
    # After the replay, and with the bare reranker, so that neither disturbs the other's latency.
    sample = served[::_SAMPLE_EVERY]
    uncached = _collected(without_cache(sample, models.reranker), progress, "sample without a cache", len(sample))
    return DemoResult(served, uncached, diary.transitions, threshold_s)


def _collected(answers: Iterable[T], progress: Progress, task: str, expected: int) -> list[T]:
    """All answers in order; the progress is told of each."""
    collected = []
    for answer in answers:
        collected.append(answer)
        progress(task, len(collected), expected)
    return collected


def _usual_latency_s(reranker: Reranker, passages: Sequence[Document]) -> float:
    """The slowest of three calls with as many passages as a request has, in seconds."""
    pairs = [("How does it work?", passage.text) for passage in passages[:CANDIDATES]]
    reranker.score(pairs)  # loads what is loaded on first use, and does not count
    took = []
    for _ in range(3):
        started = time.perf_counter()
        reranker.score(pairs)
        took.append(time.perf_counter() - started)
    return max(took)
