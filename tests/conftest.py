"""Fixtures for all tests: one real Redis for the whole run, and a namespace that no other test uses."""

import signal
from collections.abc import Iterator
from uuid import uuid4

import pytest

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

    Those of the budget itself name another one.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEMCACHE_REDIS__BUDGET_S", "5")
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
