"""The demo from start to end; what it found, for the report and the plot."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from semcache.commands.demo.corpus import load_corpus
from semcache.commands.demo.models import Models, usual_latency_s
from semcache.commands.demo.remembering import MemoisingEmbedder
from semcache.commands.demo.replay import BreakerDiary, Served, Uncached, replay, without_cache
from semcache.commands.demo.shelf import InMemoryRetriever
from semcache.commands.demo.slowed import SlowedReranker
from semcache.commands.demo.traffic import traffic
from semcache.events import BreakerChanged
from semcache.pipeline import OptimizedRerankerPipeline
from semcache.protocols import Embedder
from semcache.rerankers.embedding import EmbeddingReranker
from semcache.settings import Settings

_SAMPLE_EVERY = 8
"""Every eighth request is made again without a cache: they differ little, so the mean is good to a few percent."""

Progress = Callable[[str, int, int], None]
"""Told what is being done, how many steps of it are over, and how many there are."""


@dataclass(frozen=True, slots=True)
class Result:
    """``threshold_s`` is the p95 threshold of the breaker; ``moves`` are its moves with the request they came at."""

    served: Sequence[Served]
    uncached: Sequence[Uncached]
    moves: Sequence[tuple[int, BreakerChanged]]
    threshold_s: float


def run_demo(requests: int, seed: int, models: Models, progress: Progress = lambda what, step, steps: None) -> Result:
    """Replay so many requests against an embedded Redis; then a sample of them without a cache."""
    corpus = load_corpus()
    # The retriever and the fallback share what is embedded already; the cache embeds every query it has to.
    index = MemoisingEmbedder(models.embedder)
    progress("embedding the passages", 0, 1)
    shelf = InMemoryRetriever(corpus.passages, index)
    # Relative to this machine, so that only the slow spell is slow on any: 3 times the usual is far above its noise.
    threshold_s = max(0.3, 3 * usual_latency_s(models.reranker, corpus.passages))
    progress("embedding the passages", 1, 1)
    primary = SlowedReranker(models.reranker, 1.2 * threshold_s)
    diary = BreakerDiary()
    served = []
    with _pipeline(primary, index, models.embedder, threshold_s, diary) as pipeline:
        asks = traffic(corpus.questions, requests, seed)
        for answer in replay(pipeline, asks, shelf, corpus.updates, primary, diary):
            served.append(answer)
            progress("replaying", len(served), requests)
    sample = served[::_SAMPLE_EVERY]
    uncached = []
    for again in without_cache(sample, models.reranker):
        uncached.append(again)
        progress("sample without a cache", len(uncached), len(sample))
    return Result(served, uncached, diary.moves, threshold_s)


def _pipeline(
    primary: SlowedReranker, index: MemoisingEmbedder, embedder: Embedder, threshold_s: float, diary: BreakerDiary
) -> OptimizedRerankerPipeline:
    """The defaults, but a breaker quick enough for a replay of one minute."""
    settings = Settings(
        # A small window judges after 20 calls of the primary, of which a short replay has few.
        monitor={"window_size": 40, "min_samples": 20},
        breaker={"open_s": 0.2, "max_open_s": 0.4},
    )
    return OptimizedRerankerPipeline(
        primary,
        EmbeddingReranker(index),
        "embedded",
        settings.cache.ttl_s,
        settings.reuse.trust_threshold,
        threshold_s,
        embedding_model=embedder,
        settings=settings,
        observers=[diary],
    )
