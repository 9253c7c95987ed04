"""The measurement from start to end: connect, load, store, measure, remove."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from semcache.commands.bench.entries import SyntheticEntries
from semcache.commands.bench.machine import describe
from semcache.commands.bench.measuring import Budget, Timing, alternate
from semcache.commands.bench.models import configured_models, stand_ins
from semcache.commands.bench.operations import bare_commands, look_ups, model_calls, writes
from semcache.commands.bench.result import Options, Result
from semcache.commands.bench.space import check_room, connected, removed_after, settings_apart
from semcache.commands.demo.corpus import load_corpus
from semcache.commands.demo.models import Models
from semcache.errors import StoreError
from semcache.events import CacheFailed, Event
from semcache.pipeline import OptimizedRerankerPipeline
from semcache.redis.client.connection import RedisConnection
from semcache.redis.client.failures import FOREIGN, translated
from semcache.redis.client.server_info import server_info
from semcache.redis.keys import KeySpace
from semcache.settings import Settings

_PER_ROUND_TRIP = 200

Progress = Callable[[str], None]
"""Told what is being done now."""


def run_bench(
    options: Options,
    settings: Settings,
    load_models: Callable[[Settings], Models] | None = configured_models,
    progress: Progress = lambda what: None,
) -> Result:
    """Measure with these settings, in a namespace of its own that is removed at the end, also after an interruption.

    Without ``load_models`` the models are left out. Raises StoreUnavailableError or StoreError when Redis cannot be
    used, has too little memory left, or loses what was stored.
    """
    apart = settings_apart(settings, options.documents)
    # Open to the end: an embedded server ends with its last connection.
    with connected(apart) as connection:
        info = server_info(connection)
        machine = describe(info)
        if load_models is not None:
            progress("loading the models")
        models = stand_ins() if load_models is None else load_models(apart)
        check_room(info, options.entries, models.embedder.dims, options.documents)
        with removed_after(apart), _said_in_our_words(connection), _pipeline(apart, models) as pipeline:
            timings = _measured(options, pipeline, connection, None if load_models is None else models, progress)
    return Result(
        options=options,
        where=connection.where,
        dims=models.embedder.dims,
        embedder=None if load_models is None else models.embedder.name,
        reranker=None if load_models is None else models.reranker.name,
        machine=machine,
        timings=timings,
    )


@contextmanager
def _pipeline(settings: Settings, models: Models) -> Iterator[OptimizedRerankerPipeline]:
    """A pipeline of these settings; what its cache failed by is added to the complaint that an answer was not right."""
    failures = _Failures()
    with OptimizedRerankerPipeline(
        models.reranker,
        None,
        settings.redis.url.get_secret_value(),
        settings.cache.ttl_s,
        settings.reuse.trust_threshold,
        settings.monitor.p95_threshold_s,
        embedding_model=models.embedder,
        settings=settings,
        observers=[failures],
    ) as pipeline:
        try:
            yield pipeline
        except StoreError as error:
            if failures.last is None:
                raise
            raise StoreError(f"{error}; the latest failure: {failures.last}") from error


@dataclass(slots=True)
class _Failures:
    """An observer that keeps what the cache failed by last: itself, it answers as if nothing had been found."""

    last: str | None = None

    def __call__(self, event: Event, /) -> None:
        if isinstance(event, CacheFailed):
            self.last = event.error


@contextmanager
def _said_in_our_words(connection: RedisConnection) -> Iterator[None]:
    try:
        yield
    except FOREIGN as error:  # of the bare commands
        raise translated(error, connection.where) from error


def _measured(
    options: Options,
    pipeline: OptimizedRerankerPipeline,
    connection: RedisConnection,
    models: Models | None,
    progress: Progress,
) -> dict[str, Timing]:
    cache, stored = pipeline.cache, options.entries
    knobs, embedder = cache.backend.knobs, cache.backend.embedder
    entries = SyntheticEntries.of(load_corpus(), embedder.dims, options.documents)
    progress(f"storing {stored:,} entries")
    _store(pipeline, entries, stored)
    budget = Budget(options.seconds)
    progress("measuring look-ups")
    keys = KeySpace.of(knobs.namespace, cache.reranker, embedder.name)
    bare = bare_commands(connection, keys, entries, stored)
    timings = alternate([*bare, *look_ups(pipeline, entries, stored, knobs.neighbours)], budget)
    # Afterwards, since writes make the index grow, and models keep cores and caches of the processor busy.
    progress("measuring writes" if models is None else "measuring writes and models")
    called = [] if models is None else model_calls(models, entries)
    return timings | alternate([*writes(pipeline, entries, stored), *called], budget)


def _store(pipeline: OptimizedRerankerPipeline, entries: SyntheticEntries, count: int) -> None:
    guard = pipeline.cache.policy().guard
    for first in range(0, count, _PER_ROUND_TRIP):
        some = range(first, min(first + _PER_ROUND_TRIP, count))
        pipeline.cache.store.remember_many("", [entries.entry(number, guard) for number in some])
