"""Small stand-ins for tests that need a scripted model or a store that can be looked into."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import inf
from threading import RLock
from time import monotonic

import numpy as np

from semcache.entries.codec import pack, unpack
from semcache.entries.entry import Neighbour
from semcache.entries.fingerprint import entry_id
from semcache.flow.requests import check_ttl
from semcache.protocols import FloatArray, Pair, Scored


class WordEmbedder:
    """A unit vector per bag of words: equal words give similarity 1, and shared words something in between."""

    name = "words"
    dims = 64

    def __init__(self) -> None:
        self.texts: list[str] = []

    def embed(self, texts: Sequence[str]) -> FloatArray:
        self.texts.extend(texts)
        rows = np.zeros((len(texts), self.dims), dtype=np.float32)
        for row, text in zip(rows, texts, strict=True):
            for number in self.numbers_of(text.lower()):
                row[number % self.dims] += 1
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    def numbers_of(self, text: str) -> list[int]:
        """One number per part of a text, equal for equal parts."""
        return [sum(word.encode()) for word in text.split()]


class CountingReranker:
    """Scores by a fixed function of the pair, and remembers what it was asked."""

    listwise = False

    def __init__(self, name: str = "counting") -> None:
        self.name = name
        self.pairs: list[Pair] = []

    def score(self, pairs: Sequence[Pair]) -> FloatArray:
        self.pairs.extend(pairs)
        return np.array([self.score_of(*pair) for pair in pairs], dtype=np.float32)

    def score_of(self, query: str, text: str) -> float:
        shared = len(set(query.lower().split()) & set(text.lower().split()))
        return shared + (sum(text.encode()) % 1000) / 100


class CountingOrder(CountingReranker):
    """A listwise reranker: its scores are places in an order."""

    listwise = True

    def score(self, pairs: Sequence[Pair]) -> FloatArray:
        scores = super().score(pairs)
        places = np.argsort(np.argsort(scores, kind="stable"), kind="stable")
        return places.astype(np.float32)


class OneRung:
    """A ladder of a single reranker, which can be told to degrade; ``asked`` has the number of pairs of each call."""

    def __init__(self, reranker: CountingReranker) -> None:
        self.reranker = reranker
        self.name = reranker.name
        self.listwise = reranker.listwise
        self.degrade: str | None = None
        self.asked: list[int] = []

    def score(
        self, query: str, documents: Sequence[str], ask: Sequence[int], *, deadline_s: float | None = None
    ) -> Scored:
        self.asked.append(len(ask))
        if self.degrade is not None:
            return Scored(np.arange(len(documents), dtype=np.float32), "fallback", self.degrade)
        return Scored(self.reranker.score([(query, documents[place]) for place in ask]), self.name)

    async def ascore(
        self, query: str, documents: Sequence[str], ask: Sequence[int], *, deadline_s: float | None = None
    ) -> Scored:
        return self.score(query, documents, ask, deadline_s=deadline_s)


class MemoryStore:
    """A Store on dictionaries, with a list of what was called. ``broken`` makes every call fail."""

    def __init__(self, *, listwise: bool = False) -> None:
        self.listwise = listwise
        self.scores: dict[tuple[str, str], bytes] = {}
        self.vectors: dict[tuple[str, str], tuple[FloatArray, bytes]] = {}
        self.ends: dict[tuple[str, str], float] = {}
        self.calls: list[str] = []
        self.broken = False
        self._lock = RLock()

    def read_exact(self, tenant: str, query: str) -> Mapping[bytes, float] | None:
        with self._called("read_exact"):
            return unpack(b"", self.scores.get((tenant, entry_id(tenant, query))))

    def read_exact_many(self, tenant: str, queries: Sequence[str]) -> list[Mapping[bytes, float] | None]:
        return [self.read_exact(tenant, query) for query in queries]

    def read_vector(self, tenant: str, query: str) -> FloatArray | None:
        with self._called("read_vector"):
            vector, _ = self.vectors.get((tenant, entry_id(tenant, query)), (None, b""))
            return vector

    def find_neighbours(self, tenant: str, vector: FloatArray, k: int, min_similarity: float = -1.0) -> list[Neighbour]:
        with self._called("find_neighbours"):
            near = [
                Neighbour(key[1], float(vector @ stored), unpack(b"", self.scores[key]) or {}, 0.0, cues=cues)
                for key, (stored, cues) in self.vectors.items()
                if key[0] == tenant
            ]
        nearest = sorted(near, key=lambda neighbour: -neighbour.similarity)[:k]
        return [neighbour for neighbour in nearest if neighbour.similarity >= min_similarity]

    def find_neighbours_many(
        self, tenant: str, vectors: Sequence[FloatArray], k: int, min_similarity: float = -1.0
    ) -> list[list[Neighbour]]:
        return [self.find_neighbours(tenant, vector, k, min_similarity) for vector in vectors]

    def remember(
        self,
        tenant: str,
        query: str,
        vector: FloatArray | None,
        scores: Sequence[tuple[bytes, float]],
        *,
        cues: bytes = b"",
        ttl_s: float | None = None,
    ) -> bool:
        key = (tenant, entry_id(tenant, query))
        check_ttl(ttl_s)
        with self._called("remember"):
            if not scores:
                return False
            if ttl_s is not None:
                self.ends.setdefault(key, inf if key in self.scores else monotonic() + ttl_s)
            old = b"" if self.listwise else self.scores.get(key, b"")
            self.scores[key] = old + pack(b"", scores)
            if vector is not None:
                self.vectors.setdefault(key, (vector, cues))
            return True

    def forget(self, tenant: str | None = None, *, query: str | None = None, document: bytes | None = None) -> int:
        with self._called("forget"):
            keys = [key for key in self.scores if tenant is None or key[0] == tenant]
            if query is not None:
                keys = [key for key in keys if key == (tenant or "", entry_id(tenant or "", query))]
            if document is None:
                return len(list(map(self._remove, keys)))
            touched = [key for key in keys if document in (unpack(b"", self.scores[key]) or {})]
            for key in touched:
                kept = {
                    name: score for name, score in (unpack(b"", self.scores[key]) or {}).items() if name != document
                }
                self.scores[key] = pack(b"", kept.items())
                if not kept:
                    self._remove(key)
            return len(touched)

    def clear(self) -> int:
        with self._called("clear"):
            return len(list(map(self._remove, list(self.scores))))

    def count(self) -> int:
        with self._called("count"):
            return len(self.vectors)

    @contextmanager
    def _called(self, name: str) -> Iterator[None]:
        self.calls.append(name)
        if self.broken:
            raise ConnectionError("scripted outage")
        with self._lock:
            now = monotonic()
            for key in [key for key, end in self.ends.items() if end <= now]:
                self._remove(key)
            yield

    def _remove(self, key: tuple[str, str]) -> None:
        del self.scores[key]
        self.vectors.pop(key, None)
        self.ends.pop(key, None)
