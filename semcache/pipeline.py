"""The whole of semcache in one object: a reranker with cache, batches, breaker and fallbacks."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from math import inf
from typing import Any, Self

from semcache.arguments import cache_arguments
from semcache.batching.admission import merging_time_s
from semcache.batching.reranker import AsyncBatchReranker
from semcache.cache import RedisSemanticCache
from semcache.cached import CachedReranker
from semcache.degradation.breaker import BreakerPolicy
from semcache.degradation.monitor import LatencyMonitor
from semcache.degradation.reranker import DegradableReranker
from semcache.degradation.rung import LadderRung
from semcache.documents import TextOf
from semcache.embedders.adapt import adapt_embedder
from semcache.events import PipelineOpened
from semcache.observers import Counters, checked_observers, notify
from semcache.protocols import Guard, Observer
from semcache.rerankers.build import Builder
from semcache.runtime.countdown import Countdown
from semcache.settings import FROM_SETTINGS, Batching, FromSettings, Settings, given, settings_of
from semcache.settings import Rung as RungKnobs


class OptimizedRerankerPipeline(CachedReranker):
    """A reranker that is asked only what the cache does not know, and that no request waits for too long.

    Rerankers are anything ``semcache.rerankers.adapt`` takes, a sentence-transformers CrossEncoder included.
    ``fallback_reranker`` answers while more than 5 % of the primary's calls take longer than ``p95_threshold`` seconds;
    None means the retriever's order, which also answers when the fallback cannot. ``similarity_threshold`` is the
    cosine from which another query's scores are served unasked; ``cache_ttl`` is in seconds, None for no expiry.
    ``embedding_model`` is a name, a folder, or any embedder; ``rungs`` are further fallbacks. A LadderRung around a
    reranker gives it a timeout, a monitor or a breaker of its own. ``redis_client`` stands in the place of
    ``redis_url``, ``guard`` keeps similar queries apart that ask something else, and ``text`` says what of a document
    is scored, see RedisSemanticCache. ``max_pairs_per_call`` is the most documents that one call of the primary takes
    (None: as the settings say); a larger request is split. ``concurrency`` is how many calls of the primary may run at
    once; None asks the primary itself: one of a local model or of a function that says nothing, several of a service.
    ``name``, ``version`` and ``probe`` say whose scores those of the primary are, as for ``adapt``. ``observers`` are
    told every event. ``eager`` calls ``warmup`` at once.

    An argument that is not given comes from ``settings`` (environment and YAML unless given), which have all other
    knobs too; the rerankers that are not given are those of the settings' ladder. Close it, or use it in a ``with`` or
    ``async with`` block.

    Example:
        >>> with OptimizedRerankerPipeline(my_cross_encoder, None, "redis://localhost:6379") as pipeline:
        ...     ranking = pipeline.rerank("how far is the moon", documents, top_k=5)
    """

    def __init__(
        self,
        primary_reranker: object = FROM_SETTINGS,
        fallback_reranker: object | None = FROM_SETTINGS,
        redis_url: str | FromSettings = FROM_SETTINGS,
        cache_ttl: float | FromSettings | None = FROM_SETTINGS,
        similarity_threshold: float | FromSettings = FROM_SETTINGS,
        p95_threshold: float | FromSettings = FROM_SETTINGS,
        *,
        redis_client: object | None = None,
        embedding_model: object = FROM_SETTINGS,
        rungs: Sequence[object] | FromSettings = FROM_SETTINGS,
        guard: Guard | str | FromSettings | None = FROM_SETTINGS,
        text: TextOf | None = None,
        name: str | None = None,
        version: str | None = None,
        probe: bool = True,
        max_pairs_per_call: int | None = None,
        concurrency: int | FromSettings | None = FROM_SETTINGS,
        migrate_from: object = FROM_SETTINGS,
        settings: Settings | None = None,
        observers: Sequence[Observer] = (),
        eager: bool = False,
    ) -> None:
        settings = settings_of(settings)
        # Everything is checked first, since a reranker may take long to load.
        arguments = cache_arguments(
            settings, redis_url, redis_client, embedding_model, similarity_threshold, cache_ttl, "cache_ttl"
        )
        observers = (*checked_observers(observers), *_telemetry(settings))
        monitor = _monitor(settings, given(p95_threshold, settings.monitor.p95_threshold_s))
        embedder = adapt_embedder(arguments.embedding_model, backend=settings.embedder.backend)
        self._builder = Builder(embedder)
        primary, fallback, lower = _ladder(settings, self._builder, primary_reranker, fallback_reranker, rungs)
        # A threshold that was given stands above that of the rung in the settings.
        if primary_reranker is not FROM_SETTINGS or p95_threshold is FROM_SETTINGS:
            monitor = primary.monitor or monitor
        counters = Counters()
        # The ladder belongs to this pipeline: of all counters over its cache, only these count the ladder's failures.
        on_event = partial(notify, (counters, *observers))
        options: dict[str, Any] = {"name": name, "version": version, "probe": probe, "on_event": on_event}
        self._primary = _batched(
            primary.reranker, settings.batching, monitor, concurrency, max_pairs_per_call, **options
        )
        primary = replace(primary, reranker=self._primary, monitor=monitor)
        self._degradable = _degradable(primary, fallback, lower, monitor, settings, on_event)
        # The cache comes last: it opens connections, which would stay open if a reranker could not be used.
        cache = RedisSemanticCache(
            *arguments._replace(embedding_model=embedder),
            redis_client=redis_client,
            guard=guard,
            migrate_from=migrate_from,
            settings=settings,
            observers=observers,
            eager=eager,
        )
        cache.backend.users.belong_to(self)
        try:
            repair = settings.batching.repair
            super().__init__(self._degradable, cache, text=text, counters=counters, repair=repair, eager=eager)
        except BaseException:  # also an interrupt: an embedded server would run on
            cache.close()
            raise
        self.cache.scoped.on_event(PipelineOpened(self._degradable.rerankers, embedder.name, settings.cache.namespace))

    @classmethod
    def from_settings(
        cls,
        settings: Settings | None = None,
        *,
        primary: object = FROM_SETTINGS,
        fallback: object | None = FROM_SETTINGS,
        embedder: object = FROM_SETTINGS,
        **options: Any,
    ) -> Self:
        """Everything from ``settings``, or from the environment and YAML, the ladder of rerankers included.

        ``primary`` replaces the first reranker of the ladder, ``fallback`` the second, and ``embedder`` the model that
        the settings name; ``options`` are other arguments of the constructor, such as ``observers``.

        Example:
            >>> OptimizedRerankerPipeline.from_settings(primary=my_cross_encoder, observers=[LoggingObserver()])
        """
        return cls(primary, fallback, embedding_model=embedder, settings=settings, **options)

    @property
    def reranker(self) -> DegradableReranker:
        """The ladder of rerankers, with its breaker: ``force_open``, ``disable``, ``reset``."""
        return self._degradable

    @property
    def monitor(self) -> LatencyMonitor:
        """The window of the primary's latencies, by which its breaker opens."""
        return self._degradable.monitor

    def get_stats(self) -> dict[str, Any]:
        """``{"cache": counts of requests and pairs, "reranker": state of the breakers and the queues}``."""
        return {"cache": super().get_stats(), "reranker": self._degradable.get_stats()}

    def close(self, timeout_s: float | None = None) -> None:
        """Answer what waits, then end the threads; and the connections, unless another reranker uses the cache.

        After ``timeout_s`` seconds the requests that are left fail, and a warning of the logger says how many. None
        waits as long as calls of the rerankers come to their end.

        Example:
            >>> pipeline.close(timeout_s=10)  # less than the supervisor gives the process before it kills it
        """
        countdown = Countdown(timeout_s)
        super().close(timeout_s)
        # DegradableReranker leaves it open, as one that callers share.
        self._primary.close(countdown.left_s(inf))
        # What was passed in is closed by its owner.
        self._builder.close()

    async def aclose(self, timeout_s: float | None = None) -> None:
        """``close`` without blocking the event loop."""
        countdown = Countdown(timeout_s)
        await super().aclose(timeout_s)
        await self._primary.aclose(countdown.left_s(inf))
        await self._builder.aclose()


