"""Fixtures for all tests: one real Redis for the whole run, and a namespace that no other test uses."""

import signal
from collections.abc import Iterator
from uuid import uuid4

import pytest

from semcache.redis.client.connection import RedisConnection
from semcache.redis.server.embedded import EmbeddedRedis

pytest_plugins = ["tests.fixtures_models"]
pytest.register_assert_rewrite("semcache.testing.scenarios")


# A shell that starts the tests in the background lets them, and every process they start, ignore Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """The url of a real Redis with search, shared by all tests of the run."""
    with EmbeddedRedis() as server:
        yield server.url


@pytest.fixture(scope="session", autouse=True)
def _patience() -> Iterator[None]:
    """Requests may wait for Redis longer than in production: the machine is busy with other tests.

    This counts for settings and for connections made without them. Tests of the waiting itself name their seconds.
    """
    with pytest.MonkeyPatch.context() as patch:
        for name in ("budget_s", "timeout_s", "connect_timeout_s"):
            patch.setenv(f"SEMCACHE_REDIS__{name.upper()}", "5")
            patch.setitem(RedisConnection.__init__.__kwdefaults__, name, 5.0)
        yield


@pytest.fixture(scope="session")
def cluster() -> Iterator[EmbeddedRedis]:
    """A Redis Cluster of three shards, shared by all tests of the run: none may harm it."""
    with EmbeddedRedis(cluster=3, replicas=1) as cluster:
        yield cluster


@pytest.fixture
def namespace() -> str:
    """A namespace that no other test uses."""
    return f"test-{uuid4().hex}"
