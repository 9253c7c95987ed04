"""Reads what stands under the keys of entries; what cannot be used is reported and removed, and so written anew."""

from collections.abc import Sequence
from typing import NamedTuple

from redis.exceptions import ResponseError

from semcache.causes import cause_of
from semcache.entries import codec, fields
from semcache.entries.checks import Damaged
from semcache.entries.codec import PackedScores
from semcache.entries.fields import Fields
from semcache.errors import StoreError
from semcache.events import CacheFailed, EntryDamaged
from semcache.protocols import FloatArray
from semcache.redis.client.commands import Command, Reconnect, script
from semcache.redis.keys import KeyFamily, entry_id_in
from semcache.redis.operation import Operation, StoreState, run_script

# As bytes, which take less time to send than numbers.
_LAST = b"%d" % codec.MAX_BYTES


class Damage(NamedTuple):
    """A key whose value cannot be used, and what was read of it: scores, or the check of a hash.

    Without a key a reply of the server could not be read at all.
    """

    key: bytes
    seen: bytes
    is_hash: bool
    fault: str


def read_scores(key: bytes) -> Command:
    """The command that reads the scores of an entry. Of what is too long for one only the beginning is read."""
    return ("GETRANGE", key, b"0", _LAST)


def unpack_scores(state: StoreState, key: bytes, reply: object, damages: list[Damage]) -> PackedScores | None:
    """The scores in a reply to ``read_scores``; None if there are none, or for damage, which is added to ``damages``.

    Raises StoreError when the reply is an error of the server.
    """
    blob = reply if isinstance(reply, bytes) else b""
    try:
        if blob is not reply:
            raise _unreadable(state, reply)
        return codec.unpack(key, blob, state.layout.signing_key)
    except Damaged as damaged:
        damages.append(Damage(key, blob, False, damaged.fault))
        return None


def unpack_hash(
    state: StoreState, family: KeyFamily, key: bytes, reply: object, damages: list[Damage]
) -> tuple[Fields, FloatArray] | None:
    """The fields and the vector in a reply to HGETALL; for the rest see ``unpack_scores``."""
    values: dict[bytes, bytes] = {}
    try:
        if not isinstance(reply, list) or len(reply) % 2 or not all(isinstance(part, bytes) for part in reply):
            raise _unreadable(state, reply)
        if not reply:
            return None
        values = dict(zip(reply[::2], reply[1::2], strict=True))
        found = fields.unpack(key, values, family.tag_in(key), state.layout.signing_key)
        return found, state.layout.vectors.unpack(found.vector)
    except Damaged as damaged:
        damages.append(Damage(key, values.get(b"check", b""), True, damaged.fault))
        return None


def _unreadable(state: StoreState, reply: object) -> Damaged:
    """The damage that a reply of another type shows. Raises StoreError for other errors of the server."""
    if isinstance(reply, ResponseError) and str(reply).startswith("WRONGTYPE"):
        return Damaged("layout")
    state.value(reply)
    return Damaged("reply")


def discard(state: StoreState, damages: Sequence[Damage]) -> Operation[None]:
    """Tell observers, and remove the keys; costs round trips only where there is damage."""
    if not damages:
        return
    for damage in damages:
        entry = entry_id_in(damage.key) if damage.key else ""
        state.on_event(EntryDamaged(entry, "vector" if damage.is_hash else "scores", damage.fault))
    remove = script("discard")
    # Only keys of this store, since the server's reply that named a key may have been damaged itself.
    calls = [
        remove.by_digest((damage.key,), damage.seen, int(damage.is_hash))
        for damage in damages
        if damage.fault != "reply" and damage.key.startswith(f"{state.layout.keys.base}:".encode())
    ]
    try:
        # The bytes may also be the reply to another command. Then the key itself is sound, and stays.
        yield Reconnect()
        if calls:
            yield from run_script(state.where, "discard", calls)
    except StoreError as error:  # the reader can go on
        state.on_event(CacheFailed("Discard", cause_of(error)))


def remove_halves(state: StoreState, family: KeyFamily, vector_keys: Sequence[bytes]) -> Operation[None]:
    """Remove the hashes under these keys whose scores are not there; a round trip only where there are any keys.

    A server that is full evicts one key of an entry and keeps the other. Such hashes are found by searches and hide
    entries that have scores; under LFU and random eviction they pile up.
    """
    if not vector_keys:
        return
    remove = script("remove_half")
    calls = [remove.by_digest((key, family.scores_beside(key))) for key in vector_keys]
    try:
        yield from run_script(state.where, "remove_half", calls)
    except StoreError as error:  # the reader can go on
        state.on_event(CacheFailed("Discard", cause_of(error)))
