"""The scan-based cache that semcache replaces, re-created from its description. A look-up reads every entry."""

import hashlib
import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import redis
from numpy.typing import NDArray

from benchmarks.workload import THRESHOLD, Workload, documents

RESULTS_KEPT = 5
"""Reranked documents per entry, its default top_k; with text and metadata an entry takes 12 KB, as it did."""


class ScanCache:
    """``get`` embeds the query, reads and parses every entry, and takes the first that is near enough."""

    def __init__(
        self, client: redis.Redis, embed: Callable[[str], NDArray[np.float32]], threshold: float = THRESHOLD
    ) -> None:
        self.redis = client
        self.embed = embed
        self.threshold = threshold
        self.ttl = 3600

    def get(self, query: str, documents: Sequence[Any]) -> list[Any] | None:
        embedding = self.embed(query)
        for key in self.redis.scan_iter(match="rerank_cache:*"):
            cached = self.redis.get(key)
            if cached:
                data = json.loads(cached)
                stored = np.array(data["embedding"])
                cosine = np.dot(embedding, stored) / (np.linalg.norm(embedding) * np.linalg.norm(stored))
                if cosine >= self.threshold:
                    return data["results"]
        return None

    def set(self, query: str, documents: Sequence[Any], results: Sequence[Any]) -> None:
        self.redis.setex(key_of(query), self.ttl, value_of(query, self.embed(query), results))


def key_of(query: str) -> str:
    return f"rerank_cache:{hashlib.md5(query.encode(), usedforsecurity=False).hexdigest()}"


def value_of(query: str, embedding: NDArray[Any], results: Sequence[Any]) -> str:
    return json.dumps({"query": query, "embedding": embedding.tolist(), "results": results})


def load(client: redis.Redis, workload: Workload, start: int, stop: int) -> None:
    """Write entries as ``set`` does, several per round trip."""
    with client.pipeline(transaction=False) as pipeline:
        for entry in range(start, stop):
            query, vector = workload.texts[entry], workload.vectors[entry].astype(np.float32)
            pipeline.setex(key_of(query), 3600, value_of(query, vector, results_of(entry)))
            if len(pipeline) >= 500:
                pipeline.execute()
        pipeline.execute()


def results_of(entry: int) -> list[dict[str, Any]]:
    """The best documents of an entry, as they were kept: content and metadata."""
    return [
        {"content": text, "metadata": {"source": f"passage-{rank}", "chunk": rank}}
        for rank, text in enumerate(documents(entry)[:RESULTS_KEPT])
    ]
