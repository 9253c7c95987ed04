"""The measurement from start to end: connect, load, store, measure, remove."""

from collections.abc import Callable
from importlib.metadata import version

from semcache.commands.bench.entries import SyntheticEntries
from semcache.commands.bench.machine import describe_machine
from semcache.commands.bench.measuring import Budget, Timing, alternate
from semcache.commands.bench.namespace import check_memory, connected, pipeline_apart, settings_apart
from semcache.commands.bench.operations import bare_commands, look_ups, model_calls, writes
from semcache.commands.bench.result import BenchOptions, BenchResult
from semcache.commands.demo.corpus import load_corpus
from semcache.commands.models import Models, UnusedModel, warm_models
from semcache.pipeline import OptimizedRerankerPipeline
from semcache.redis.client.connection import RedisConnection
from semcache.redis.client.failures import FOREIGN, translated
from semcache.redis.client.server_info import server_info
from semcache.redis.store import keys_of
from semcache.settings import Settings

# Entries stored by one round trip: enough to make the round trip negligible, without a reply of megabytes.
_PER_ROUND_TRIP = 200

Progress = Callable[[str], None]
"""Called with the name of each phase when it begins."""


def run_bench(
    options: BenchOptions,
    settings: Settings,
    load_models: Callable[[Settings], Models] | None = warm_models,
    progress: Progress = lambda phase: None,
) -> BenchResult:
    """Measure with these settings, in a namespace of its own that is removed at the end, also after an interruption.

    ``load_models`` None leaves the models out. Raises StoreUnavailableError or StoreError when Redis cannot be used,
    has too little memory left, or loses what was stored.
    """
    apart = settings_apart(settings, options.documents)
    # Open until the end: an embedded server stops with its last connection. First of all, because a Redis that is
    # away is noticed at once, while models take seconds to load.
    with connected(apart) as connection:
        info = server_info(connection)
        machine = {
            "semcache": version("redis-semcache"),
            "redis_server": info.version,
            "search_module": info.search_version,
            # Before the models are loaded, which is work of our own and would count as load.
            **describe_machine(),
        }
        loaded = None
        if load_models is not None:
            progress("loading the models")
            loaded = load_models(apart)
        models = loaded or Models(UnusedModel(), UnusedModel())
        check_memory(info, options.entries, models.embedder.dims, options.documents)
        with pipeline_apart(apart, models) as pipeline:
            try:
                timings = _measured(options, pipeline, connection, loaded, progress)
            except FOREIGN as error:  # raised by the bare commands, which call redis-py themselves
                raise translated(error, connection.where) from error
    # The vectors of one name may be computed by two libraries, of which one is much faster.
    backend = getattr(models.embedder, "backend", None)
    embedder = f"{models.embedder.name} by {backend}" if backend else models.embedder.name
    return BenchResult(
        options=options,
        where=connection.where,
        dims=models.embedder.dims,
        embedder=None if loaded is None else embedder,
        reranker=None if loaded is None else loaded.reranker.name,
        machine=machine,
        timings=timings,
    )


def _measured(
    options: BenchOptions,
    pipeline: OptimizedRerankerPipeline,
    connection: RedisConnection,
    models: Models | None,
    progress: Progress,
) -> dict[str, Timing]:
    cache, stored = pipeline.cache, options.entries
    knobs, embedder, guard = cache.backend.knobs, cache.backend.embedder, cache.scoped.policy().guard
    entries = SyntheticEntries.of(load_corpus(), embedder.dims, options.documents)
    progress(f"storing {stored:,} entries")
    for first in range(0, stored, _PER_ROUND_TRIP):
        numbers = range(first, min(first + _PER_ROUND_TRIP, stored))
        cache.store.remember_many("", [entries.entry(number, guard) for number in numbers])
    budget = Budget(options.seconds)
    progress("measuring look-ups")
    store, _ = cache.backend.stores(cache.reranker, listwise=cache.scoped.listwise)
    bare = bare_commands(connection, keys_of(store), entries, stored)
    timings = alternate([*bare, *look_ups(pipeline, entries, stored, knobs.neighbours)], budget)
    # After the look-ups, since writes make the index grow, and models keep the cores busy and fill their caches.
    progress("measuring writes" if models is None else "measuring writes and models")
    calls = [] if models is None else model_calls(models, entries)
    return timings | alternate([*writes(pipeline, entries, stored), *calls], budget)
