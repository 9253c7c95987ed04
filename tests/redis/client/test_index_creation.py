"""The creation of an index beside a request."""

from threading import Thread

import pytest

from semcache.errors import StoreUnavailableError
from semcache.redis.client.connection import RedisConnection
from semcache.redis.store import RedisStore
from semcache.runtime.budget import TimeBudget
from tests.redis.conftest import LAYOUT, fingerprint, vector


def test_where_the_system_gives_no_more_threads_the_store_is_away(
    redis_url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Thread) -> None:
        raise RuntimeError("can't start new thread")

    with RedisConnection(redis_url, timeout_s=5) as connection:
        store = RedisStore(connection, **{**LAYOUT, "namespace": namespace})
        assert store.read_exact("", "q") is None
        with monkeypatch.context() as patch, TimeBudget(10.0):
            patch.setattr(Thread, "start", refuse)
            with pytest.raises(StoreUnavailableError, match="can't start new thread"):
                store.remember("", "q", vector(1), [(fingerprint(1), 1.0)])
