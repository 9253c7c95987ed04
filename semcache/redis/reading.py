"""Reads entries: of exactly a query, or near a vector."""

from collections.abc import Sequence
from functools import cache
from typing import Any

from semcache.entries import codec
from semcache.entries.entry import Neighbour, Scores
from semcache.errors import InvalidInputError
from semcache.events import NeighboursSkipped
from semcache.protocols import FloatArray
from semcache.redis.client.failures import is_missing_index
from semcache.redis.ensure import ensure_index
from semcache.redis.keys import entry_id_in
from semcache.redis.operation import Operation, Setup, read_all
from semcache.redis.search import Hit, KnnCommand, hits_in


def read_exact(setup: Setup, tenant: str, query: str) -> Operation[Scores | None]:
    (blob,) = yield (("GET", setup.keys.scores(tenant, query)),)
    return codec.unpack(setup.value(blob))


def read_exact_many(setup: Setup, tenant: str, queries: Sequence[str]) -> Operation[list[Scores | None]]:
    blobs = yield from read_all(setup, [setup.keys.scores(tenant, query) for query in queries])
    return [codec.unpack(blob) for blob in blobs]


def read_vector(setup: Setup, tenant: str, query: str) -> Operation[FloatArray | None]:
    (blob,) = yield (("HGET", setup.keys.vector(tenant, query), "embedding"),)
    return setup.vectors.unpack(setup.value(blob))


def find_neighbours(
    setup: Setup, tenant: str, vector: FloatArray, k: int, min_similarity: float
) -> Operation[list[Neighbour]]:
    (neighbours,) = yield from find_neighbours_many(setup, tenant, (vector,), k, min_similarity)
    return neighbours


def find_neighbours_many(
    setup: Setup, tenant: str, vectors: Sequence[FloatArray], k: int, min_similarity: float
) -> Operation[list[list[Neighbour]]]:
    if k < 1:
        raise InvalidInputError(f"the number of neighbours must be at least 1, got {k}")
    replies = yield from _searched(setup, tenant, [setup.vectors.pack(vector) for vector in vectors], k)
    found = [[hit for hit in hits_in(reply) if hit is None or hit.similarity >= min_similarity] for reply in replies]
    family = setup.keys.family(tenant)
    blobs = iter((yield from read_all(setup, [family.scores_beside(hit.key) for hits in found for hit in hits if hit])))
    neighbours = [[_neighbour(hit, next(blobs)) if hit else None for hit in hits] for hits in found]
    alive = [[neighbour for neighbour in near if neighbour] for near in neighbours]
    skipped = sum(map(len, neighbours)) - sum(map(len, alive))
    if skipped:
        setup.on_event(NeighboursSkipped(skipped))
    return alive


# Building one costs 0.1 ms and an import; a process uses a handful (index, k).
_knn = cache(KnnCommand.build)


def _searched(setup: Setup, tenant: str, vectors: Sequence[bytes], k: int) -> Operation[list[Any]]:
    if not vectors:
        return []
    index = setup.keys.family(tenant).index
    yield from ensure_index(setup, tenant)
    questions = setup.sizes.questions(index, tenant)
    knn = _knn_for(setup, tenant, k)
    searches = [*(knn.near(tenant, vector) for vector in vectors), *questions]
    replies = yield searches
    if any(map(is_missing_index, replies)):  # dropped or flushed away since it was checked
        setup.checked.discard(index)
        yield from ensure_index(setup, tenant)
        replies = yield searches
    setup.sizes.learn(index, tenant, replies[len(vectors) :])
    return [setup.value(reply) for reply in replies[: len(vectors)]]


def _knn_for(setup: Setup, tenant: str, k: int) -> KnnCommand:
    index = setup.keys.family(tenant).index
    policy = setup.sizes.policy(index, tenant) if tenant else None
    # Where the graph may not be searched there is no ef to be set.
    is_graph = policy == "BATCHES" or not tenant
    ef = (setup.ef_runtime or setup.sizes.ef(index, tenant)) if is_graph else None
    datatype, dims = setup.attributes["datatype"], setup.vectors.dims
    return _knn(index, k, datatype, dims, is_named=tenant != "", ef=ef, policy=policy)


def _neighbour(hit: Hit, blob: bytes | None) -> Neighbour | None:
    scores = codec.unpack(blob)
    if scores is None:
        return None
    return Neighbour(entry_id_in(hit.key), hit.similarity, scores, hit.created_at, hit.query, hit.cues)