def _telemetry(settings: Settings) -> Iterator[Observer]:
    """The observers that the settings ask for."""
    # Imported where one is asked for: most pipelines have neither.
    from semcache.observers import OpenTelemetryObserver, SummaryLog

    knobs = settings.telemetry
    if knobs.summary_s is not None:
        yield SummaryLog(knobs.summary_s, knobs.pipeline)
    if knobs.opentelemetry:
        yield OpenTelemetryObserver.from_settings(settings)


def _monitor(settings: Settings, p95_threshold_s: float) -> LatencyMonitor:
    return LatencyMonitor(settings.monitor.window_size, p95_threshold_s, settings.monitor.min_samples)


def _batched(
    reranker: object,
    knobs: Batching,
    monitor: LatencyMonitor,
    concurrency: int | FromSettings | None,
    max_pairs_per_call: int | None,
    **options: Any,
) -> AsyncBatchReranker:
    """The primary with a queue of its own, as the settings say; ``options`` are what the pipeline was given."""
    return AsyncBatchReranker(
        reranker,
        concurrency=given(concurrency, knobs.concurrency),
        requests_per_minute=knobs.requests_per_minute,
        pairs_per_minute=knobs.pairs_per_minute,
        max_batch_pairs=knobs.max_batch_pairs,
        max_batch_s=merging_time_s(monitor.p95_threshold, knobs.admission_factor),
        max_queue_pairs=knobs.max_queue_pairs,
        max_pairs_per_call=knobs.max_pairs_per_call if max_pairs_per_call is None else max_pairs_per_call,
        max_wait_s=knobs.max_wait_s,
        on_full=knobs.on_full,
        tenant_share=knobs.tenant_share,
        workers=knobs.workers,
        **options,
    )


