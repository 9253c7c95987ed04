"""Reads entries: of exactly a query, or near a vector."""

from collections.abc import Sequence

from semcache.entries import codec
from semcache.entries.entry import Neighbour, Scores
from semcache.errors import InvalidInputError
from semcache.events import NeighboursSkipped
from semcache.protocols import FloatArray
from semcache.redis.operation import Operation, StoreState, read_all
from semcache.redis.search import nearest


def read_exact(state: StoreState, tenant: str, query: str) -> Operation[Scores | None]:
    """Scores by document fingerprint of the entry of exactly this query, or None. One GET."""
    (blob,) = yield (("GET", state.layout.keys.scores(tenant, query)),)
    return codec.unpack(state.value(blob))


def read_exact_many(state: StoreState, tenant: str, queries: Sequence[str]) -> Operation[list[Scores | None]]:
    """``read_exact`` for several queries in one round trip."""
    blobs = yield from read_all(state, [state.layout.keys.scores(tenant, query) for query in queries])
    return [codec.unpack(blob) for blob in blobs]


def read_vector(state: StoreState, tenant: str, query: str) -> Operation[FloatArray | None]:
    """The stored unit vector of exactly this query, shape ``(dims,)``, or None. One HGET."""
    (blob,) = yield (("HGET", state.layout.keys.vector(tenant, query), "embedding"),)
    return state.layout.vectors.unpack(state.value(blob))


def find_neighbours(
    state: StoreState, tenant: str, vector: FloatArray, k: int, min_similarity: float = -1.0
) -> Operation[list[Neighbour]]:
    """At most k entries of at least this similarity (a cosine), nearest first, without those that just expired.

    Two round trips; one when nothing is similar enough.
    """
    (neighbours,) = yield from find_neighbours_many(state, tenant, (vector,), k, min_similarity)
    return neighbours


def find_neighbours_many(
    state: StoreState, tenant: str, vectors: Sequence[FloatArray], k: int, min_similarity: float = -1.0
) -> Operation[list[list[Neighbour]]]:
    """``find_neighbours`` for several vectors, in two round trips together."""
    if k < 1:
        raise InvalidInputError(f"the number of neighbours must be at least 1, got {k}")
    found = yield from nearest(state, tenant, vectors, k, min_similarity)
    # Scores lie beside the indexed hash, not in it: writing to an indexed hash takes its vector out of the graph and
    # inserts it again. 10 more scores cost 0.26 ms this way, an HSET alone 0.60 ms (benchmarks/results/writes.md).
    family = state.layout.keys.family(tenant)
    blobs = iter((yield from read_all(state, [family.scores_beside(hit.key) for hits in found for hit in hits if hit])))
    neighbours = [[hit.with_scores(codec.unpack(next(blobs))) if hit else None for hit in hits] for hits in found]
    alive = [[neighbour for neighbour in near if neighbour] for near in neighbours]
    skipped = sum(map(len, neighbours)) - sum(map(len, alive))
    if skipped:
        state.on_event(NeighboursSkipped(skipped))
    return alive
