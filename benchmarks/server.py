"""The Redis of the benchmarks: a private one with the search module, on a unix socket."""

from collections.abc import Iterator
from contextlib import contextmanager

import redis

from semcache import EmbeddedRedis


@contextmanager
def started() -> Iterator[str]:
    """Start an empty server that ends with the block; yields its url."""
    with EmbeddedRedis() as server:
        yield server.url


def client(url: str, db: int = 0) -> redis.Redis:
    """A plain redis-py client, with the parser and the protocol that semcache uses."""
    return redis.Redis.from_url(f"{url}?db={db}", protocol=2)
