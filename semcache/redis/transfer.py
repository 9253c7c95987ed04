"""Reads whole entries as bytes and stores them elsewhere: in another Redis, a cluster, or another namespace.

The check over each part of an entry is of the key that it stands under, so it is verified with the key that the entry
had, and made anew for the key that it gets.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from semcache.entries import codec, fields
from semcache.entries.checks import Damaged
from semcache.entries.codec import PackedScores
from semcache.entries.fields import Fields
from semcache.redis.client.commands import Command, script
from semcache.redis.damage import Damage, read_scores, unpack_hash, unpack_scores
from semcache.redis.ensure import ensure_index
from semcache.redis.keys import KeyFamily, KeySpace, entry_id_in
from semcache.redis.layout import VectorFormat
from semcache.redis.operation import INDEXED_AT_ONCE, Operation, StoreState, in_groups, run_script, scan


@dataclass(frozen=True, slots=True)
class RawEntry:
    """An entry as it is stored. ``tag`` stands for its tenant, and is empty for the default one.

    ``values`` are those of its hash, by field; empty for an entry without a vector. ``left_ms`` are the milliseconds
    until it expires, None if it does not.
    """

    id: str
    tag: str
    scores: bytes
    values: Mapping[bytes, bytes]
    left_ms: int | None

    def family(self, keys: KeySpace) -> KeyFamily:
        """The family that its keys belong to."""
        return keys.named if self.tag else keys.plain

    def tail(self, keys: KeySpace) -> bytes:
        """The part of both of its keys after their beginning."""
        return keys.tail(self.tag, self.id)


@dataclass(frozen=True, slots=True)
class Checked:
    """The content of an entry whose checks were right."""

    scores: PackedScores
    fields: Fields | None

    def with_vectors(self, before: VectorFormat, after: VectorFormat) -> "Checked":
        """The same with its vector in another format."""
        blob = None if self.fields is None or before == after else after.pack(before.unpack(self.fields.vector))
        if self.fields is None or blob is None:
            return self
        return replace(self, fields=replace(self.fields, vector=blob))


def checked(entry: RawEntry, keys: KeySpace, vectors: VectorFormat, signing_key: bytes) -> Checked:
    """The content of an entry that stood under these keys. Raises Damaged."""
    family = entry.family(keys)
    scores = codec.unpack(family.scores + entry.tail(keys), entry.scores, signing_key)
    if scores is None:
        raise Damaged("layout")
    if not entry.values:
        return Checked(scores, None)
    found = fields.unpack(family.vectors + entry.tail(keys), entry.values, entry.tag.encode(), signing_key)
    vectors.unpack(found.vector)
    return Checked(scores, found)


def entry_keys(
    state: StoreState, family: KeyFamily, tail: bytes, cursor: int
) -> Operation[tuple[int | None, list[bytes]]]:
    """A page of the keys of scores, of those that begin with ``tail``, and the cursor of the next; None at the end."""
    return (yield from scan(state, family.scores + tail, cursor))


def read_raw(state: StoreState, family: KeyFamily, scores_keys: Sequence[bytes]) -> Operation[list[RawEntry | None]]:
    """The entries with these keys of scores, None for one that expired meanwhile or is damaged. One round trip."""
    commands: list[Command] = []
    for key in scores_keys:
        commands += [read_scores(key), ("HGETALL", family.vector_beside(key)), ("PTTL", key)]
    replies = (yield commands) if commands else []
    entries: list[RawEntry | None] = []
    for place, key in enumerate(scores_keys):
        blob, flat, left = replies[3 * place : 3 * place + 3]
        damages: list[Damage] = []
        is_there = unpack_scores(state, key, blob, damages) is not None
        unpack_hash(state, family, family.vector_beside(key), flat, damages)
        left_ms = int(state.value(left))
        if not is_there or damages or left_ms == -2:
            entries.append(None)
            continue
        values = dict(zip(flat[::2], flat[1::2], strict=True))
        tag = family.tag_in(family.vector_beside(key)).decode()
        entries.append(RawEntry(entry_id_in(key), tag, blob, values, None if left_ms == -1 else left_ms))
    return entries


def store_raw(state: StoreState, entries: Sequence[tuple[RawEntry, Checked]]) -> Operation[int]:
    """Store entries that are not there yet; how many were. Each is stored whole or not at all.

    One round trip, and one more for every ten that are stored.
    An entry that is there stays as it is, so the same ones can be stored again.
    """
    keys = state.layout.keys
    # One index is for all named tenants, whichever one is given.
    for tenant in {"named" if entry.tag else "" for entry, found in entries if found.fields is not None}:
        yield from ensure_index(state, tenant)
    families = [(entry.family(keys), entry.tail(keys)) for entry, _ in entries]
    owners = [(family.vectors + tail, family.scores + tail) for family, tail in families]
    replies = (yield [("GETRANGE", scores_key, 0, 0) for _, scores_key in owners]) if entries else []
    calls: list[Command] = []
    for (entry, found), owner, reply in zip(entries, owners, replies, strict=True):
        if not state.value(reply):
            calls.append(_call(state, entry, found, *owner))
    for group in in_groups(calls, INDEXED_AT_ONCE):
        yield from run_script(state.where, "remember", group)
    return len(calls)


def _call(state: StoreState, entry: RawEntry, found: Checked, vector_key: bytes, scores_key: bytes) -> Command:
    """The call of remember.lua, which explains its arguments."""
    layout = state.layout
    block = codec.pack(scores_key, found.scores.items(), layout.signing_key)
    packed = [] if found.fields is None else found.fields.pack(vector_key, layout.signing_key)
    return script("remember").by_digest(
        (vector_key, scores_key), block, int(layout.listwise), codec.MAX_BYTES, entry.left_ms or 0, b"", *packed
    )
