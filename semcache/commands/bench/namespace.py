"""A pipeline in a namespace of its own on the user's Redis, which is removed at the end."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from secrets import token_hex

from semcache.commands.models import Models
from semcache.entries.codec import MAX_SCORES
from semcache.errors import StoreError
from semcache.events import CacheFailed, Event
from semcache.pipeline import OptimizedRerankerPipeline
from semcache.redis.client.connection import RedisConnection
from semcache.redis.client.server_info import ServerInfo
from semcache.redis.namespace import remove_namespace
from semcache.settings import Settings

# Longer than any measurement. It also removes the entries of a process that was killed.
_TTL_S = 3600.0
# A measurement waits for slow answers too; an answer that takes longer counts as a failure.
_TIMEOUT_S = 10.0


def settings_apart(settings: Settings, documents: int) -> Settings:
    """The same settings with a namespace of their own, and without what would disturb or prevent the measurement.

    The thresholds are fixed, so that hits hit and misses miss whatever the user has set: they decide how often scores
    are reused, not how long a look-up takes.
    """
    cache, reuse = settings.cache, settings.reuse
    return settings.model_copy(
        update={
            "cache": cache.model_copy(
                update={
                    # Random, so that two measurements at a time, or one after a crash, never share entries.
                    "namespace": f"bench-{token_hex(8)}",
                    "ttl_s": _TTL_S,
                    # Limits of the user's traffic must not cut the invented entries.
                    "max_scores": max(cache.max_scores, min(documents, MAX_SCORES)),
                    "max_query_chars": max(cache.max_query_chars, 512),
                }
            ),
            # An audit would call the reranker in the background, and share the processor with what is timed.
            "reuse": reuse.model_copy(update={"trust_threshold": 0.97, "reuse_threshold": 0.6, "audit_rate": 0.0}),
            # Only the primary is measured: the models of the other rungs would be loaded for nothing.
            "rerankers": settings.rerankers[:1],
            "redis": settings.redis.model_copy(update={"timeout_s": max(settings.redis.timeout_s, _TIMEOUT_S)}),
        }
    )


def connected(settings: Settings) -> RedisConnection:
    """A connection to the server of these settings."""
    knobs = settings.redis
    return RedisConnection(
        knobs.url.get_secret_value(), timeout_s=knobs.timeout_s, connect_timeout_s=knobs.connect_timeout_s
    )


def check_memory(info: ServerInfo, entries: int, dims: int, documents: int) -> None:
    """Raise StoreError when the entries would not fit: a full Redis refuses writes, or evicts other entries."""
    # A vector is held twice, in its hash and in the graph, with 2 bytes per number; a score takes 20 bytes. At 384
    # dims and 50 documents this gives 4.0 KB; benchmarks/results/size.md has 3.5 KB per entry.
    needed = entries * (1500 + 4 * dims + 20 * documents)
    if info.free_bytes is not None and needed > info.free_bytes:
        raise StoreError(
            f"{entries:,} entries need about {needed / 1e6:,.0f} MB and Redis has {info.free_bytes / 1e6:,.0f} MB left "
            "below its maxmemory; use fewer entries, or the Redis url embedded"
        )


@contextmanager
def pipeline_apart(settings: Settings, models: Models) -> Iterator[OptimizedRerankerPipeline]:
    """A pipeline with the settings of ``settings_apart``. Its namespace is removed at the end, also after an error.

    A StoreError of the block gets the latest failure of the cache added to its message.
    """
    failure = _LatestFailure()
    try:
        with OptimizedRerankerPipeline.from_settings(
            settings, primary=models.reranker, embedder=models.embedder, observers=[failure]
        ) as pipeline:
            try:
                yield pipeline
            except StoreError as error:
                # A cache that fails answers as if it had found nothing, so the cause is in its events.
                if failure.text is None:
                    raise
                raise StoreError(f"{error}; the latest failure: {failure.text}") from error
    finally:
        try:
            # After the pipeline, which may still write until it is closed. By a new connection, since that of the
            # block may have been interrupted in the middle of a reply.
            with connected(settings) as connection:
                remove_namespace(connection, settings.cache.namespace)
        # A second Ctrl-C stops the removal. The user must then learn what is left.
        except (StoreError, KeyboardInterrupt) as error:
            raise StoreError(
                f"namespace {settings.cache.namespace} could not be removed ({error or 'stopped'}); its entries expire "
                "in about an hour, its indexes (FT._LIST names them) go with FT.DROPINDEX"
            ) from error


@dataclass(slots=True)
class _LatestFailure:
    """An observer that keeps the text of the latest failure of the cache."""

    text: str | None = None

    def __call__(self, event: Event, /) -> None:
        if isinstance(event, CacheFailed):
            self.text = event.error
