"""What each worker process of ``benchmarks.workers`` does."""

import os
from collections.abc import Sequence
from time import perf_counter, sleep, thread_time
from typing import Any, NamedTuple

import numpy as np

from semcache import CachedReranker, RedisSemanticCache
from semcache.events import Event, LeaseAwaited
from semcache.protocols import FloatArray, Pair
from semcache.settings import Settings
from tests.fakes import WordEmbedder
from tests.workers.crew import Gate

DOCUMENTS = [f"passage {number} about the moon" for number in range(50)]


class Model:
    """Takes ``seconds`` for a call: of the processor's time, or waiting for a service."""

    listwise = False

    def __init__(self, seconds: float, *, is_service: bool) -> None:
        self.name = "service" if is_service else "local"
        self._seconds = seconds
        self._is_service = is_service
        self.calls = 0

    def score(self, pairs: Sequence[Pair]) -> FloatArray:
        self.calls += 1
        if self._is_service:
            sleep(self._seconds)
        else:
            began = thread_time()
            while thread_time() - began < self._seconds:
                sum(range(1000))
        return np.array([len(text) for _, text in pairs], dtype=np.float32)


class Setup(NamedTuple):
    """How a worker is set up."""

    url: str
    namespace: str
    seconds: float
    is_service: bool
    lease_s: float


class Asked(NamedTuple):
    """One request of one worker: calls of the model, the status, when it was answered, and how a wait ended."""

    calls: int
    status: str
    took_s: float
    waited: str


class _Worker:
    def __init__(self, setup: Setup) -> None:
        self.events: list[Event] = []
        self.model = Model(setup.seconds, is_service=setup.is_service)
        settings = Settings(
            # The workers share the cores of this machine with the server.
            redis={"budget_s": 5.0, "timeout_s": 5.0},
            cache={"namespace": setup.namespace, "lease_s": setup.lease_s},
            reuse={"audit_rate": 0.0},
            prune={"mode": "off"},
        )
        cache = RedisSemanticCache(setup.url, WordEmbedder(), settings=settings, observers=[self.events.append])
        self.reranker = CachedReranker(self.model, cache)
        cache.warmup()


_workers: dict[Setup, _Worker] = {}


def start(_: Gate, setup: Setup) -> int:
    """Make the worker ready, as before the requests of an application; its process id."""
    _workers[setup] = _Worker(setup)
    return os.getpid()


def ask(_: Gate, setup: Setup, query: str) -> Asked:
    """Ask one query."""
    worker = _workers[setup]
    worker.events.clear()
    calls, began = worker.model.calls, perf_counter()
    status = worker.reranker.rerank(query, DOCUMENTS, 10).status.value
    waits = [event.outcome for event in worker.events if isinstance(event, LeaseAwaited)]
    return Asked(worker.model.calls - calls, status, perf_counter() - began, "".join(waits))


def stop(_: Gate, setup: Setup) -> Any:
    """Close what ``start`` made."""
    worker = _workers.pop(setup)
    worker.reranker.close()
    worker.reranker.cache.close()
