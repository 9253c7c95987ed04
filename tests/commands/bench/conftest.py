"""A server with an entry of a user, and the settings of a measurement on it."""

from collections.abc import Iterator

import pytest
import redis

from semcache import RedisSemanticCache
from semcache.settings import Settings
from tests.fakes import WordEmbedder


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def settings(redis_url: str, namespace: str) -> Settings:
    return Settings(redis={"url": redis_url}, cache={"namespace": namespace})


def content(client: redis.Redis, namespace: str) -> tuple[dict[bytes, bytes], set[bytes]]:
    """All keys and indexes, but for those of other tests: their entries expire, and their threads may still write."""
    own = f"semcache:{namespace}:".encode()

    def matters(name: bytes) -> bool:
        return name.startswith(own) or not name.startswith(b"semcache:test-")

    keys = {key: client.dump(key) for key in client.scan_iter() if matters(key)}
    return keys, set(filter(matters, client.execute_command("FT._LIST")))


@pytest.fixture
def unchanged(client: redis.Redis, settings: Settings) -> Iterator[None]:
    """An entry of the user is on the server before the test. It and nothing else must be there afterwards."""
    url = settings.redis.url.get_secret_value()
    with RedisSemanticCache(url, WordEmbedder(), settings=settings) as cache:
        assert cache.remember("synthetic question 1", ["a", "b"], [1, 2])
    before = content(client, settings.cache.namespace)
    yield
    assert content(client, settings.cache.namespace) == before
