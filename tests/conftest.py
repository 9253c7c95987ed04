"""What every test may use: one real Redis for the whole run, and names that no other test has."""

from collections.abc import Iterator
from uuid import uuid4

import pytest

from semcache.redis.embedded import EmbeddedRedis

pytest_plugins = ["tests.fixtures_models"]


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """The url of a real Redis with search, shared by all tests of the run."""
    with EmbeddedRedis() as server:
        yield server.url


@pytest.fixture
def namespace() -> str:
    """A namespace that no other test uses."""
    return f"test-{uuid4().hex}"
