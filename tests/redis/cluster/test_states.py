"""What is kept beside entries works on a cluster, too, and a namespace goes from all of its shards."""

from collections.abc import Iterator

import numpy as np
import pytest
import redis

from semcache.pruning.statistics import SIZE, Statistics
from semcache.quality.pruning import Pruned, Pruning
from semcache.quality.statistics import Observation
from semcache.quality.trust import Trust
from semcache.redis.client.connection import RedisConnection
from semcache.redis.forced_state import ForcedState, ForcedStateStore
from semcache.redis.namespace import remove_namespace
from semcache.redis.pruning_state import PruningStore
from semcache.redis.quality_state import QualityStore
from semcache.redis.server.embedded import EmbeddedRedis
from semcache.redis.store import RedisStore
from semcache.redis.variants import VariantStore
from tests.redis.conftest import LAYOUT, fingerprint, vector

FRESH = np.linspace(5, -5, 20)


@pytest.fixture
def connection(cluster: EmbeddedRedis) -> Iterator[RedisConnection]:
    with RedisConnection(cluster.url, timeout_s=10, connect_timeout_s=10) as connection:
        yield connection


def test_quality(connection: RedisConnection, namespace: str) -> None:
    store = QualityStore(connection, namespace, "model", "words")
    state = store.add([Observation("0.98", FRESH + 0.1, FRESH)], read=True)
    assert state is not None
    assert store.change(state, Trust(near=0.99)).trust.near == 0.99
    assert store.read().changes == 1


def test_pruning(connection: RedisConnection, namespace: str) -> None:
    store = PruningStore(connection, namespace, "model", "words")
    store.add_sums(Statistics(np.ones(SIZE)))
    assert store.add_sums(Statistics(np.ones(SIZE))).requests == 2
    state = store.add([Pruned(1.5, 50, 30, 0.0)])
    assert store.change(state, Pruning(1.5, "proven")).pruning.confidence == 1.5
    store.drop_sums()
    assert store.read_sums().requests == 0


def test_answers_to_probes_and_decisions(connection: RedisConnection, namespace: str) -> None:
    variants = VariantStore(connection, namespace, "reranker", None)
    assert variants.add("model", b"one") == [b"one"]
    assert variants.add("model", b"two") == [b"one", b"two"]
    forced = ForcedStateStore(connection, namespace)
    forced.write(ForcedState("disabled", "test", 1.0))
    found = forced.read()
    assert found is not None
    assert found.state == "disabled"


def test_a_namespace_goes_from_all_shards(connection: RedisConnection, namespace: str) -> None:
    store = RedisStore(connection, **{**LAYOUT, "namespace": namespace})
    for number in range(30):
        store.remember("", f"q{number}", vector(number), [(fingerprint(1), 1.0)])
    of_shards = [node.client for node in connection.nodes]
    assert all(left(client, namespace) for client in of_shards)
    remove_namespace(connection, namespace)
    assert not any(left(client, namespace) for client in of_shards)


def left(client: redis.Redis, namespace: str) -> list[bytes]:
    """Keys and indexes of a namespace on a shard."""
    indexes = [name for name in client.execute_command("FT._LIST") if f":{namespace}:".encode() in name]
    return [*indexes, *client.scan_iter(f"semcache:{namespace}:*")]
