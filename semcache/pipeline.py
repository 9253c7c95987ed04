"""The whole of semcache in one object: a reranker with cache, batches, breaker and fallbacks."""

from collections.abc import Sequence
from functools import partial
from typing import Any, Self

from semcache.backend import check_arguments
from semcache.batching.admission import merging_time_s
from semcache.batching.reranker import AsyncBatchReranker
from semcache.cache import RedisSemanticCache
from semcache.cached import CachedReranker
from semcache.degradation.breaker import BreakerPolicy
from semcache.degradation.monitor import LatencyMonitor
from semcache.degradation.reranker import DegradableReranker
from semcache.documents import TextOf
from semcache.embedders.adapt import adapt_embedder
from semcache.observers import Counters, checked_observers, notify
from semcache.protocols import Observer
from semcache.redis.client.connection import DEFAULT_URL
from semcache.rerankers.build import build
from semcache.settings import Settings, settings_of


class OptimizedRerankerPipeline(CachedReranker):
    """A reranker that is asked only what the cache does not know, and that no request waits for too long.

    Rerankers are anything ``semcache.rerankers.adapt`` takes, a sentence-transformers CrossEncoder included.
    ``fallback_reranker`` answers while more than 5 % of the primary's calls take longer than ``p95_threshold`` seconds;
    None means the retriever's order, which also answers when the fallback cannot. ``similarity_threshold`` is the
    cosine from which another query's scores are served unasked; ``cache_ttl`` is in seconds, None for no expiry.
    ``embedding_model`` is a name, a folder, or any embedder; ``rungs`` are further fallbacks. ``redis_client`` stands
    in the place of ``redis_url`` and ``text`` says what of a document is scored, see RedisSemanticCache.
    ``max_pairs_per_call`` is the most documents that one call of the primary takes (None: as the settings say); a
    larger request is split. ``name``, ``version`` and ``probe`` say whose scores those of the primary are, as for
    ``adapt``. ``observers`` are told every event. ``eager`` calls ``warmup`` at once. All other knobs come from
    ``settings`` (environment and YAML unless given). Close it, or use it in a ``with`` or ``async with`` block.

    Example:
        >>> with OptimizedRerankerPipeline(my_cross_encoder, None, "redis://localhost:6379") as pipeline:
        ...     ranking = pipeline.rerank("how far is the moon", documents, top_k=5)
    """

    def __init__(
        self,
        primary_reranker: object,
        fallback_reranker: object | None = None,
        redis_url: str = DEFAULT_URL,
        cache_ttl: float | None = 3600,
        similarity_threshold: float = 0.95,
        p95_threshold: float = 2.0,
        *,
        redis_client: object | None = None,
        embedding_model: object = "all-MiniLM-L6-v2",
        rungs: Sequence[object] = (),
        text: TextOf | None = None,
        name: str | None = None,
        version: str | None = None,
        probe: bool = True,
        max_pairs_per_call: int | None = None,
        settings: Settings | None = None,
        observers: Sequence[Observer] = (),
        eager: bool = False,
    ) -> None:
        # First of all, since a reranker may take long to load.
        check_arguments(redis_url, redis_client, embedding_model, similarity_threshold, cache_ttl, "cache_ttl")
        settings = settings_of(settings)
        observers = checked_observers(observers)
        batching = settings.batching
        monitor = LatencyMonitor(settings.monitor.window_size, p95_threshold, settings.monitor.min_samples)
        counters = Counters()
        # The ladder belongs to this pipeline: of all counters over its cache, only these count the ladder's failures.
        on_event = partial(notify, (counters, *observers))
        self._primary = AsyncBatchReranker(
            primary_reranker,
            max_pairs=batching.max_pairs,
            max_batch_s=merging_time_s(p95_threshold, batching.admission_factor),
            max_queue_pairs=batching.max_queue_pairs,
            name=name,
            version=version,
            probe=probe,
            max_pairs_per_call=batching.max_pairs_per_call if max_pairs_per_call is None else max_pairs_per_call,
            on_event=on_event,
        )
        self._degradable = DegradableReranker(
            self._primary,
            fallback_reranker,
            monitor,
            breaker=BreakerPolicy(**settings.breaker.model_dump()),
            rungs=rungs,
            admission_factor=batching.admission_factor,
            on_event=on_event,
        )
        # The cache comes last: it opens connections, which would stay open if a reranker could not be used.
        cache = RedisSemanticCache(
            redis_url,
            embedding_model,
            similarity_threshold,
            cache_ttl,
            redis_client=redis_client,
            settings=settings,
            observers=observers,
            eager=eager,
        )
        cache.backend.belong_to(self)
        super().__init__(self._degradable, cache, text=text, counters=counters, eager=eager)

    @classmethod
    def from_settings(
        cls,
        settings: Settings | None = None,
        *,
        primary: object | None = None,
        embedder: object | None = None,
        text: TextOf | None = None,
        redis_client: object | None = None,
        observers: Sequence[Observer] = (),
        eager: bool = False,
    ) -> Self:
        """Everything from the environment and YAML, the ladder of rerankers included.

        ``primary`` replaces the first reranker of the ladder, ``embedder`` the model that the settings name. They are
        anything that ``rerankers.adapt`` and ``embedders.adapt_embedder`` take. ``redis_client`` replaces the url that
        the settings name; it, ``text`` and ``eager`` are those of the constructor.

        Example:
            >>> OptimizedRerankerPipeline.from_settings(primary=my_cross_encoder, observers=[LoggingObserver()])
        """
        settings = settings_of(settings)
        embedder = adapt_embedder(
            settings.embedder.model if embedder is None else embedder, backend=settings.embedder.backend
        )
        # The rung that is replaced is not built: it may name a model that is not on this machine.
        if primary is None:
            primary = build(settings.rerankers[0], embedder)
        rungs = [build(rung, embedder) for rung in settings.rerankers[1:]]
        return cls(
            primary,
            None if not rungs else rungs[0],
            settings.redis.url.get_secret_value() if redis_client is None else DEFAULT_URL,
            settings.cache.ttl_s,
            settings.reuse.trust_threshold,
            settings.monitor.p95_threshold_s,
            redis_client=redis_client,
            embedding_model=embedder,
            rungs=rungs[1:],
            text=text,
            settings=settings,
            observers=observers,
            eager=eager,
        )

    @property
    def reranker(self) -> DegradableReranker:
        """The ladder of rerankers, with its breaker: ``force_open``, ``disable``, ``reset``."""
        return self._degradable

    def get_stats(self) -> dict[str, Any]:
        """``{"cache": counts of requests and pairs, "reranker": state of the breaker and the queue}``."""
        return {"cache": super().get_stats(), "reranker": self._degradable.get_stats()}

    def close(self) -> None:
        """Score what waits, then end the threads; and the connections, unless another reranker uses the cache."""
        super().close()
        # DegradableReranker leaves it open, as one that callers share.
        self._primary.close()

    async def aclose(self) -> None:
        """``close`` without blocking the event loop."""
        await super().aclose()
        await self._primary.aclose()
