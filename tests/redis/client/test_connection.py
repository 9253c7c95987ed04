"""A connection refuses bad urls, shows no secrets, and shares one embedded server."""

from pathlib import Path

import pytest

from semcache.errors import ConfigurationError
from semcache.redis.client.connection import RedisConnection
from semcache.redis.store import RedisStore
from tests.redis.conftest import LAYOUT, fingerprint, vector

A = fingerprint(1)


class TestConnections:
    @pytest.mark.parametrize(
        "url",
        ["redis://:se/cret@host:1", "redis://:se#cret@host", "http://u:secret@host", "secret", "redis://h:port", ""],
    )
    def test_a_bad_url_is_refused_without_being_quoted(self, url: str) -> None:
        with pytest.raises(ConfigurationError, match="percent-encoded") as caught:
            RedisConnection(url)
        assert "cret" not in str(caught.value)
        assert caught.value.__cause__ is None

    @pytest.mark.parametrize(
        ("url", "shown"),
        [
            ("redis://user:secret@host:6380/1", "redis://host:6380/1"),
            ("unix://user:secret@/tmp/s?password=secret", "unix:///tmp/s"),
            ("rediss://:secret@[::1]:1?password=secret", "rediss://::1:1"),
        ],
    )
    def test_no_secret_is_shown(self, url: str, shown: str) -> None:
        with RedisConnection(url) as connection:
            store = RedisStore(connection, **LAYOUT)
            assert repr(connection) == f"<RedisConnection to Redis at {shown}>"
            assert "secret" not in repr(store)
            assert shown in repr(store)

    def test_embedded_is_one_server_for_all_until_the_last_has_closed(self) -> None:
        with RedisConnection("embedded") as first:
            second = RedisConnection("embedded")
            assert first.where == second.where
            RedisStore(first, **LAYOUT).remember("", "q", vector(1), [(A, 1.0)])
            assert RedisStore(second, **LAYOUT).read_exact("", "q") == {A: 1.0}
            socket = Path(first.where.removeprefix("Redis at unix://"))
            second.close()
            second.close()
            assert socket.exists()
        assert not socket.exists()
        with RedisConnection("embedded") as third:
            assert third.where != first.where
