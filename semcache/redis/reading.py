"""Reads entries: of exactly a query, or near a vector."""

from collections.abc import Sequence

from semcache.causes import cause_of
from semcache.entries.entry import Neighbour, Scores
from semcache.errors import InvalidInputError, StoreError
from semcache.events import CacheFailed, NeighboursSkipped
from semcache.flow.steps import Lease
from semcache.protocols import FloatArray
from semcache.pruning.features import Floats
from semcache.redis import earlier
from semcache.redis.client.commands import Reads
from semcache.redis.damage import Damage, discard, read_scores, remove_halves, unpack_hash, unpack_scores
from semcache.redis.keys import KeyFamily
from semcache.redis.lease import claimed, claiming
from semcache.redis.operation import Operation, StoreState, in_groups
from semcache.redis.search import Hit, Unread, nearest
from semcache.redis.source import join_near, read_both, vectors_for

Near = tuple[list[Neighbour], Floats | None, list[float]]
"""Of one vector: its neighbours, what is known of the documents of its query, and the similarities of all k."""

_SEARCHES_AT_ONCE = 20
"""A server takes 0.2 to 1 ms for each of those that came in one round trip, and serves nothing else meanwhile. Other
requests wait 50 ms for it (``redis.budget_s``)."""
_READS_AT_ONCE = 500
"""The same of exact reads, of 5 to 20 us each."""


def read_exact(state: StoreState, tenant: str, query: str) -> Operation[Scores | None]:
    """Scores by document fingerprint of the entry of exactly this query, or None. One GETRANGE."""
    if state.source is not None:
        return (yield from read_exact_many(state, tenant, (query,)))[0]
    key = state.layout.keys.scores(tenant, query)
    (blob,) = yield Reads((read_scores(key),))
    damages: list[Damage] = []
    scores = unpack_scores(state, key, blob, damages)
    if damages:  # asked here, so that an exact hit does not even make a generator
        yield from discard(state, damages)
    return scores


def read_exact_many(state: StoreState, tenant: str, queries: Sequence[str]) -> Operation[list[Scores | None]]:
    """``read_exact`` for several queries, in one round trip for every 500."""
    scores: list[Scores | None] = []
    for group in in_groups(queries, _READS_AT_ONCE):
        source = state.source
        if source is not None and source.is_read:
            scores += yield from read_both(state, source, tenant, group)
        else:
            keys = [state.layout.keys.scores(tenant, query) for query in group]
            scores += yield from _read_all(state, keys, [])
    return scores


def read_vector(state: StoreState, tenant: str, query: str) -> Operation[FloatArray | None]:
    """The stored unit vector of exactly this query, shape ``(dims,)``, or None. One HGETALL."""
    key = state.layout.keys.vector(tenant, query)
    damages: list[Damage] = []
    (flat,) = yield Reads((("HGETALL", key),))
    found = unpack_hash(state, state.layout.keys.family(tenant), key, flat, damages)
    yield from discard(state, damages)
    return found and found[1]


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
    """``find_neighbours`` for several vectors, in two round trips for every twenty."""
    near = yield from find_near(state, tenant, vectors, k, min_similarity, [()] * len(vectors))
    return [neighbours for neighbours, *_ in near]


def find_near(
    state: StoreState,
    tenant: str,
    vectors: Sequence[FloatArray],
    k: int,
    min_similarity: float,
    documents: Sequence[Sequence[bytes]],
    lease: Lease | None = None,
    former: FloatArray | None = None,
) -> Operation[list[Near]]:
    """``find_neighbours_many`` with what is known from earlier queries of some documents of each, by fingerprint.

    That is what ``read_earlier`` gives. It takes no further round trip, and where it cannot be read, it is missing.
    Last come the similarities of all k, also of those that are too far, the greatest first. In the same round trip a
    ``lease`` is claimed; where that fails, it stays unclaimed. ``former`` has vectors of the embedder that entries are
    migrated from: its index is searched, too.
    """
    if k < 1:
        raise InvalidInputError(f"the number of neighbours must be at least 1, got {k}")
    if len(vectors) > _SEARCHES_AT_ONCE:
        together: list[Near] = []
        for at in range(0, len(vectors), _SEARCHES_AT_ONCE):
            part = slice(at, at + _SEARCHES_AT_ONCE)
            before = None if former is None else former[part]
            some = find_near(state, tenant, vectors[part], k, min_similarity, documents[part], lease, before)
            together += yield from some
        return together
    damages: list[Damage] = []
    beside = [earlier.reading(state, tenant, fingerprints) for fingerprints in documents if fingerprints]
    if lease is not None:
        beside.append(claiming(state, lease))
    found, similarities, replies = yield from nearest(state, tenant, vectors, k, min_similarity, damages, beside)
    if lease is not None and replies and not isinstance(replies[-1], Exception):
        # An error of the server meets the write that follows, too, and is told by that.
        claimed(state, lease, replies.pop())
    neighbours = yield from _alive(state, tenant, found, damages)
    source = state.source
    if source is not None and (searched := vectors_for(source, vectors, former)) is not None:
        theirs = yield from _find_former(source.state, tenant, searched, k, min_similarity)
        neighbours = [
            join_near(state, source, near, other) for near, (other, _) in zip(neighbours, theirs, strict=True)
        ]
        similarities = [
            sorted([*all_k, *more], reverse=True) for all_k, (_, more) in zip(similarities, theirs, strict=True)
        ]
    # An error of the server is one of the background, too, which learns from the same keys and tells of it; a script
    # that the server has not seen since it started is sent from there.
    answers = iter(replies)
    return [
        (near, earlier.read_in(next(answers, None), len(fingerprints)) if fingerprints else None, all_k)
        for near, fingerprints, all_k in zip(neighbours, documents, similarities, strict=True)
    ]


