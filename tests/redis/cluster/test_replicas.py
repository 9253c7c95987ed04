"""Replicas of a cluster answer look-ups, where that is wanted, and no write; one that is away costs no answer."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from semcache.events import OptionIgnored, ShardUnavailable
from semcache.redis.async_store import AsyncRedisStore
from semcache.redis.client.connection import RedisConnection
from semcache.redis.cluster.topology import Node
from semcache.redis.server.embedded import EmbeddedRedis
from semcache.redis.store import RedisStore
from semcache.runtime.budget import TimeBudget
from tests.redis.cluster.surgery import Cluster
from tests.redis.conftest import LAYOUT, AwaitableStore, fingerprint, vector

QUERIES = [f"query {number}" for number in range(30)]


@pytest.fixture(params=["threads", "event loop"])
async def reading(request: pytest.FixtureRequest, cluster: EmbeddedRedis, namespace: str) -> AsyncIterator[Any]:
    """A connection that reads from replicas, a store on it whose entries they have, the events, and the cluster."""
    events: list[Any] = []
    async with RedisConnection(
        cluster.url, timeout_s=5, connect_timeout_s=5, read_from_replicas=True, on_event=events.append
    ) as connection:
        layout = {**LAYOUT, "namespace": namespace, "ttl_jitter": 0, "ef_runtime": 200}
        threads = AwaitableStore(RedisStore(connection, **layout))
        store: Any = threads if request.param == "threads" else AsyncRedisStore(connection, **layout)
        for number, query in enumerate(QUERIES):
            await store.remember("", query, vector(number), [(fingerprint(number), 1.0)])
        surgery = Cluster(cluster)
        surgery.wait_for_replicas()
        yield connection, store, events, surgery


def calls(surgery: Cluster, nodes: list[Node], command: str) -> int:
    """How often nodes were asked for a command."""
    total = 0
    for node in nodes:
        with surgery.node(node) as client:
            total += client.info("commandstats").get(f"cmdstat_{command}", {}).get("calls", 0)
    return total


async def test_they_answer_look_ups_and_no_writes(reading: Any) -> None:
    connection, store, events, surgery = reading
    replicas = [node for several in connection.topology.replicas.values() for node in several]
    assert len(replicas) == 3
    before = [calls(surgery, replicas, name) for name in ("getrange", "FT.SEARCH", "evalsha")]
    for number, query in enumerate(QUERIES):
        assert dict(await store.read_exact("", query)) == {fingerprint(number): 1.0}
        assert [one.id for one in await store.find_neighbours("", vector(number), 1, 0.99)]
    assert dict(enumerate(await store.read_exact_many("", QUERIES))).keys() == set(range(30))
    after = [calls(surgery, replicas, name) for name in ("getrange", "FT.SEARCH", "evalsha")]
    assert after[0] > before[0] + 10
    assert after[1] > before[1] + 30
    assert after[2] == before[2]
    assert not any(isinstance(event, ShardUnavailable | OptionIgnored) for event in events)


async def test_one_that_hangs_costs_no_answer(reading: Any) -> None:
    connection, store, _, surgery = reading
    (victim,) = next(iter(connection.topology.replicas.values()))
    with surgery.frozen(victim):
        for number, query in enumerate(QUERIES):
            with TimeBudget(0.6):
                assert dict(await store.read_exact("", query)) == {fingerprint(number): 1.0}
    assert await store.forget("", query=QUERIES[0]) == 1


def test_where_there_are_none_that_is_said(redis_url: str) -> None:
    events: list[Any] = []
    with RedisConnection(redis_url, timeout_s=5, read_from_replicas=True, on_event=events.append) as connection:
        assert connection.execute([("PING",)]) == [b"PONG"]
    assert [event.option for event in events if isinstance(event, OptionIgnored)] == ["read_from_replicas"]
