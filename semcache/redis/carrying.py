"""Moves entries from the scope of a former embedder into that of the present one.

The keys of an entry differ by the scope alone, so tenants need not be known, and both keys lie in one slot of a Redis
Cluster. An entry is read in both scopes, its text is embedded by the caller, and ``carry.lua`` writes what is missing
here, unless the entry was changed there since.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from semcache.entries import codec
from semcache.entries.entry import Scores
from semcache.entries.fields import Fields
from semcache.protocols import FloatArray
from semcache.redis.client.commands import Command, script
from semcache.redis.client.failures import is_missing_index
from semcache.redis.damage import Damage, discard, read_scores, unpack_hash, unpack_scores
from semcache.redis.ensure import ensure_index
from semcache.redis.keys import KeyFamily
from semcache.redis.operation import Operation, StoreState, packed_vector, run_script, scan
from semcache.redis.rewriting import EntryKeys
from semcache.redis.source import Source

_STATISTICS = re.compile(b"[qzl](:|$)")
"""Behind the beginning of a key; a second part names the cheap reranker of a cascade."""


class Former(NamedTuple):
    """An entry of the former scope, and what of it is missing here.

    ``there`` is the key of its scores, ``blob`` the bytes under it. ``fields`` are those of its hash, None without one,
    as for queries that have no vector; ``vector`` is that of the former embedder.
    """

    there: bytes
    keys: EntryKeys
    blob: bytes
    missing: tuple[tuple[bytes, float], ...]
    fields: Fields | None
    vector: FloatArray | None
    has_vector: bool

    @property
    def needs_vector(self) -> bool:
        """Whether it could be found as a neighbour there, and cannot be here."""
        return self.fields is not None and not self.has_vector

    @property
    def is_moved(self) -> bool:
        """Whether nothing of it is missing here."""
        return not self.missing and not self.needs_vector


def former_names(state: StoreState, source: Source, cursor: int) -> Operation[tuple[int | None, list[bytes]]]:
    """A page of all keys of the former scope, and the cursor of the next page, None after the last.

    Statistics of reuse and pruning belong to the embedder, so those of one that stays are left out.
    """
    base = f"{source.state.layout.keys.base}:".encode()
    following, found = yield from scan(state, base, cursor)
    return following, [
        key for key in found if not source.shares_vectors or not _STATISTICS.match(key.removeprefix(base))
    ]


def former_keys(state: StoreState, source: Source, cursor: int) -> Operation[tuple[int | None, list[bytes]]]:
    """``former_names``, but the keys of scores alone."""
    keys = source.state.layout.keys
    following, found = yield from former_names(state, source, cursor)
    return following, [key for key in found if key.startswith((keys.plain.scores, keys.named.scores))]


def drop_former_indexes(state: StoreState, source: Source) -> Operation[None]:
    """Drop the indexes of the former scope, so that the server need not take every vector out of a graph."""
    names = [family.index for family, _ in source.state.layout.keys.families(None)]
    for reply in (yield [("FT.DROPINDEX", name) for name in names]):
        if not is_missing_index(reply):
            state.value(reply)


def remove_former(state: StoreState, keys: Sequence[bytes]) -> Operation[int]:
    """Remove keys; how many were there."""
    (removed,) = yield [("UNLINK", *keys)]
    return int(state.value(removed))


def read_former(state: StoreState, source: Source, there: Sequence[bytes]) -> Operation[list[Former]]:
    """The entries with these keys of scores that are still there and sound, in one round trip."""
    families = [_families(state, source, key) for key in there]
    commands: list[Command] = []
    places = []
    for key, (former, present) in zip(there, families, strict=True):
        scores = present.scores + key[len(former.scores) :]
        keys = EntryKeys(present.vector_beside(scores), scores)
        places.append(keys)
        vector = former.vector_beside(key)
        commands += [read_scores(key), ("HGETALL", vector), read_scores(keys.scores), ("HGET", keys.vector, "check")]
    replies = (yield commands) if commands else []
    entries = []
    damages: list[Damage] = []
    former_damages: list[Damage] = []
    for place, (key, keys, (former, _)) in enumerate(zip(there, places, families, strict=True)):
        blob, flat, own_blob, check = replies[4 * place : 4 * place + 4]
        theirs = unpack_scores(source.state, key, blob, former_damages)
        found = unpack_hash(source.state, former, former.vector_beside(key), flat, former_damages)
        ours = unpack_scores(state, keys.scores, own_blob, damages)
        if theirs is not None:
            fields, own = found or (None, None)
            missing = _missing(state, ours, theirs)
            has_vector = state.value(check) is not None
            entries.append(Former(key, keys, blob, missing, fields, own, has_vector))
    yield from discard(source.state, former_damages)
    yield from discard(state, damages)
    return entries


def carry(state: StoreState, entries: Sequence[Former], vectors: Sequence[FloatArray | None]) -> Operation[list[bool]]:
    """Write what is missing of entries, each with its vector of the present embedder if there is one.

    Whether each was written; False for one that was changed or removed since it was read. One round trip.
    """
    named = state.layout.keys.named.scores
    for is_named in {entry.keys.scores.startswith(named) for entry in entries}:
        yield from ensure_index(state, "of any name" if is_named else "")
    calls = [_call(state, entry, vector) for entry, vector in zip(entries, vectors, strict=True)]
    replies = (yield from run_script(state.where, "carry", calls)) if calls else []
    return [reply == 1 for reply in replies]


def _families(state: StoreState, source: Source, key: bytes) -> tuple[KeyFamily, KeyFamily]:
    """The families that an entry belongs to, there and here."""
    former, present = source.state.layout.keys, state.layout.keys
    if key.startswith(former.plain.scores):
        return former.plain, present.plain
    return former.named, present.named


def _missing(state: StoreState, ours: Scores | None, theirs: Scores) -> tuple[tuple[bytes, float], ...]:
    if ours is None:
        return tuple(theirs.items())
    if state.layout.listwise:
        return ()  # an order replaces another one as a whole, and ours is the later one
    room = state.layout.max_scores - len(ours)
    return tuple((document, score) for document, score in theirs.items() if document not in ours)[: max(0, room)]


def _call(state: StoreState, entry: Former, vector: FloatArray | None) -> Command:
    """The call of carry.lua, which explains its arguments."""
    layout = state.layout
    packed = None if vector is None or entry.fields is None else packed_vector(state, vector)
    fields: list[bytes] = []
    if packed is not None and entry.fields is not None:
        former = entry.fields
        query = former.query if layout.store_queries else None
        fields = Fields(packed, former.tenant, former.created_at, former.cues, query).pack(
            entry.keys.vector, layout.signing_key
        )
    block = codec.pack(entry.keys.scores, entry.missing, layout.signing_key) if entry.missing else b""
    return script("carry").by_digest(
        (entry.there, *entry.keys),
        entry.blob,
        block,
        int(layout.listwise),
        codec.bytes_of(layout.max_scores, layout.signing_key),
        *fields,
    )
