"""How many entries there are is told without holding up requests."""

from typing import Any

import pytest
from redis.exceptions import NoPermissionError

from semcache.redis.async_store import AsyncRedisStore
from semcache.redis.client.connection import RedisConnection
from semcache.redis.inspection import count, estimate
from semcache.redis.operation import StoreState
from semcache.redis.server.embedded import EmbeddedRedis
from semcache.redis.store import estimate as estimate_of
from tests.fakes import WordEmbedder
from tests.redis.conftest import vector

STATE = StoreState.of("there", namespace="docs", reranker="r", embedder="e", dims=4)


def test_where_many_are_to_be_expected_they_are_not_counted() -> None:
    operation = estimate(STATE)
    assert next(operation) == (("DBSIZE",),)
    with pytest.raises(StopIteration) as done:
        operation.send([20_000_000])
    assert done.value.value == (10_000_000, True)


async def test_of_many_each_is_counted_without_a_search(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for number, tenant in enumerate(("", "", "acme", "acme")):
        await store.remember(tenant, f"query {number}", vector(number), [(b"d" * 16, 1.0)])
    assert await store.count() == 4
    monkeypatch.setattr("semcache.redis.inspection._MOST_COUNTED", 0)
    assert await store.count() == 4


def test_and_no_command_holds_the_server_up() -> None:
    operation = count(STATE)
    assert next(operation) == (("DBSIZE",),)
    vectors = STATE.layout.keys.plain.vectors
    command = operation.send([20_000_000])
    assert [name for name, *_ in command] == ["SCAN"]  # type: ignore[union-attr]
    command = operation.send([[b"7", [vectors + b"{a}", STATE.layout.keys.plain.scores + b"{a}"]]])
    assert [name for name, *_ in command] == ["SCAN"]  # type: ignore[union-attr]
    with pytest.raises(StopIteration) as done:
        operation.send([[b"0", [vectors + b"{b}"]]])
    assert done.value.value == 2


@pytest.mark.parametrize("keys", [2, NoPermissionError("may not")])
def test_where_few_are_to_be_expected_or_nothing_is_known_they_are_counted(keys: Any) -> None:
    operation = estimate(STATE)
    next(operation)
    searches = operation.send([keys])
    assert [command[0] for command in searches] == ["FT.SEARCH", "FT.SEARCH"]  # type: ignore[union-attr]
    with pytest.raises(StopIteration) as done:
        operation.send([[3], [4]])
    assert done.value.value == (7, False)


async def test_of_a_cluster_all_shards_count(
    cluster: EmbeddedRedis, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    [embedded] = WordEmbedder().embed(["a query"])
    async with RedisConnection(cluster.url, timeout_s=10) as connection:
        store = AsyncRedisStore(connection, namespace=namespace, reranker="r", embedder="e", dims=64)
        for number in range(6):
            await store.remember("", f"query {number}", embedded, [(b"d" * 16, 1.0)])
        assert await estimate_of(store) == (6, False)
        monkeypatch.setattr("semcache.redis.inspection._MOST_COUNTED", 0)
        entries, is_about = await estimate_of(store)
        assert is_about and entries >= 6
