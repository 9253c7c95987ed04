"""semcache itself as a side: opened on the benchmark's server, filled with a workload, asked with given vectors."""

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import numpy as np

from benchmarks.workload import THRESHOLD, Workload, documents, packed
from semcache import Lookup, RedisSemanticCache
from semcache.embedders import CallableEmbedder
from semcache.entries.entry import NewScores
from semcache.protocols import FloatArray
from semcache.ranking import Status
from semcache.redis.keys import KeySpace
from semcache.settings import Settings

_PER_ROUND_TRIP = 200
KEYS = KeySpace.of("default", "default", "given")
"""Where the entries of the caches opened here lie: default namespace and reranker, the embedder below."""
_MISSED = 0.02
_STATUS = {"exact": Status.EXACT, "semantic": Status.SEMANTIC, "miss": None}


def _never(texts: list[str]) -> FloatArray:
    raise AssertionError(f"{len(texts)} texts were embedded although every vector is given")


def opened(url: str, *, namespace: str = "default", timeout_s: float = 30.0) -> RedisSemanticCache:
    """A cache without an embedder of its own. The timeout is long: a benchmark measures slow answers, too."""
    settings = Settings(redis={"timeout_s": timeout_s}, cache={"namespace": namespace})
    embedder = CallableEmbedder(_never, dims=384, name="given", per_text=False)
    return RedisSemanticCache(url, embedder, THRESHOLD, ttl=None, guard=None, settings=settings)


def load(cache: RedisSemanticCache, workload: Workload, start: int, stop: int, tenant: str = "") -> None:
    """Remember entries, many per round trip."""
    entries = _entries(workload, start, stop)
    while batch := list(islice(entries, _PER_ROUND_TRIP)):
        stored = cache.store.remember_many(tenant, batch)
        assert all(stored), f"{stored.count(False)} of {len(stored)} entries were not stored"


def _entries(workload: Workload, start: int, stop: int) -> Iterator[NewScores]:
    for entry in range(start, stop):
        vector = workload.vectors[entry].astype(np.float32)
        yield NewScores(workload.texts[entry], vector, packed(entry))


def _new_strings(texts: list[str]) -> list[str]:
    """Equal texts as a retriever brings them: strings whose hash nobody has computed yet."""
    return [(text + " ")[:-1] for text in texts]


class LookUp:
    """``cache.lookup`` for the probes of a kind; an answer of another status than the kind's is an error.

    But for one semantic hit in fifty: a graph finds almost every neighbour, not every one.
    """

    def __init__(self, cache: RedisSemanticCache, workload: Workload, kind: str, tenant: str = "") -> None:
        self.cache, self.workload, self.kind, self.tenant = cache, workload, kind, tenant
        self.expected = _STATUS[kind]
        self.asked = self.missed = 0
        # Any 50 passages do for a miss: what is not known of the query is not known of its documents.
        self.documents = [_new_strings(documents(max(0, int(target)))) for target in workload.targets[kind]]

    def __call__(self, at: int) -> None:
        number = self.workload.number(self.kind, at)
        self._check(number, self.cache.lookup(*self._sent(number), **self._given(number)))

    async def awaited(self, at: int) -> None:
        """The same by ``cache.alookup``."""
        number = self.workload.number(self.kind, at)
        self._check(number, await self.cache.alookup(*self._sent(number), **self._given(number)))

    def found(self) -> str:
        """What share of the answers was as expected, in words."""
        return f"{1 - self.missed / max(1, self.asked):.1%} of {self.asked:,}"

    def _sent(self, number: int) -> tuple[str, list[str]]:
        return self.workload.probe_texts[self.kind][number], self.documents[number]

    def _given(self, number: int) -> dict[str, Any]:
        if self.kind == "exact":  # needs none
            return {"tenant": self.tenant}
        return {"vector": self.workload.probes[self.kind][number], "tenant": self.tenant}

    def _check(self, number: int, found: Lookup) -> None:
        self.asked += 1
        if found.status == self.expected:
            return
        self.missed += 1
        is_rare = self.missed <= max(3, _MISSED * self.asked)
        assert self.kind == "semantic" and is_rare, f"{self.kind} probe {number}: {found.status}"


def neighbours(cache: RedisSemanticCache, workload: Workload, kind: str, k: int = 4) -> Callable[[int], object]:
    """``cache.neighbours``: one KNN and the scores of what it found."""
    probes = workload.probes[kind]
    return lambda at: cache.neighbours(probes[workload.number(kind, at)], k)
