"""What type checkers see of calls: read by mypy in ``make lint`` and by pyright in ``make types``, and never run.

Where nothing else than an error shows that a type is known, the error is ignored by the names that the two have for it,
and mypy tells of each ``type: ignore`` that ignores none.
"""

from collections.abc import Sequence
from typing import assert_type

import numpy as np

import semcache
import semcache.observers
from semcache import (
    AsyncBatchReranker,
    CachedReranker,
    DegradableReranker,
    Document,
    Neighbour,
    OptimizedRerankerPipeline,
    Ranking,
    RedisSemanticCache,
    Settings,
)
from semcache.entries.entry import Scores
from semcache.events import Event, Reranked
from semcache.protocols import AsyncStore, Embedder, FloatArray, Pair, Reranker, Store
from semcache.redis.async_store import AsyncRedisStore
from semcache.redis.store import RedisStore


def documents_come_back_as_what_they_are(
    reranker: CachedReranker,
    batches: AsyncBatchReranker,
    chain: DegradableReranker,
    documents: list[Document],
    texts: tuple[str, ...],
) -> None:
    assert_type(reranker.rerank("a query", documents), Ranking[Document])
    assert_type(reranker.rerank("a query", documents, 3, tenant="acme")[0], Document)
    assert_type(reranker.rerank("a query", texts).to_list(), list[str])
    assert_type(reranker.rerank_many(["a query"], [documents]), list[Ranking[Document]])
    assert_type(reranker.cache.get("a query", documents), list[Document] | None)
    assert_type(batches.rerank("a query", documents), Ranking[Document])
    assert_type(batches.batch_rerank(["a query"], [documents]), list[Ranking[Document]])
    assert_type(chain.rerank("a query", documents), Ranking[Document])


async def so_they_do_in_event_loops(
    pipeline: OptimizedRerankerPipeline, batches: AsyncBatchReranker, documents: list[Document]
) -> None:
    assert_type(await pipeline.arerank("a query", documents), Ranking[Document])
    assert_type(await pipeline.arerank_many(["a query"], [documents]), list[Ranking[Document]])
    assert_type(await pipeline.cache.aget("a query", documents), list[Document] | None)
    assert_type(await batches.rerank_async("a query", documents), Ranking[Document])
    assert_type(await batches.batch_rerank_async(["a query"], [documents]), list[Ranking[Document]])


def methods_of_a_store_are_its_operations(store: RedisStore, vector: FloatArray) -> Store:
    assert_type(store.read_exact("", "a query"), Scores | None)
    assert_type(store.find_neighbours("", vector, 4, min_similarity=0.9), list[Neighbour])
    assert_type(store.remember("", "a query", vector, [(b"\0" * 16, 1.0)], ttl_s=60.0), bool)
    assert_type(store.forget(query="a query"), int)
    store.read_exact("")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    store.remember("", "a query", vector, [], ttl=60.0)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    return store


async def and_so_they_are_for_event_loops(store: AsyncRedisStore, vector: FloatArray) -> AsyncStore:
    assert_type(await store.read_exact("", "a query"), Scores | None)
    assert_type(await store.find_neighbours("", vector, 4, min_similarity=0.9), list[Neighbour])
    assert_type(await store.remember("", "a query", vector, [(b"\0" * 16, 1.0)], ttl_s=60.0), bool)
    assert_type(await store.forget(query="a query"), int)
    await store.read_exact("")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    return store


class OwnEmbedder:
    name, dims = "own-embedder/v1", 3

    def embed(self, texts: Sequence[str]) -> FloatArray:
        return np.eye(len(texts), 3, dtype=np.float32)


class OwnReranker:
    name, listwise = "own-reranker/v1", False

    def score(self, pairs: Sequence[Pair]) -> FloatArray:
        return np.zeros(len(pairs), dtype=np.float32)


def own_observer(event: Event) -> None:
    if isinstance(event, Reranked):
        assert_type(event.duration_s, float)


def parts_of_ones_own_fit(settings: Settings) -> None:
    cache = RedisSemanticCache(embedding_model=OwnEmbedder(), settings=settings, observers=[own_observer, print])
    with CachedReranker(OwnReranker(), cache) as reranker:
        assert_type(reranker, CachedReranker)
    embedder: Embedder = OwnEmbedder()
    own: Reranker = OwnReranker()
    assert_type((embedder.dims, own.listwise), tuple[int, bool])


def misspelt_names_are_seen(cache: RedisSemanticCache) -> None:
    print(semcache.RedisSemanticCashe)  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    print(semcache.observers.LogingObserver)  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    print(cache.lookup("a query", ["a document"]).score)  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
