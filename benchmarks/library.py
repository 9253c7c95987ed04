"""semcache itself as a side: a cache on the benchmark's server, filled with a workload, looked up by given vectors."""

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.workload import THRESHOLD, Workload, documents, packed
from semcache import Lookup, RedisSemanticCache
from semcache.commands.models import UnusedModel
from semcache.entries.entry import NewScores
from semcache.ranking import Status
from semcache.redis.keys import KeySpace
from semcache.settings import Settings

_PER_ROUND_TRIP = 200
KEYS = KeySpace.of("default", "default", "given")
"""Names of the keys of the caches opened here: default namespace and reranker, and the embedder below."""
_MISSED = 0.02
_STATUS = {"exact": Status.EXACT, "semantic": Status.SEMANTIC, "miss": None}


class _GivenVectors(UnusedModel):
    """Its name is part of the keys, so that these stay the same for all benchmarks."""

    name = "given"


def opened(url: str, *, namespace: str = "default", timeout_s: float = 30.0) -> RedisSemanticCache:
    """A cache whose vectors are all given. The timeout is long, because a benchmark measures slow answers too."""
    settings = Settings(redis={"timeout_s": timeout_s, "budget_s": timeout_s}, cache={"namespace": namespace})
    return RedisSemanticCache(url, _GivenVectors(), THRESHOLD, ttl=None, guard=None, settings=settings)


def load(cache: RedisSemanticCache, workload: Workload, start: int, stop: int, tenant: str = "") -> None:
    """Remember entries, many per round trip."""
    for first in range(start, stop, _PER_ROUND_TRIP):
        batch = [
            NewScores(workload.texts[entry], workload.vectors[entry].astype(np.float32), packed(entry))
            for entry in range(first, min(first + _PER_ROUND_TRIP, stop))
        ]
        stored = cache.store.remember_many(tenant, batch)
        assert all(stored), f"{stored.count(False)} of {len(stored)} entries were not stored"


class LookUp:
    """``cache.lookup`` for the probes of a kind. An answer with another status than the kind's is an error.

    The share ``may_miss`` of semantic hits may be missed: a graph finds almost every neighbour, not every one.
    """

    def __init__(
        self, cache: RedisSemanticCache, workload: Workload, kind: str, tenant: str = "", may_miss: float = _MISSED
    ) -> None:
        self.cache, self.workload, self.kind, self.tenant = cache, workload, kind, tenant
        self.expected = _STATUS[kind]
        self.may_miss = may_miss
        self.asked = self.missed = 0
        # For a miss any 50 passages will do, since the query is unknown. New strings, as a retriever brings them: a
        # string keeps its hash after the first use.
        self.documents = [
            [(text + " ")[:-1] for text in documents(max(0, int(target)))] for target in workload.targets[kind]
        ]

    def __call__(self, at: int) -> None:
        number = self.workload.number(self.kind, at)
        self._check(number, self.cache.lookup(*self._sent(number), **self._given(number)))

    async def awaited(self, at: int) -> None:
        """The same by ``cache.alookup``."""
        number = self.workload.number(self.kind, at)
        self._check(number, await self.cache.alookup(*self._sent(number), **self._given(number)))

    def found(self) -> str:
        """The share of answers that were as expected, in words."""
        return f"{1 - self.missed / max(1, self.asked):.1%} of {self.asked:,}"

    def _sent(self, number: int) -> tuple[str, list[str]]:
        return self.workload.probe_texts[self.kind][number], self.documents[number]

    def _given(self, number: int) -> dict[str, Any]:
        if self.kind == "exact":  # needs no vector
            return {"tenant": self.tenant}
        return {"vector": self.workload.probes[self.kind][number], "tenant": self.tenant}

    def _check(self, number: int, found: Lookup) -> None:
        self.asked += 1
        if found.status == self.expected:
            return
        self.missed += 1
        is_rare = self.missed <= max(3, self.may_miss * self.asked)
        assert self.kind == "semantic" and is_rare, f"{self.kind} probe {number}: {found.status}"


def neighbours(cache: RedisSemanticCache, workload: Workload, kind: str, k: int = 4) -> Callable[[int], object]:
    """``cache.neighbours``: one KNN and the scores of what it found."""
    probes = workload.probes[kind]
    return lambda at: cache.neighbours(probes[workload.number(kind, at)], k)
