"""A cluster that changes under traffic: no request fails, no ranking is wrong, and what was known is known again."""

from collections.abc import Iterator
from threading import enumerate as enumerate_threads
from time import monotonic

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


def events_of(traffic: Traffic) -> int:
    """How often observers were told of reads that lacked a shard."""
    return sum(isinstance(event, ShardLeftOut) for event in traffic.events)


def wait_until_all_known(traffic: Traffic, queries: list[str]) -> None:
    """Return when every query is known, word for word; within ten seconds, as the share of hits has to be back."""
    until = monotonic() + 10
    while share_known(traffic, queries) < 1:
        assert monotonic() < until, f"{share_known(traffic, queries):.0%} are known"


def test_new_entries_of_a_slot_that_is_on_its_way_are_stored(surgery: Cluster, traffic: Traffic) -> None:
    topology, store = topology_of(traffic), traffic.reranker.cache.store
    query = "found-on-the-way"
    slot = slot_of(keys_of(store).scores("", query))
    source = topology.owners[slot]
    assert source is not None
    target = next(node for node in topology.tags if node != source)
    with surgery.moving(slot, source, target):
        for score in (1.0, 2.0):  # the second is added to the first
            traffic.reranker.cache.remember(query, DOCUMENTS[:1], [score])
        found = store.read_exact("", query)
        assert found is not None
        assert list(dict(found).values()) == [2.0]
        assert store.read_vector("", query) is not None
    assert store.read_exact("", query) is not None


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
    of_other_tests = set(enumerate_threads())
    own = remembered(traffic, "inherited")
    surgery.wait_for_replicas()
    surgery.kill(victim)
    heir = surgery.wait_until_served(slot, by_other_than=victim)
    assert traffic.wait_until_known(1) < 10
    wait_until_all_known(traffic, own)
    assert topology_of(traffic).owners[slot] == heir
    assert ShardUnavailable in map(type, traffic.events)
    # Nothing goes on asking a node that has left.
    until = monotonic() + 10
    while probes := [
        thread for thread in set(enumerate_threads()) - of_other_tests if thread.name == "semcache-redis-probe"
    ]:
        assert monotonic() < until, probes


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
    told_of, began = events_of(traffic), monotonic()
    while (passed := monotonic() - began) < 1.5:
        share_known(traffic, own)
    assert events_of(traffic) - told_of <= passed + 1, "once a second, however many reads there are"
    assert 0.4 < share_known(traffic, own) < 0.9, "what it held is unknown, and nothing else"
    # Other queries of most topics are known to the other shards.
    traffic.wait_until_known(0.9)