def _find_former(
    state: StoreState, tenant: str, vectors: Sequence[FloatArray], k: int, min_similarity: float
) -> Operation[list[tuple[list[Neighbour], list[float]]]]:
    """Neighbours and similarities of the scope that entries are migrated from; where it fails, none and an event."""
    try:
        found = yield from find_near(state, tenant, vectors, k, min_similarity, [()] * len(vectors))
    except StoreError as error:
        state.on_event(CacheFailed("Migration", cause_of(error)))
        return [([], []) for _ in vectors]
    return [(near, all_k) for near, _, all_k in found]


def _alive(
    state: StoreState, tenant: str, found: Sequence[Sequence[Hit | Unread | None]], damages: list[Damage]
) -> Operation[list[list[Neighbour]]]:
    """The entries that a search found, with their scores, without those that expired in between."""
    # Scores lie beside the indexed hash, not in it: writing to an indexed hash takes its vector out of the graph and
    # inserts it again. 10 more scores take 0.12 ms this way; an HSET alone takes 0.16 ms among 10,000
    # entries, and more among more (benchmarks/results/writes.md).
    family = state.layout.keys.family(tenant)
    unread = [hit.key for hits in found for hit in hits if isinstance(hit, Unread)]
    if unread:
        return (yield from _read_neighbours(state, family, found, unread, damages))
    keys = [hit.key for hits in found for hit in hits if hit]
    left_out = len(damages)
    read = yield from _read_all(state, list(map(family.scores_beside, keys)), damages)
    yield from remove_halves(state, family, [key for key, known in zip(keys, read, strict=True) if known is None])
    scores = iter(read)
    alive = [
        [hit.with_scores(known) for hit in hits if isinstance(hit, Hit) and (known := next(scores)) is not None]
        for hits in found
    ]
    _skip(state, sum(map(len, found)) - sum(map(len, alive)) - (len(damages) - left_out))
    return alive


def _skip(state: StoreState, skipped: int) -> None:
    if skipped:
        state.on_event(NeighboursSkipped(skipped))


def _read_neighbours(
    state: StoreState,
    family: KeyFamily,
    found: Sequence[Sequence[Hit | Unread | None]],
    unread: Sequence[bytes],
    damages: list[Damage],
) -> Operation[list[list[Neighbour]]]:
    """The neighbours of which a search told the keys alone: hashes and scores, in the same round trip."""
    beside = [family.scores_beside(hit.key) for hits in found for hit in hits if hit]
    left_out = len(damages)
    replies = yield Reads((*map(read_scores, beside), *(("HGETALL", key) for key in unread)))
    scores = iter([unpack_scores(state, key, reply, damages) for key, reply in zip(beside, replies, strict=False)])
    hashes = iter(
        [
            unpack_hash(state, family, key, flat, damages)
            for key, flat in zip(unread, replies[len(beside) :], strict=True)
        ]
    )
    yield from discard(state, damages)
    alive: list[list[Neighbour]] = []
    halves: list[bytes] = []
    expired = sum(hit is None for hits in found for hit in hits)
    for hits in found:
        neighbours = []
        for hit in hits:
            if hit is None:
                continue
            known = next(scores)
            read = next(hashes) if isinstance(hit, Unread) else (hit.fields, hit.vector)
            if known is None or read is None:
                expired += 1
                # Of a shard that did not answer, nothing was read.
                halves += [] if read is None else [hit.key]
                continue
            whole = hit.hit(*read) if isinstance(hit, Unread) else hit
            if whole is not None:
                neighbours.append(whole.with_scores(known))
        # The server's distances may be of rounded vectors.
        alive.append(sorted(neighbours, key=lambda neighbour: -neighbour.similarity))
    yield from remove_halves(state, family, halves)
    _skip(state, expired - (len(damages) - left_out))
    return alive


def _read_all(state: StoreState, keys: Sequence[bytes], damages: list[Damage]) -> Operation[list[Scores | None]]:
    """The scores under these keys, None where there is none, in one round trip; removes what is damaged."""
    replies = (yield Reads(map(read_scores, keys))) if keys else []
    scores: list[Scores | None] = [
        unpack_scores(state, key, reply, damages) for key, reply in zip(keys, replies, strict=True)
    ]
    yield from discard(state, damages)
    return scores
