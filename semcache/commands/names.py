"""The owners of the scores in each scope: names of the models that the settings name, and of their namesakes."""

from dataclasses import dataclass
from typing import Any

from semcache.commands import models
from semcache.commands.models import Models
from semcache.errors import ConfigurationError
from semcache.identity.kinds import base_name
from semcache.identity.variants import embedder_blank, reranker_blank, scopes_under
from semcache.redis.client.connection import RedisConnection
from semcache.redis.layout import LayoutOptions, options_of
from semcache.redis.scopes import learned_id, scope_id
from semcache.redis.variants import VariantStore
from semcache.settings import Settings


@dataclass(frozen=True, slots=True)
class Names:
    """The reranker and the embedder of a scope, as they stand in the names of its keys."""

    reranker: str
    embedder: str
    listwise: bool

    def layout(self, settings: Settings, dims: int = 1) -> LayoutOptions:
        """How the settings lay out their entries. ``dims`` matter to vectors, not to names."""
        return options_of(
            settings.cache, reranker=self.reranker, embedder=self.embedder, dims=dims, listwise=self.listwise
        )

    def scope_id(self, settings: Settings) -> str:
        """The scope of their entries."""
        return scope_id(self.layout(settings))

    def learned_id(self) -> str:
        """The scope of what was learned about them."""
        return learned_id(self.reranker, self.embedder)


def names_of(
    settings: Settings,
    connection: RedisConnection,
    given: Models | None = None,
    told: tuple[str, str] = ("", ""),
) -> list[Names]:
    """The names under which entries of the configured models may lie, the likeliest first. No model is called.

    Mostly that is one; a model that answers otherwise than the first of its name has a scope of its own. ``told`` are a
    reranker and an embedder that a file tells of: they count if they are namesakes of the configured ones. Raises what
    ``configured_models`` raises, and StoreError when Redis cannot be asked.
    """
    loaded = given or models.configured_models(settings)
    rerankers = _under(settings, connection, "reranker", loaded.reranker, told[0])
    embedders = _under(settings, connection, "embedder", loaded.embedder, told[1])
    return [Names(one, other, loaded.reranker.listwise) for one in rerankers for other in embedders]


def own_names(settings: Settings, connection: RedisConnection, given: Models | None = None) -> Names:
    """The first of ``names_of``. Raises ConfigurationError where there is none, or where it cannot be told."""
    found = names_of(settings, connection, given)
    rerankers = list(dict.fromkeys(names.reranker for names in found))
    if not rerankers:
        raise ConfigurationError(
            f"namespace {settings.cache.namespace!r} has never seen this reranker; set what the running "
            "application has set (semcache config shows it)"
        )
    if len(rerankers) > 1 and "~" in rerankers[0]:
        raise ConfigurationError(
            f"namespace {settings.cache.namespace!r} has scores of {len(rerankers)} services of the name "
            f"{rerankers[0].partition('~')[0]}, and which is this one only its answers would tell; use "
            "another namespace for each"
        )
    return found[0]


def _under(settings: Settings, connection: RedisConnection, kind: str, scorer: Any, told: str) -> list[str]:
    blank = reranker_blank(scorer) if kind == "reranker" else embedder_blank(scorer)
    store = VariantStore(connection, settings.cache.namespace, kind, settings.cache.ttl_s)
    base = base_name(scorer)
    found = scopes_under(scorer, blank, store.peek(base, len(blank.packed)))
    # The id behind the name follows from the answers alone, so it is the same in a namespace that never saw them.
    return [*found, told] if told not in found and told.startswith(f"{base}~") else found
