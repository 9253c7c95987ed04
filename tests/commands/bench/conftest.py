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


def content(client: redis.Redis) -> tuple[dict[bytes, bytes], set[bytes]]:
    return {key: client.dump(key) for key in client.scan_iter()}, set(client.execute_command("FT._LIST"))


@pytest.fixture
def unchanged(client: redis.Redis, settings: Settings) -> Iterator[None]:
    """An entry of the user is on the server before the test. It and nothing else must be there afterwards."""
    url = settings.redis.url.get_secret_value()
    with RedisSemanticCache(url, WordEmbedder(), settings=settings) as cache:
        assert cache.remember("synthetic question 1", ["a", "b"], [1, 2])
    before = content(client)
    yield
    assert content(client) == before
