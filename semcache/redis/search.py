"""Finds the entries nearest to vectors: builds the KNN command with RedisVL, once, and reads its replies without it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import isfinite
from typing import Any, NamedTuple

from semcache.entries import fields
from semcache.entries.checks import Damaged
from semcache.entries.entry import Neighbour, Scores
from semcache.entries.fields import Fields
from semcache.entries.fingerprint import tenant_tag
from semcache.events import EntriesEstimated
from semcache.protocols import FloatArray
from semcache.redis.client.commands import Command, PinnedIndex, Reads
from semcache.redis.client.failures import is_missing_index
from semcache.redis.damage import Damage
from semcache.redis.ensure import ensure_index
from semcache.redis.keys import entry_id_in
from semcache.redis.layout import Layout
from semcache.redis.operation import Operation, StoreState, packed_vector
from semcache.redis.sizes import Policy

_ANY_TAG = "0" * 16
_RETURNED = ("embedding", "created_at", "cues", "query", "check")
# The cosine is computed here once more, see below. Vectors rounded to float16 give one that is off by less than this.
_ROUNDING = 0.005


def nearest(
    state: StoreState,
    tenant: str,
    vectors: Sequence[FloatArray],
    k: int,
    min_similarity: float,
    damages: list[Damage],
    beside: Sequence[Command] = (),
) -> Operation[tuple[list[list["Hit | Unread | None"]], list[list[float]], list[Any]]]:
    """Per vector, at most k entries of at least this similarity, nearest first, as ``hits_in`` gives them.

    With them come, per vector, the similarities of all k, and the replies to the commands ``beside``, which are sent in
    the same round trip; none where nothing is searched.
    """
    layout, sizes = state.layout, state.sizes
    # Packed before anything is sent, since a vector of another shape is the caller's error.
    blobs = [packed_vector(state, vector) for vector in vectors]
    if not any(blobs):
        return [[] for _ in vectors], [[] for _ in vectors], []
    index = layout.keys.family(tenant).index
    yield from ensure_index(state, tenant)
    policy = sizes.policy(index, tenant) if tenant else None
    # The server refuses an EF where it compares one by one, or may choose to: only a search of the graph has one.
    ef = (layout.ef_runtime or sizes.ef(index, tenant)) if policy == "BATCHES" or not tenant else None
    datatype, dims = layout.attributes["datatype"], layout.vectors.dims
    knn = knn_command(index, k, datatype, dims, is_named=tenant != "", ef=ef, policy=policy)
    pin = layout.keys.pin(tenant)
    searches = [knn.near(tenant, blob, pin) for blob in blobs if blob is not None]
    commands = Reads((*searches, *beside, *sizes.commands_if_due(index, tenant)))
    replies = yield commands
    if any(map(is_missing_index, replies)):
        if not state.creates_indexes:
            return [[] for _ in vectors], [[] for _ in vectors], []
        # dropped or flushed away since it was checked
        state.checked_indexes.discard(index)
        yield from ensure_index(state, tenant)
        replies = yield commands
    end = len(searches) + len(beside)
    entries = sizes.record(index, tenant, replies[end:])
    if entries is not None:
        state.on_event(EntriesEstimated(entries))
    is_empty = all(reply == [0] for reply in replies[: len(searches)])
    if (is_empty or index in state.unfilled_indexes) and sizes.is_doubtful(index):
        state.checked_indexes.discard(index)
    found = iter(replies)
    seen: list[list[float]] = [[] for _ in vectors]
    hits = [
        hits_in(state.value(next(found)), layout, tenant, vector, min_similarity, damages, all_k) if blob else []
        for blob, vector, all_k in zip(blobs, vectors, seen, strict=True)
    ]
    return hits, seen, replies[len(searches) : end]


@dataclass(frozen=True, slots=True)
class KnnCommand:
    """FT.SEARCH for the k nearest entries of an index, of one tenant where the index holds several."""

    index: str
    query: str
    rest: Command

    def near(self, tenant: str, vector: bytes, pin: bytes | None = None) -> Command:
        """The command for one vector, given as the bytes that the index holds; ``pin`` is a key in the only slot."""
        query = self.query.replace(_ANY_TAG, tenant_tag(tenant)) if tenant else self.query
        index = self.index if pin is None else PinnedIndex.at(self.index, pin)
        return ("FT.SEARCH", index, query, *self.rest, vector)


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


class Unread(NamedTuple):
    """An entry of which KNN told the key and ``similarity`` alone; all else is yet to be read.

    That is how a shard of a Redis Cluster tells of it: in a search it reads nothing outside the slot of the index's
    name.
    """

    key: bytes
    similarity: float
    scope: "_Scope"

    def hit(self, fields: Fields, vector: FloatArray) -> "Hit | None":
        """The entry with its fields and its vector; None if it is not similar enough."""
        return _similar(self.key, fields, vector, self.scope)


class Hit(NamedTuple):
    """An entry as KNN found it; its scores are yet to be read."""

    key: bytes
    similarity: float
    fields: Fields
    vector: FloatArray

    def with_scores(self, scores: Scores) -> Neighbour:
        """The entry with its scores."""
        fields = self.fields
        return Neighbour(
            entry_id_in(self.key),
            self.similarity,
            scores,
            fields.created_at,
            fields.query,
            fields.cues,
            self.vector,
        )


def hits_in(
    reply: object,
    layout: Layout,
    tenant: str,
    vector: FloatArray,
    min_similarity: float,
    damages: list[Damage],
    seen: list[float],
) -> list[Hit | Unread | None]:
    """The entries of a reply that are similar enough, nearest first; None for one that expired before it was loaded.

    What cannot be used is left out and added to ``damages``. The similarities of all that can be used, also of those
    that are too far, are added to ``seen``, the greatest first and rounded as the server has them.
    """
    # The reply is: number of results, key, flat list of fields (None for an expired entry), key, fields, ...
    if not isinstance(reply, list) or len(reply) % 2 == 0 or not isinstance(reply[0], int):
        damages.append(Damage(b"", b"", True, "reply"))
        return []
    scope = _Scope(layout, layout.keys.start(tenant), layout.keys.tag(tenant), vector, min_similarity, seen)
    hits = list(_hits(reply[1:], scope, damages))
    # A distance of the server is NaN where a vector is none, or where it was damaged on its way.
    seen[:] = sorted(filter(isfinite, seen), reverse=True)
    return sorted(hits, key=lambda hit: -2 if hit is None else -hit.similarity)


def _hits(found: list[Any], scope: "_Scope", damages: list[Damage]) -> Iterator[Hit | Unread | None]:
    """The entries that are similar enough of a list of keys and fields in turn."""
    for key, flat in zip(found[::2], found[1::2], strict=True):
        values: Mapping[bytes, bytes] = {}
        try:
            values = dict(zip(flat[::2], flat[1::2], strict=True)) if flat else {}
            if b"vector_distance" not in values:
                yield None
                continue
            hit = _hit(key, values, scope)
        except Damaged as damaged:
            damages.append(Damage(key, values.get(b"check", b""), True, damaged.fault))
        # A reply of another shape fails somewhere above, or in between: it is not worth a test for every place.
        except (TypeError, ValueError, AttributeError):
            damages.append(Damage(b"", b"", True, "reply"))
        else:
            if hit is not None:
                yield hit


class _Scope(NamedTuple):
    """The tenant that entries of a reply must belong to, and the vector that they must be near to.

    ``start`` is how their keys begin. ``seen`` collects the similarities of all entries.
    """

    layout: Layout
    start: bytes
    tag: bytes
    vector: FloatArray
    min_similarity: float
    seen: list[float]


def _hit(key: bytes, values: Mapping[bytes, Any], scope: _Scope) -> Hit | Unread | None:
    """The entry of one result; None if it is not similar enough. Raises Damaged, or anything for a malformed one."""
    # "Distance" is Redis' word for 1 - cosine. It is NaN for vectors that are none, which are found and removed below.
    theirs = 1.0 - float(values[b"vector_distance"])
    if theirs < scope.min_similarity - _ROUNDING:
        scope.seen.append(max(theirs, -1.0))
        return None
    # The filter was the server's. A key of another tenant shows that the field it filters by was changed.
    if not key.startswith(scope.start):
        raise Damaged("check")
    if len(values) == 1:
        scope.seen.append(min(theirs, 1.0))
        return Unread(key, theirs, scope)
    found = fields.unpack(key, values, scope.tag, scope.layout.signing_key)
    # From the vector that was just checked: the server's number may have been damaged on its way.
    return _similar(key, found, scope.layout.vectors.unpack(found.vector), scope)


def _similar(key: bytes, found: Fields, vector: FloatArray, scope: _Scope) -> Hit | None:
    similarity = min(1.0, max(-1.0, float(vector @ scope.vector)))
    scope.seen.append(similarity)
    return Hit(key, similarity, found, vector) if similarity >= scope.min_similarity else None
