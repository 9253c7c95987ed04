"""Pinned tenants: their look-ups ask one shard, find what an unpinned store finds, and nothing of others."""

from collections.abc import Iterator

import pytest

from semcache.redis.client.commands import PinnedIndex
from semcache.redis.client.connection import RedisConnection
from semcache.redis.cluster.plan import for_shards
from semcache.redis.cluster.topology import Node, Topology, slot_of, tag_of_slot
from semcache.redis.server.embedded import EmbeddedRedis
from semcache.redis.store import RedisStore, keys_of
from tests.redis.cluster.surgery import Cluster
from tests.redis.conftest import LAYOUT, fingerprint, near, vector

A, B = Node("a", 1), Node("b", 2)
TENANTS = ("", "acme", "b:c", "{x}")


@pytest.fixture
def connection(cluster: EmbeddedRedis) -> Iterator[RedisConnection]:
    with RedisConnection(cluster.url, timeout_s=10, connect_timeout_s=10) as connection:
        yield connection


def test_a_search_for_one_slot_asks_its_owner() -> None:
    topology = Topology(0, [A] * 8192 + [B] * 8191 + [None], {A: "1", B: "2"})
    search = ("*=>[KNN 2 @e $v AS vector_distance]", b"vector")
    for slot, asked in ((100, [A]), (9000, [B]), (16383, [A, B])):
        index = PinnedIndex.at("i", f"k:{{{tag_of_slot(slot)}}}".encode())
        assert [node for node, _ in for_shards(("FT.SEARCH", index, *search), topology)] == asked
    assert [node for node, _ in for_shards(("FT.SEARCH", "i", *search), topology)] == [A, B]


def test_tenants_find_their_own_entries_and_forget_them(connection: RedisConnection, namespace: str) -> None:
    layout = {**LAYOUT, "namespace": namespace, "ttl_jitter": 0, "ef_runtime": 200}
    stores = [RedisStore(connection, **layout), RedisStore(connection, **layout, pin="tenant")]
    assert keys_of(stores[0]).base != keys_of(stores[1]).base, "a scope of its own"
    for store in stores:
        for number, tenant in enumerate(TENANTS):
            for query in range(8):
                score = float(10 * number + query)
                store.remember(tenant, f"q{query}", vector(query), [(fingerprint(query), score)])
        for number, tenant in enumerate(TENANTS):
            found = store.find_neighbours(tenant, near(vector(3), 0.98), 2, 0.9)
            assert [dict(one.scores) for one in found] == [{fingerprint(3): 10.0 * number + 3}]
            assert dict(store.read_exact(tenant, "q5") or {}) == {fingerprint(5): 10.0 * number + 5}
        assert store.forget("acme") == 8
        assert store.forget("b:c", document=fingerprint(1)) == 1
        assert [len(store.sample(100, tenant)) for tenant in TENANTS] == [8, 0, 7, 8]
        assert store.count() == 23


def test_a_look_up_of_a_tenant_asks_one_shard(
    connection: RedisConnection, cluster: EmbeddedRedis, namespace: str
) -> None:
    layout = {**LAYOUT, "namespace": namespace, "ttl_jitter": 0}
    store = RedisStore(connection, **layout, pin="tenant")
    store.remember("acme", "q", vector(1), [(fingerprint(1), 1.0)])
    store.find_neighbours("acme", vector(1), 1, 0.9)  # the sizes are known from here on
    topology = connection.topology
    assert topology is not None
    owner = topology.owners[slot_of(keys_of(store).scores("acme", "q"))]
    surgery = Cluster(cluster)
    before = searches(surgery, topology)
    for _ in range(5):
        assert len(store.find_neighbours("acme", vector(1), 1, 0.9)) == 1
    after = searches(surgery, topology)
    assert {node: after[node] - before[node] for node in after} == {
        node: 5 if node == owner else 0 for node in topology.tags
    }


def searches(surgery: Cluster, topology: Topology) -> dict[Node, int]:
    """How often each primary was searched."""
    found = {}
    for node in topology.tags:
        with surgery.node(node) as client:
            found[node] = client.info("commandstats").get("cmdstat_FT.SEARCH", {}).get("calls", 0)
    return found
