"""The arguments that caches and pipelines share: each as it was given, or else from the settings."""

from typing import NamedTuple

from semcache.embedders.adapt import adapt_embedder
from semcache.errors import ConfigurationError
from semcache.flow.policy import FlowPolicy, PrunePolicy, ReusePolicy
from semcache.flow.requests import check_threshold, check_ttl
from semcache.guards import guard_of
from semcache.protocols import Embedder, Guard
from semcache.redis.client.connection import DEFAULT_URL, server_of
from semcache.settings import FromSettings, Settings, given
from semcache.settings import Reuse as ReuseKnobs


class CacheArguments(NamedTuple):
    """In the order of the cache's constructor."""

    redis_url: str
    embedding_model: object
    similarity_threshold: float
    ttl: float | None


def cache_arguments(
    settings: Settings,
    redis_url: str | FromSettings,
    redis_client: object | None,
    embedding_model: object,
    similarity_threshold: float | FromSettings,
    ttl: float | FromSettings | None,
    ttl_name: str = "ttl",
) -> CacheArguments:
    """Each argument as it was given, or else from the settings. Loads and opens nothing.

    Raises ConfigurationError for one that cannot be used; the time to live is called ``ttl_name`` there.
    """
    # A client stands in the place of the url, also of one that the settings name.
    url = settings.redis.url.get_secret_value() if redis_client is None else DEFAULT_URL
    arguments = CacheArguments(
        given(redis_url, url),
        given(embedding_model, settings.embedder.model),
        given(similarity_threshold, settings.reuse.trust_threshold),
        given(ttl, settings.cache.ttl_s),
    )
    server_of(arguments.redis_url, redis_client)
    check_threshold(arguments.similarity_threshold)
    check_ttl(arguments.ttl, ttl_name)
    model = arguments.embedding_model
    if model is None or (isinstance(model, str) and not model.strip()):
        raise ConfigurationError(
            f"embedding_model is {model!r}; give the name of a model, such as all-MiniLM-L6-v2, a folder, or "
            "an embedder"
        )
    return arguments


def flow_policy(
    settings: Settings, similarity_threshold: float, guard: Guard | str | FromSettings | None
) -> FlowPolicy:
    """The policy of requests: the settings with these two as they were given. Raises ConfigurationError for a guard."""
    reuse = reuse_policy(settings.reuse, similarity_threshold)
    keeps_apart = guard_of(given(guard, settings.reuse.guard))
    prune = None if settings.prune.mode == "off" else PrunePolicy(**settings.prune.model_dump())
    return FlowPolicy(reuse, keeps_apart, max_query_chars=settings.cache.max_query_chars, prune=prune)


def embedders_of(settings: Settings, embedding_model: object, migrate_from: object) -> tuple[Embedder, Embedder | None]:
    """The embedder, and the one that entries are migrated from: the same where only the index differs, or None."""
    embedder = adapt_embedder(embedding_model, backend=settings.embedder.backend)
    former = given(migrate_from, settings.migration.from_model)
    if former is not None:
        return embedder, adapt_embedder(former, backend=settings.migration.from_backend)
    return embedder, embedder if settings.migration.is_of_index else None


def reuse_policy(knobs: ReuseKnobs, trust_threshold: float) -> ReusePolicy:
    """How near queries are reused according to the settings, trusted from ``trust_threshold`` on."""
    return ReusePolicy(
        trust_threshold=trust_threshold,
        # A caller who trusts at less than the reuse threshold leaves nothing to verify.
        reuse_threshold=min(knobs.reuse_threshold, trust_threshold),
        confidence=knobs.confidence,
        max_rounds=knobs.max_rounds,
        max_pairs_share=knobs.max_pairs_share,
        drift_limit=knobs.drift_limit,
    )
