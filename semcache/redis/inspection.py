"""Inspects what is stored: how many entries there are, and some of them whole."""

from collections.abc import Sequence

from semcache.entries.entry import StoredEntry
from semcache.entries.fingerprint import is_settled_mark
from semcache.errors import InvalidInputError
from semcache.redis.client.failures import is_missing_index
from semcache.redis.damage import Damage, discard, read_scores, unpack_hash, unpack_scores
from semcache.redis.keys import KeyFamily, entry_id_in
from semcache.redis.operation import Operation, StoreState, in_groups, scan, unreadable

_MOST_COUNTED = 500_000
"""A server counts an entry in some 20 ns, and answers nothing else meanwhile: 10 ms, of the 50 that a request waits."""

_LEAST_READ, _MOST_READ = 20, 100
"""Entries of a sample that are read in one round trip: more than it lacks, since many may have no vector, and not too
many, since each may have 400 KB."""


def count(state: StoreState) -> Operation[int]:
    """How many entries there are, of all tenants.

    Where many are to be expected, all keys of the server are gone through, a thousand at a time, so that no request
    waits for the count. Entries that come or go meanwhile may be counted or not.
    """
    if _are_many((yield from _keys(state))):
        return (yield from _gone_through(state))
    return (yield from _searched(state))


def estimate(state: StoreState) -> Operation[tuple[int, bool]]:
    """How many entries there are, of all tenants, and whether that is only about so many.

    Where many are to be expected they are not counted: it is half of the keys of the server then, of a cluster of its
    fullest shard.
    """
    keys = yield from _keys(state)
    if _are_many(keys):
        return keys // 2, True
    return (yield from _searched(state)), False


def _keys(state: StoreState) -> Operation[int]:
    """How many keys the server has, of a cluster its fullest shard; 0 where the user may not ask for it."""
    (keys,) = yield (("DBSIZE",),)
    return keys if isinstance(keys, int) else 0


def _are_many(keys: int) -> bool:
    return keys // 2 > _MOST_COUNTED


def _searched(state: StoreState) -> Operation[int]:
    """How many entries the indexes hold."""
    # An empty search counts quickly. FT.INFO would hold up the server for longer, the more entries there are.
    indexes = [family.index for family, _ in state.layout.keys.families(None)]
    found = yield [("FT.SEARCH", index, "*", "NOCONTENT", "LIMIT", 0, 0, "DIALECT", 2) for index in indexes]
    return sum(_results(state, reply) for reply in found if not is_missing_index(reply))


def _gone_through(state: StoreState) -> Operation[int]:
    """How many hashes of entries there are among the keys of the server."""
    keys = state.layout.keys
    hashes = tuple(family.vectors for family, _ in keys.families(None))
    entries = 0
    cursor: int | None = 0
    while cursor is not None:
        cursor, found = yield from scan(state, keys.pattern(None, "v"), cursor)
        # SCAN gives a key twice only while the server's hash table changes its size; to remember all keys would take
        # more memory than the exact number is worth.
        entries += sum(key.startswith(hashes) for key in found)
    return entries


def _results(state: StoreState, reply: object) -> int:
    """How many results a search has. Raises StoreError."""
    match state.value(reply):
        case [int(results), *_]:
            return results
    raise unreadable(state.where, "FT.SEARCH")


def sample(state: StoreState, n: int, tenant: str | None = None) -> Operation[list[StoredEntry]]:
    """At most n whole entries, of one tenant or (None) of all, in the order of the server's hash table.

    The order is arbitrary, but not random. Entries that are not whole or damaged are left out.
    """
    if n < 1:
        raise InvalidInputError(f"a sample has at least 1 entry, got {n}")
    entries: dict[str, StoredEntry] = {}  # by id, since SCAN may give a key twice
    for family, tail in state.layout.keys.families(tenant):
        cursor: int | None = 0
        while cursor is not None and len(entries) < n:
            cursor, found = yield from scan(state, family.scores + tail, cursor)
            # What is not whole is passed over, so that a page may have to be read to its end.
            for group in in_groups(found, min(max(n, _LEAST_READ), _MOST_READ)):
                if len(entries) < n:
                    whole = yield from _read_whole(state, family, group)
                    entries |= {entry.id: entry for entry in whole}
    return list(entries.values())[:n]


def _read_whole(state: StoreState, family: KeyFamily, keys: Sequence[bytes]) -> Operation[list[StoredEntry]]:
    """The entries under these keys of scores, in one round trip."""
    if not keys:
        return []
    commands = [command for key in keys for command in (read_scores(key), ("HGETALL", family.vector_beside(key)))]
    replies = yield commands
    entries = []
    damages: list[Damage] = []
    for key, blob, flat in zip(keys, replies[::2], replies[1::2], strict=True):
        scores = unpack_scores(state, key, blob, damages)
        found = unpack_hash(state, family, family.vector_beside(key), flat, damages)
        if scores is not None and found is not None:
            fields, vector = found
            documents = {name: score for name, score in scores.items() if not is_settled_mark(name)}
            entries.append(
                StoredEntry(entry_id_in(key), vector, documents, fields.created_at, fields.query, fields.cues)
            )
    yield from discard(state, damages)
    return entries
