"""A cache with the settings' defaults, and what its observer hears."""

from collections.abc import Iterator

import pytest

from semcache.cache import RedisSemanticCache
from semcache.events import Event
from semcache.settings import Settings
from tests.fakes import WordEmbedder


@pytest.fixture
def events() -> list[Event]:
    return []


@pytest.fixture
def cache(redis_url: str, namespace: str, events: list[Event]) -> Iterator[RedisSemanticCache]:
    settings = Settings(cache={"namespace": namespace})
    with RedisSemanticCache(redis_url, WordEmbedder(), settings=settings, observers=[events.append]) as cache:
        yield cache
