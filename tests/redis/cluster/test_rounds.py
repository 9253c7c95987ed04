"""Several nodes are asked at once: one caller that gives up takes nothing from the others."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from semcache.redis.async_store import AsyncRedisStore
from semcache.redis.client.commands import Reconnect
from semcache.redis.client.connection import RedisConnection
from semcache.redis.cluster.parts import Round
from semcache.redis.cluster.rounds import Rounds
from semcache.redis.cluster.topology import Node
from semcache.redis.server.embedded import EmbeddedRedis
from semcache.runtime.budget import TimeBudget, current_budget
from tests.redis.cluster.surgery import Cluster
from tests.redis.conftest import LAYOUT, fingerprint, vector


@pytest.fixture
async def store(cluster: EmbeddedRedis, namespace: str) -> AsyncIterator[AsyncRedisStore]:
    async with RedisConnection(cluster.url, timeout_s=5, connect_timeout_s=5) as connection:
        store = AsyncRedisStore(connection, **{**LAYOUT, "namespace": namespace, "ef_runtime": 200})
        for number in range(12):
            await store.remember("", f"q{number}", vector(number), [(fingerprint(number), 1.0)])
        yield store


async def test_a_task_that_is_cancelled_leaves_the_others_their_answers(
    store: AsyncRedisStore, cluster: EmbeddedRedis
) -> None:
    topology, surgery = store.connection.topology, Cluster(cluster)
    assert topology is not None
    with surgery.frozen(next(iter(topology.tags))):
        tasks = [asyncio.create_task(store.find_neighbours("", vector(seed), 12, -1.0)) for seed in range(4)]
        await asyncio.wait(tasks, timeout=0.05)
        tasks[0].cancel()
        await asyncio.wait(tasks[:1])
    assert [len(await task) for task in tasks[1:]] == [12, 12, 12]
    assert tasks[0].cancelled()
    assert len(await store.find_neighbours("", vector(1), 12, -1.0)) == 12


def test_steps_that_follow_each_other_share_what_a_request_has_left() -> None:
    waits: list[float] = []

    class Connection:
        def execute(self, step: object) -> None:
            budget = current_budget()
            assert budget is not None
            waits.append(budget.left_s)
            budget.left_s -= 0.75 * budget.left_s  # as a node does that hangs

    nodes = [Node("a", number) for number in range(3)]
    rounds = Rounds(lambda node: Connection(), lambda: None, "here")  # type: ignore[arg-type, return-value]
    with TimeBudget(8.0):
        rounds.perform(Round(dict.fromkeys(nodes, Reconnect())))
    assert waits == [4.0, 1.0, 0.25]


async def test_a_node_that_hangs_costs_a_part_of_the_budget_and_its_entries(
    store: AsyncRedisStore, cluster: EmbeddedRedis
) -> None:
    topology, surgery = store.connection.topology, Cluster(cluster)
    assert topology is not None
    with surgery.frozen(next(iter(topology.tags))), TimeBudget(1.0) as budget:
        found = await store.find_neighbours("", vector(1), 12, -1.0)
    assert 0 < len(found) < 12
    assert 0 < budget.left_s < 0.7
