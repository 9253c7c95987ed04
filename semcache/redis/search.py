"""Finds the entries nearest to vectors: builds the KNN command with RedisVL, once, and reads its replies without it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

from semcache.entries.entry import Neighbour, Scores
from semcache.entries.fingerprint import tenant_tag
from semcache.protocols import FloatArray
from semcache.redis.client.commands import Command
from semcache.redis.client.failures import is_missing_index
from semcache.redis.ensure import ensure_index
from semcache.redis.keys import entry_id_in
from semcache.redis.operation import Operation, StoreState
from semcache.redis.sizes import Policy

_ANY_TAG = "0" * 16
_RETURNED = ("created_at", "cues", "query")


def nearest(
    state: StoreState, tenant: str, vectors: Sequence[FloatArray], k: int, min_similarity: float
) -> Operation[list[list["Hit | None"]]]:
    """Per vector, at most k entries of at least this similarity, nearest first, as ``hits_in`` gives them."""
    if not vectors:
        return []
    layout, sizes = state.layout, state.sizes
    # Packed before anything is sent, since a vector of another shape is the caller's error.
    blobs = [layout.vectors.pack(vector) for vector in vectors]
    index = layout.keys.family(tenant).index
    yield from ensure_index(state, tenant)
    policy = sizes.policy(index, tenant) if tenant else None
    # The server refuses an EF where it compares one by one, or may choose to: only a search of the graph has one.
    ef = (layout.ef_runtime or sizes.ef(index, tenant)) if policy == "BATCHES" or not tenant else None
    datatype, dims = layout.attributes["datatype"], layout.vectors.dims
    knn = knn_command(index, k, datatype, dims, is_named=tenant != "", ef=ef, policy=policy)
    commands = [*(knn.near(tenant, blob) for blob in blobs), *sizes.commands_if_due(index, tenant)]
    replies = yield commands
    if any(map(is_missing_index, replies)):  # dropped or flushed away since it was checked
        state.checked_indexes.discard(index)
        yield from ensure_index(state, tenant)
        replies = yield commands
    sizes.record(index, tenant, replies[len(vectors) :])
    return [hits_in(state.value(reply), min_similarity) for reply in replies[: len(vectors)]]


@dataclass(frozen=True, slots=True)
class KnnCommand:
    """FT.SEARCH for the k nearest entries of an index, of one tenant where the index holds several."""

    index: str
    query: str
    rest: Command

    def near(self, tenant: str, vector: bytes) -> Command:
        """The command for one vector, given as the bytes that the index holds."""
        query = self.query.replace(_ANY_TAG, tenant_tag(tenant)) if tenant else self.query
        return ("FT.SEARCH", self.index, query, *self.rest, vector)


# Cached, because RedisVL writes the whole text anew for each query, and a process needs only a handful of commands.
@cache
def knn_command(
    index: str, k: int, vector_type: str, dims: int, *, is_named: bool, ef: int | None, policy: Policy | None
) -> KnnCommand:
    """The command as RedisVL writes it. None for ``ef`` means the index's own, for ``policy`` the server's choice."""
    from redisvl.query import VectorQuery
    from redisvl.query.filter import Tag

    # Built with a vector and a tenant that stand for any: only these two differ from one search to the next.
    query, *rest = VectorQuery(
        vector=[0.0] * dims,
        vector_field_name="embedding",
        return_fields=list(_RETURNED),
        num_results=k,
        dtype=vector_type,
        filter_expression=Tag("tenant") == _ANY_TAG if is_named else None,
        hybrid_policy=policy,
        ef_runtime=ef,
    ).get_args()
    given = () if ef is None else (VectorQuery.EF_RUNTIME_PARAM, ef)
    return KnnCommand(index, str(query), (*rest, "PARAMS", 2 + len(given), *given, "vector"))


class Hit(NamedTuple):
    """An entry as KNN found it; its scores are yet to be read."""

    key: bytes
    similarity: float
    created_at: float
    cues: bytes
    query: str | None

    def with_scores(self, scores: Scores | None) -> Neighbour | None:
        """The entry with its scores, or None when these have expired or are damaged."""
        if scores is None:
            return None
        return Neighbour(entry_id_in(self.key), self.similarity, scores, self.created_at, self.query, self.cues)


def hits_in(reply: Sequence[Any], min_similarity: float = -1.0) -> list[Hit | None]:
    """The entries of a reply that are similar enough, nearest first; None for one that expired before it was loaded.

    The reply is: number of results, key, flat list of fields (None for an expired entry), key, fields, ...
    """
    hits: list[Hit | None] = []
    for key, flat in zip(reply[1::2], reply[2::2], strict=True):
        fields = dict(zip(flat[::2], flat[1::2], strict=True)) if flat else {}
        if b"vector_distance" not in fields:
            hits.append(None)
            continue
        # "Distance" is Redis' word for 1 - cosine; rounding may take it out of its range.
        similarity = min(1.0, max(-1.0, 1.0 - float(fields[b"vector_distance"])))
        if similarity >= min_similarity:
            query = fields.get(b"query")
            hits.append(
                Hit(
                    key,
                    similarity,
                    created_at=float(fields.get(b"created_at", 0)),
                    cues=fields.get(b"cues", b""),
                    query=None if query is None else query.decode("utf-8", "surrogatepass"),
                )
            )
    return hits