def _degradable(
    primary: LadderRung,
    fallback: object,
    rungs: Sequence[object],
    monitor: LatencyMonitor,
    settings: Settings,
    on_event: Observer,
) -> DegradableReranker:
    """The ladder, with its breaker as the settings say."""
    ladder = DegradableReranker(
        primary,
        fallback,
        monitor,
        breaker=BreakerPolicy(**settings.breaker.model_dump(exclude={"state"}), per_pair=settings.monitor.per_pair),
        rungs=rungs,
        admission_factor=settings.batching.admission_factor,
        on_event=on_event,
    )
    if settings.breaker.state == "open":
        ladder.force_open("setting breaker.state")
    elif settings.breaker.state == "disabled":
        ladder.disable("setting breaker.state")
    return ladder


def _ladder(
    settings: Settings, builder: Builder, primary: object, fallback: object, rungs: Sequence[object] | FromSettings
) -> tuple[LadderRung, object, Sequence[object]]:
    """The primary, the fallback (None without one) and the rungs below it, as given or as the settings name them."""

    def built(rung: RungKnobs) -> LadderRung:
        monitor = None if rung.p95_threshold_s is None else _monitor(settings, rung.p95_threshold_s)
        return LadderRung(builder.build(rung), monitor=monitor, timeout_s=rung.timeout_s)

    # A rung that is replaced is not built: it may name a model that is not on this machine.
    first, *below = settings.rerankers
    if primary is FROM_SETTINGS:
        primary = built(first)
    if fallback is FROM_SETTINGS:
        fallback = built(below[0]) if below else None
    # Below the retriever's order, which None stands for, no rung is ever asked.
    if isinstance(rungs, FromSettings):
        rungs = [] if fallback is None else [built(rung) for rung in below[1:]]
    return primary if isinstance(primary, LadderRung) else LadderRung(primary), fallback, rungs
