"""What a server tells of its versions and its memory is understood."""

from pathlib import Path

import pytest
import redis

from semcache.errors import StoreUnavailableError
from semcache.redis.client.connection import RedisConnection
from semcache.redis.client.server_info import server_info
from semcache.redis.server.embedded import EmbeddedRedis


def test_versions_and_memory_without_a_limit(redis_url: str, client: redis.Redis) -> None:
    with RedisConnection(redis_url, timeout_s=10) as connection:
        info = server_info(connection)
    assert info.version == client.info("server")["redis_version"]
    assert info.search_version is not None and info.search_version.count(".") == 2
    assert info.free_bytes is None


def test_memory_that_is_left_below_the_limit(own_server: EmbeddedRedis) -> None:
    with RedisConnection(own_server.url, timeout_s=10) as connection:
        connection.client.config_set("maxmemory", "100mb")
        free = server_info(connection).free_bytes
    assert free is not None
    assert 50e6 < free < 105e6


def test_a_server_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with (
        RedisConnection(f"unix://{tmp_path}/none") as connection,
        pytest.raises(StoreUnavailableError, match="cannot be reached"),
    ):
        server_info(connection)
