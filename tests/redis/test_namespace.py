"""A whole namespace is removed, and nothing of another."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import redis

from semcache.errors import ConfigurationError, StoreUnavailableError
from semcache.redis.client.connection import RedisConnection
from semcache.redis.namespace import remove_namespace
from semcache.redis.store import RedisStore


@pytest.fixture
def connection(redis_url: str) -> Iterator[RedisConnection]:
    with RedisConnection(redis_url, timeout_s=10) as connection:
        yield connection


def store_of(connection: RedisConnection, namespace: str, reranker: str = "r") -> RedisStore:
    return RedisStore(connection, namespace=namespace, reranker=reranker, embedder="e", dims=4)


def left(client: redis.Redis, namespace: str) -> tuple[list[bytes], list[bytes]]:
    """Keys and indexes of a namespace."""
    indexes = [
        name for name in client.execute_command("FT._LIST") if name.startswith(f"semcache:{namespace}:".encode())
    ]
    return list(client.scan_iter(f"semcache:{namespace}:*")), indexes


def test_keys_and_indexes_of_all_models_and_tenants_go(
    connection: RedisConnection, client: redis.Redis, namespace: str
) -> None:
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


def test_more_keys_than_a_page(connection: RedisConnection, client: redis.Redis, namespace: str) -> None:
    client.mset({f"semcache:{namespace}:{number}": 1 for number in range(2100)})
    remove_namespace(connection, namespace)
    assert left(client, namespace) == ([], [])


@pytest.mark.parametrize("namespace", ["", "*", "a[b]"])
def test_a_pattern_is_no_namespace(connection: RedisConnection, namespace: str) -> None:
    with pytest.raises(ConfigurationError, match="cannot be used"):
        remove_namespace(connection, namespace)


def test_a_server_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with (
        RedisConnection(f"unix://{tmp_path}/none") as connection,
        pytest.raises(StoreUnavailableError, match="cannot be reached"),
    ):
        remove_namespace(connection, "a")
