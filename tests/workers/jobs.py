"""What workers of the tests do, each job in a process of its own."""

import asyncio
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from semcache.cache import RedisSemanticCache
from semcache.cached import CachedReranker
from semcache.events import CacheFailed, Event, LeaseAwaited
from semcache.protocols import FloatArray, Pair
from semcache.redis.client.connection import RedisConnection
from semcache.redis.store import RedisStore
from semcache.settings import Settings
from tests.fakes import WordEmbedder
from tests.scripted import PATIENCE_S
from tests.workers.crew import Gate

DOCUMENTS = [f"passage {number} about the moon" for number in range(8)]
_FEW_S = 10.0
"""For a server that other tests keep busy."""


class GatedModel:
    """A model whose calls wait for the test."""

    name, listwise = "gated", False

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def score(self, pairs: Sequence[Pair]) -> FloatArray:
        self._gate.entered.release()
        assert self._gate.permits.acquire(timeout=PATIENCE_S), "the test did not let this call go on"
        return np.array([len(text) for _, text in pairs], dtype=np.float32)


class WatchedEmbedder(WordEmbedder):
    """Tells when the query has to be embedded, since it is not known exactly."""

    def __init__(self, gate: Gate, query: str) -> None:
        super().__init__()
        self._gate = gate
        self._query = query

    def embed(self, texts: Sequence[str]) -> FloatArray:
        if self._query in texts:  # it is asked about fixed texts, too, that tell whose vectors they are
            self._gate.missed.release()
        return super().embed(texts)


def ask(gate: Gate, url: str, namespace: str, query: str, changed: dict[str, Any]) -> dict[str, Any]:
    """Rerank once; the status, the scores, how the wait for another process ended, and failures of the cache.

    ``changed`` has sections of the settings; with ``is_async`` an event loop asks, with ``deadline_s`` by a deadline.
    """
    events: list[Event] = []
    is_async, deadline_s = changed.pop("is_async", False), changed.pop("deadline_s", None)
    patient = {"budget_s": _FEW_S, "timeout_s": _FEW_S, "connect_timeout_s": _FEW_S}
    sections = {**changed, "redis": {**patient, **changed.get("redis", {})}}
    settings = Settings(**{**sections, "cache": {"namespace": namespace, **changed.get("cache", {})}})
    cache = RedisSemanticCache(url, WatchedEmbedder(gate, query), settings=settings, observers=[events.append])
    with cache, CachedReranker(GatedModel(gate), cache) as reranker:
        if is_async:
            ranking = asyncio.run(reranker.arerank(query, DOCUMENTS, 8, deadline_s=deadline_s))
        else:
            ranking = reranker.rerank(query, DOCUMENTS, 8, deadline_s=deadline_s)
    waits = [event.outcome for event in events if isinstance(event, LeaseAwaited)]
    failures = [event.step for event in events if isinstance(event, CacheFailed)]
    return {"status": ranking.status.value, "scores": ranking.scores, "waits": waits, "failures": failures}


class Appends(NamedTuple):
    """What each of several processes writes: so many times, in turn to so many entries of at most ``max_scores``."""

    url: str
    namespace: str
    writes: int
    entries: int
    max_scores: int = 4096


def append(_: Gate, what: Appends, worker: int) -> list[str]:
    """Add scores to entries; the failures and events."""
    seen: list[str] = []
    with RedisConnection(what.url, timeout_s=_FEW_S) as connection:
        store = store_of(connection, what, on_event=lambda event: seen.append(repr(event)))
        for number in range(what.writes):
            scores = written(worker, number)
            if not store.remember("", entry_of(what, number), None, list(scores.items())):
                seen.append(f"{number} was not stored")
    return seen


def store_of(connection: RedisConnection, what: Appends, **options: Any) -> RedisStore:
    """The store that all processes write to."""
    layout = {"namespace": what.namespace, "reranker": "r", "embedder": "e", "dims": 16, "ttl_s": 600.0}
    return RedisStore(connection, **layout, max_scores=what.max_scores, **options)  # type: ignore[arg-type]


def entry_of(what: Appends, number: int) -> str:
    """The query that a write goes to."""
    return f"query {number % what.entries}"


def written(worker: int, number: int) -> dict[bytes, float]:
    """The scores of one write: some that no other process writes, and one that all of them do."""
    own = {
        (worker << 64 | number << 8 | place).to_bytes(16, "big"): number + place / 8 for place in range(1 + number % 3)
    }
    return own | {(number % 5).to_bytes(16, "little"): 7.0}
