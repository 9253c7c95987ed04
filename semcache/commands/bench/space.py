"""The user's settings in a namespace that is nobody else's, and its removal."""

from collections.abc import Iterator
from contextlib import contextmanager
from secrets import token_hex

from semcache.errors import StoreError
from semcache.redis.client.connection import RedisConnection
from semcache.redis.client.server_info import ServerInfo
from semcache.redis.namespace import remove_namespace
from semcache.settings import Settings

_TTL_S = 3600.0
"""Longer than any measurement; ends what even a killed process leaves behind."""
_TIMEOUT_S = 10.0
"""A measurement waits for slow answers too; beyond this they are failures."""


def settings_apart(settings: Settings, documents: int) -> Settings:
    """The same settings with a namespace of their own, and without what would disturb or prevent the measurement.

    Thresholds decide how often scores are reused, not how long a look-up takes, so here they are fixed: what is to
    hit hits, and what is to miss misses.
    """
    cache, reuse = settings.cache, settings.reuse
    return settings.model_copy(
        update={
            "cache": cache.model_copy(
                update={
                    "namespace": f"bench-{token_hex(8)}",
                    "ttl_s": _TTL_S,
                    "max_scores": max(cache.max_scores, documents),
                    "max_query_chars": max(cache.max_query_chars, 512),
                }
            ),
            # An audit asks the reranker in the background.
            "reuse": reuse.model_copy(update={"trust_threshold": 0.97, "reuse_threshold": 0.6, "audit_rate": 0.0}),
            "redis": settings.redis.model_copy(update={"timeout_s": max(settings.redis.timeout_s, _TIMEOUT_S)}),
        }
    )


def connected(settings: Settings) -> RedisConnection:
    """A connection to the server of these settings."""
    knobs = settings.redis
    return RedisConnection(
        knobs.url.get_secret_value(), timeout_s=knobs.timeout_s, connect_timeout_s=knobs.connect_timeout_s
    )


def check_room(info: ServerInfo, entries: int, dims: int, documents: int) -> None:
    """Raises StoreError when so many entries would not fit: a full Redis refuses them, or evicts somebody else's."""
    # Measured: 3.6 KB at 384 dims and 50 documents. The vector is held twice, 2 bytes per number; 20 bytes per score.
    needed = entries * (1500 + 4 * dims + 20 * documents)
    if info.free_bytes is not None and needed > info.free_bytes:
        raise StoreError(
            f"{entries:,} entries need about {needed / 1e6:,.0f} MB and Redis has {info.free_bytes / 1e6:,.0f} MB left "
            "below its maxmemory; use fewer entries, or the Redis url embedded"
        )


@contextmanager
def removed_after(settings: Settings) -> Iterator[None]:
    """Remove everything of the namespace of these settings at the end of the block, however that ends."""
    try:
        yield
    finally:
        try:
            # A connection of its own: the other one may have been interrupted in the middle of a reply.
            with connected(settings) as connection:
                remove_namespace(connection, settings.cache.namespace)
        except (StoreError, KeyboardInterrupt) as error:
            raise StoreError(
                f"namespace {settings.cache.namespace} could not be removed ({error or 'stopped'}); its entries expire "
                "in about an hour, its indexes (FT._LIST names them) go with FT.DROPINDEX"
            ) from error
