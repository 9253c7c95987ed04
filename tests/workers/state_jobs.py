"""What workers do to the state that they share: what reuse and pruning were seen to cost, and what was learned."""

from typing import Any

import numpy as np

from semcache.events import TrustChanged
from semcache.pruning.statistics import SIZE, Statistics
from semcache.quality.pruning import Pruned
from semcache.quality.statistics import EXACT, Observation
from semcache.redis.client.connection import RedisConnection
from semcache.redis.pruning_state import PruningState, PruningStore
from semcache.redis.quality_state import QualityState, QualityStore
from tests.audit.test_auditor import Process
from tests.workers.crew import Gate

_FRESH = np.linspace(5.0, -5.0, 20)
GOOD, BAD = Observation("0.98", _FRESH + 0.125, _FRESH), Observation(EXACT, -_FRESH, _FRESH, tenants="7")
CHEAP, COSTLY = Pruned(1.5, 50, 30, 0.0), Pruned(2.0, 50, 20, 0.25)


def add_observations(_: Gate, url: str, namespace: str, times: int) -> None:
    """Add two observations of different bands so many times."""
    with RedisConnection(url, timeout_s=10) as connection:
        store = QualityStore(connection, namespace, "model", "words")
        for number in range(times):
            store.add([GOOD, BAD], read=number % 8 == 0)


def read_quality(_: Gate, url: str, namespace: str) -> QualityState:
    """The state as a process sees it that has just begun."""
    with RedisConnection(url, timeout_s=10) as connection:
        return QualityStore(connection, namespace, "model", "words").read()


def add_sums(_: Gate, url: str, namespace: str, times: int) -> None:
    """Add the sums and the losses of one request so many times."""
    with RedisConnection(url, timeout_s=10) as connection:
        store = PruningStore(connection, namespace, "model", "words")
        for _number in range(times):
            store.add_sums(Statistics(np.concatenate([[1.0], np.full(SIZE - 1, 0.25)])))
            store.add([CHEAP, CHEAP, COSTLY])


def read_pruning(_: Gate, url: str, namespace: str) -> tuple[PruningState, list[float]]:
    """Losses and sums as a process sees them that has just begun."""
    with RedisConnection(url, timeout_s=10) as connection:
        store = PruningStore(connection, namespace, "model", "words")
        return store.read(), store.read_sums().sums.tolist()


_running: dict[str, Process] = {}


def ask(_: Gate, url: str, namespace: str, seed: int, topics: range) -> dict[str, Any]:
    """Ask about topics, every answer audited, and tell what is trusted then. ``seed`` says which model answers.

    The process goes on with the cache of its last call.
    """
    if namespace not in _running:
        _running[namespace] = Process(url, namespace)
    process = _running[namespace]
    process.model.seed = seed
    for topic in topics:
        process.ask(topic)
    policy = process.cache.scoped.policy()
    return {
        "trusts": (policy.trust_near, policy.trust_exact),
        "changes": [change.new for change in process.events_of(TrustChanged)],
    }


def close(_: Gate, namespace: str) -> None:
    """End what ``ask`` began."""
    process = _running.pop(namespace, None)
    if process is not None:
        process.reranker.close()
