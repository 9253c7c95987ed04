"""Writes entries and adds scores to them."""

from collections.abc import Mapping, Sequence
from functools import partial

from semcache.entries import codec
from semcache.entries.entry import NewScores
from semcache.entries.fields import Fields
from semcache.flow.steps import Lease
from semcache.protocols import FloatArray
from semcache.redis.client.commands import Command, script
from semcache.redis.damage import Damage, discard, read_scores
from semcache.redis.ensure import ensure_index
from semcache.redis.lease import lease_key
from semcache.redis.operation import INDEXED_AT_ONCE, Operation, StoreState, in_groups, packed_vector, run_script
from semcache.redis.rewriting import ATTEMPTS, Change, EntryKeys, rewrite_once, too_busy

_FEW = 15
"""Scores in a block that counts as small. A block more costs a read 0.7 us, as much as 24 scores, signed 1.2 us."""
_TIDY_BYTES = 64 * codec.RECORD_BYTES
"""A small block that makes an entry grow beyond a multiple of this has all blocks made one: every fourth at most, and
after 45 of a single score. Two more round trips, after the answer."""

_SPARE = 8
"""One in so many scores of a full entry is left free when room is made."""


def remember(
    state: StoreState,
    tenant: str,
    query: str,
    vector: FloatArray | None,
    scores: Sequence[tuple[bytes, float]],
    *,
    cues: bytes = b"",
    ttl_s: float | None = None,
    lease: Lease | None = None,
) -> Operation[bool]:
    """Store scores as (document fingerprint, score), in one round trip; scores that the entry has already stay.

    A new entry lives ``ttl_s`` seconds (None: as the store is set up); an entry that exists keeps its end. Without a
    vector the entry can be read exactly, but is never found as a neighbour. A ``lease`` of this process ends with it.
    False when there were no scores to store.

    Example:
        store.remember("", "how far is the moon", vector, [(document_fingerprint(text), 9.2)], ttl_s=60)
    """
    new = NewScores(query, vector, scores, cues)
    (is_stored,) = yield from remember_many(state, tenant, (new,), ttl_s=ttl_s, lease=lease)
    return is_stored


def remember_many(
    state: StoreState,
    tenant: str,
    new: Sequence[NewScores],
    *,
    ttl_s: float | None = None,
    lease: Lease | None = None,
) -> Operation[list[bool]]:
    """``remember`` for several queries, in one round trip for every ten; a ``lease`` is that of a single one."""
    calls = {place: _call(state, tenant, entry, ttl_s, lease) for place, entry in enumerate(new) if entry.scores}
    is_stored = [False] * len(new)
    if calls:
        # Before the first write, so that the server need not go through all keys to index it afterwards. Scores alone
        # are in no index.
        if any(entry.vector is not None for entry in new):
            yield from ensure_index(state, tenant)
        lengths: list[object] = []
        for group in in_groups(list(calls.values()), INDEXED_AT_ONCE):
            lengths += yield from run_script(state.where, "remember", group)
        for place, length in zip(calls, lengths, strict=True):
            is_stored[place] = yield from _settle(state, tenant, new[place], calls[place], length)
    return is_stored


def _call(state: StoreState, tenant: str, new: NewScores, ttl_s: float | None, lease: Lease | None) -> Command:
    """The call of remember.lua, which explains its arguments."""
    layout = state.layout
    keys = EntryKeys(layout.keys.vector(tenant, new.query), layout.keys.scores(tenant, new.query))
    # Without a vector there is no hash, or the index would hold an entry that KNN cannot find.
    vector = None if new.vector is None else packed_vector(state, new.vector)
    fields: list[bytes] = []
    if vector is not None:
        query = new.query if layout.store_queries else None
        fields = Fields(vector, layout.keys.tag(tenant), state.clock(), new.cues, query).pack(
            keys.vector, layout.signing_key
        )
    return script("remember").by_digest(
        keys if lease is None else (*keys, lease_key(state, lease)),
        codec.pack(keys.scores, new.scores[: layout.max_scores], layout.signing_key),
        int(layout.listwise),
        codec.bytes_of(layout.max_scores, layout.signing_key),
        layout.lifetime.draw_ms(ttl_s, state.rng),
        b"" if lease is None else lease.token,
        *fields,
    )


def _settle(state: StoreState, tenant: str, new: NewScores, call: Command, length: object) -> Operation[bool]:
    """Whether the scores were stored, by the length of the entry that remember.lua gave; makes room where it is full.

    Many small blocks are made one: each costs bytes, and time with every read.
    """
    if not isinstance(length, int):
        yield from discard(state, [Damage(b"", b"", False, "reply")])
        return False
    layout = state.layout
    keys = EntryKeys(layout.keys.vector(tenant, new.query), layout.keys.scores(tenant, new.query))
    added, most = dict(new.scores[: layout.max_scores]), layout.max_scores
    if length == 0:
        # Not to the brim, or every later write would find the entry full, and rewrite it.
        kept = max(len(added), most - most // _SPARE)
        return (yield from _make_room(state, keys, call, partial(_newest, added, kept)))
    before = length - codec.bytes_of(len(new.scores), layout.signing_key)
    if before > 0 and len(new.scores) <= _FEW and before // _TIDY_BYTES != length // _TIDY_BYTES:
        # Once: the scores are stored, and another process that writes at this moment will tidy up another time.
        yield from rewrite_once(state, [keys], _read, partial(_newest, added, most))
    return True


def _make_room(state: StoreState, keys: EntryKeys, call: Command, newest: Change) -> Operation[bool]:
    """Store scores for which the entry has no room, in the place of its oldest ones."""
    for _ in range(ATTEMPTS):
        if (yield from rewrite_once(state, [keys], _read, newest)).changed:
            return True
        # Another process was faster, and mostly there is room now; or the entry has expired, or was damaged.
        (length,) = yield from run_script(state.where, "remember", [call])
        if length:
            return True
    raise too_busy(state)


def _newest(added: Mapping[bytes, float], most: int, known: Mapping[bytes, float]) -> Mapping[bytes, float]:
    """The scores of an entry with those that are added; without the oldest of them, where they are too many."""
    others = {document: score for document, score in known.items() if document not in added}
    return dict(list({**others, **added}.items())[-most:])


def _read(keys: EntryKeys) -> Command:
    return read_scores(keys.scores)
