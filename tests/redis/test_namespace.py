"""A whole namespace is removed, and nothing of another; what a server says of itself is understood."""

import numpy as np
import pytest

from semcache.errors import ConfigurationError, StoreUnavailableError
from semcache.redis.client.connection import RedisConnection
from semcache.redis.client.server_info import server_info
from semcache.redis.namespace import remove_namespace
from semcache.redis.store import RedisStore


@pytest.fixture
def connection(redis_url):
    with RedisConnection(redis_url, timeout_s=10) as connection:
        yield connection


def store_of(connection, namespace, reranker="r"):
    return RedisStore(connection, namespace=namespace, reranker=reranker, embedder="e", dims=4)


def left(client, namespace):
    indexes = [
        name for name in client.execute_command("FT._LIST") if name.startswith(f"semcache:{namespace}:".encode())
    ]
    return list(client.scan_iter(f"semcache:{namespace}:*")), indexes


def test_keys_and_indexes_of_all_models_and_tenants_go(connection, client, namespace):
    vector = np.array([1, 0, 0, 0], dtype=np.float32)
    for reranker in ("r", "other"):
        for tenant in ("", "acme"):
            assert store_of(connection, namespace, reranker).remember(tenant, "q", vector, [(bytes(16), 1.0)])
    client.set(f"semcache:{namespace}:whatever:q", 1)
    neighbour = store_of(connection, f"{namespace}.2")
    neighbour.remember("", "q", vector, [(bytes(16), 1.0)])
    assert len(left(client, namespace)[1]) == 4
    remove_namespace(connection, namespace)
    assert left(client, namespace) == ([], [])
    assert neighbour.count() == 1 and neighbour.read_exact("", "q")


def test_more_keys_than_a_page(connection, client, namespace):
    client.mset({f"semcache:{namespace}:{number}": 1 for number in range(2100)})
    remove_namespace(connection, namespace)
    assert left(client, namespace) == ([], [])


@pytest.mark.parametrize("namespace", ["", "*", "a[b]"])
def test_a_pattern_is_no_namespace(connection, namespace):
    with pytest.raises(ConfigurationError, match="cannot be used"):
        remove_namespace(connection, namespace)


def test_server_info(connection, client):
    info = server_info(connection)
    assert info.version == client.info("server")["redis_version"]
    assert info.search_version is not None and info.search_version.count(".") == 2
    assert info.free_bytes is None


def test_memory_that_is_left_below_the_limit(own_server):
    with RedisConnection(own_server.url, timeout_s=10) as connection:
        connection.client.config_set("maxmemory", "100mb")
        assert 50e6 < server_info(connection).free_bytes < 105e6


@pytest.mark.parametrize("ask", [server_info, lambda connection: remove_namespace(connection, "a")])
def test_nobody_there(ask, tmp_path):
    with (
        RedisConnection(f"unix://{tmp_path}/none") as connection,
        pytest.raises(StoreUnavailableError, match="cannot be reached"),
    ):
        ask(connection)
