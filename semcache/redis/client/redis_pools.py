"""redis-py's own pools, which semcache takes the making of connections from."""

from collections.abc import Callable, Mapping
from typing import Any

import redis
from redis.backoff import NoBackoff

from semcache.errors import ConfigurationError
from semcache.redis.client.address import Address


def redis_pool(kind: Any, connection: type[Any], retry: Any, address: Address, options: Mapping[str, Any]) -> Any:
    """A pool of this kind for connections to an address. Raises ConfigurationError for one that cannot be used."""
    # One immediate retry where the connection was dropped (a restarted server); none after a timeout, since a server
    # that hangs would cost it twice.
    once = retry(NoBackoff(), 1, supported_errors=(redis.exceptions.ConnectionError,))
    # Our own options come last: an address never changes how replies are read, or how long is waited.
    arguments = {**address.parameters, "retry": once, **options}
    try:
        pool = kind(connection_class=connection, **arguments)
        connect_like(pool)()  # opens nothing, but checks the arguments
    except (ValueError, TypeError, redis.RedisError) as error:
        # Not chained: redis-py's message may quote the password.
        raise ConfigurationError(
            f"the connection parameters of {address.where} cannot be used ({type(error).__name__})"
        ) from None
    return pool


def connect_like(pool: Any) -> Callable[[], Any]:
    """A function that makes connections as redis-py's pool would.

    The pool's own ``make_connection`` counts every connection and refuses beyond a maximum, but never counts down.
    """
    return lambda: pool.connection_class(**pool.connection_kwargs)
