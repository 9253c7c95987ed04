"""A cluster that changes under traffic: no request fails, no ranking is wrong, and what was known is known again."""

from collections.abc import Iterator

import pytest

from semcache.events import ShardLeftOut, ShardUnavailable, TopologyChanged
from semcache.redis.cluster.topology import Topology, slot_of
from semcache.redis.server.embedded import EmbeddedRedis
from semcache.redis.store import keys_of
from semcache.runtime.budget import TimeBudget
from tests.redis.cluster.surgery import DOCUMENTS, Cluster, TopicEmbedder, Traffic, score_of


@pytest.fixture(scope="module")
def own_cluster() -> Iterator[EmbeddedRedis]:
    """A cluster that the tests of this module take apart, one after the other."""
    with EmbeddedRedis(cluster=3, replicas=1) as server:
        yield server


@pytest.fixture(scope="module")
def surgery(own_cluster: EmbeddedRedis) -> Cluster:
    return Cluster(own_cluster)


@pytest.fixture
def traffic(surgery: Cluster) -> Iterator[Traffic]:
    """Requests under way while a test does its worst; afterwards none has failed and no answer was wrong."""
    with Traffic(surgery.url).running() as traffic:
        traffic.warm()
        assert traffic.share_known() == 1
        yield traffic
    assert traffic.errors == []
    assert traffic.wrong == []
    assert len(traffic.served) > 200


def topology_of(traffic: Traffic) -> Topology:
    """The topology that the cache goes by."""
    topology = traffic.reranker.cache.backend.connection.topology
    assert topology is not None
    return topology


def remembered(traffic: Traffic, word: str) -> list[str]:
    """Sixty queries that no traffic asks, which are known from now on. Another word, other slots."""
    queries = [f"{word}-{number}" for number in range(60)]
    for query in queries:
        traffic.reranker.cache.remember(query, DOCUMENTS, [score_of(query, text) for text in DOCUMENTS])
    return queries


def share_known(traffic: Traffic, queries: list[str]) -> float:
    """The share of queries that is known, word for word."""
    known = traffic.reranker.cache.store.read_exact_many("", queries)
    return sum(scores is not None for scores in known) / len(queries)


def test_slots_that_move_also_that_of_the_name_of_an_index(surgery: Cluster, traffic: Traffic) -> None:
    before = topology_of(traffic)
    source, target = list(before.tags)[:2]
    keys = keys_of(traffic.reranker.cache.store)
    own = remembered(traffic, "moved")
    of_entries = {slot_of(keys.scores("", query)) for query in own}
    moving = [*(slot for slot in of_entries if before.owners[slot] == source), slot_of(before.tags[source])]
    assert surgery.move(moving, source, target) >= 20
    assert traffic.wait_until_known(1) < 10
    assert share_known(traffic, own) == 1
    after = topology_of(traffic)
    assert {after.owners[slot] for slot in moving} == {target}
    assert after.tags[source] != before.tags[source], "an index of another name, since its slot is gone"
    assert after.tags[target] == before.tags[target]
    assert TopologyChanged in map(type, traffic.events)


def test_a_primary_that_is_killed(surgery: Cluster, traffic: Traffic) -> None:
    # The first node that the url names, so that the next cache has to look for another one.
    victim = surgery.first
    slot = surgery.slots()[victim][0]
    own = remembered(traffic, "inherited")
    surgery.wait_for_replicas()
    surgery.kill(victim)
    heir = surgery.wait_until_served(slot, by_other_than=victim)
    assert traffic.wait_until_known(1) < 10
    assert share_known(traffic, own) == 1
    assert topology_of(traffic).owners[slot] == heir
    assert ShardUnavailable in map(type, traffic.events)


def test_a_shard_that_hangs_costs_a_part_of_the_budget(surgery: Cluster, traffic: Traffic) -> None:
    store, vector = traffic.reranker.cache.store, TopicEmbedder().embed(["topic-1"])[0]
    victim = next(node for node in topology_of(traffic).tags if node != surgery.without_replica())
    # Half of it is less than the other nodes wait for one before they replace it.
    with surgery.frozen(victim), TimeBudget(1.6):
        found = store.find_neighbours("", vector, 20, -1.0)
    assert len(found) == 20, "of the other shards"
    assert str(victim) in {event.node for event in traffic.events if isinstance(event, ShardLeftOut)}


def test_a_shard_that_is_lost_with_all_its_replicas(surgery: Cluster, traffic: Traffic) -> None:
    # That of the test above has none left.
    victim = surgery.without_replica()
    own = remembered(traffic, "lost")
    surgery.kill(victim)
    traffic.wait_for_event(ShardLeftOut)
    assert 0.4 < share_known(traffic, own) < 0.9, "what it held is unknown, and nothing else"
    # Other queries of most topics are known to the other shards.
    traffic.wait_until_known(0.9)
