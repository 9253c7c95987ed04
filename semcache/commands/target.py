"""The Redis and the namespace that a command is about: those of the settings, or as options say."""

from typing import TYPE_CHECKING, Annotated

from typer import Option

from semcache.errors import ConfigurationError, InvalidInputError

if TYPE_CHECKING:
    from semcache.redis.client.connection import RedisConnection
    from semcache.settings import Settings

RedisUrl = Annotated[str | None, Option(help="URL of the Redis.", show_default="redis.url")]
Namespace = Annotated[str | None, Option(help="The namespace.", show_default="cache.namespace")]

# A person waits, and no request does: a server that is slow at the moment need not be left alone.
_TIMEOUT_S = 10.0
_BUDGET_S = 60.0
_GIVEN = "(constructor)"


def settings_for(redis_url: str | None, namespace: str | None) -> "Settings":
    """The settings with another Redis or namespace (None: their own), and with more time for Redis.

    Raises InvalidInputError for an option that cannot be used, and ConfigurationError for a setting, also for a private
    server: a new one is empty.
    """
    from semcache.settings import Settings

    redis = {} if redis_url is None else {"url": redis_url}
    cache = {} if namespace is None else {"namespace": namespace}
    try:
        settings = Settings(redis=redis, cache=cache)
    except ConfigurationError as error:
        if _GIVEN not in str(error):
            raise
        # What the settings call an argument of their constructor is an option here.
        raise InvalidInputError(str(error).replace(_GIVEN, "(option)")) from error
    if settings.redis.url.get_secret_value() == "embedded":
        raise ConfigurationError(
            "redis.url is embedded, and a new private server is empty; name a running one by --redis-url or "
            "SEMCACHE_REDIS_URL (semcache redis prints that of its own)"
        )
    knobs = settings.redis
    times = {"timeout_s": max(knobs.timeout_s, _TIMEOUT_S), "budget_s": max(knobs.budget_s, _BUDGET_S)}
    return settings.model_copy(update={"redis": knobs.model_copy(update=times)})


def connected(settings: "Settings") -> "RedisConnection":
    """A connection to the Redis of the settings; the caller closes it."""
    from semcache.redis.client.connection import RedisConnection, server_of

    return RedisConnection.of(server_of(settings.redis.url.get_secret_value()), settings.redis, lambda event: None)


def check_reachable(connection: "RedisConnection") -> None:
    """Raise StoreUnavailableError or StoreError unless the Redis answers, or the primaries of its cluster are known."""
    _ = connection.nodes
