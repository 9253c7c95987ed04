"""Looks at entries and changes nothing: no index is made, nothing damaged is removed, no life gets longer."""

from dataclasses import dataclass
from math import inf

from semcache.entries.codec import PackedScores
from semcache.entries.entry import Neighbour
from semcache.entries.fields import Fields
from semcache.protocols import FloatArray
from semcache.redis.client.commands import Command
from semcache.redis.client.failures import is_missing_index
from semcache.redis.damage import Damage, read_scores, unpack_hash, unpack_scores
from semcache.redis.keys import KeyFamily, entry_id_in
from semcache.redis.operation import Operation, StoreState
from semcache.redis.search import hits_in, knn_command

_EF = 200
"""Candidates that a search keeps: more than a request's, since a person waits longer, and wants to see the nearest."""


@dataclass(frozen=True, slots=True)
class Seen:
    """An entry as it lies there. ``fields`` and ``vector`` are None where it is found by its exact query only.

    ``scores`` is None where there are none, and then it is a miss. ``left_s`` are the seconds until it expires,
    infinite if it does not. ``damage`` says what of it cannot be used, and is empty where all can.
    """

    id: str
    scores: PackedScores | None
    fields: Fields | None
    vector: FloatArray | None
    left_s: float
    damage: str = ""

    def neighbour(self, similarity: float) -> Neighbour | None:
        """The entry as a search finds it; None for one that it leaves out."""
        if self.scores is None or self.fields is None:
            return None
        fields = self.fields
        return Neighbour(self.id, similarity, self.scores, fields.created_at, fields.query, fields.cues, self.vector)


def look(state: StoreState, tenant: str, query: str) -> Operation[Seen | None]:
    """The entry of exactly this query; None where there is none. One round trip."""
    keys = state.layout.keys
    (seen,) = yield from _read(state, keys.family(tenant), [keys.vector(tenant, query)])
    return None if seen.scores is None and seen.fields is None and not seen.damage else seen


def look_near(state: StoreState, tenant: str, vector: FloatArray, k: int) -> Operation[list[tuple[float, Seen]]]:
    """At most k entries with their similarities, nearest first, also what cannot be used. Two round trips."""
    layout = state.layout
    family, blob = layout.keys.family(tenant), layout.vectors.pack(vector)
    if blob is None:
        return []
    knn = knn_command(
        family.index,
        k,
        layout.attributes["datatype"],
        layout.vectors.dims,
        is_named=tenant != "",
        ef=None if tenant else _EF,
        policy=None,
    )
    (reply,) = yield [knn.near(tenant, blob)]
    if is_missing_index(reply):
        return []
    damages: list[Damage] = []
    hits = hits_in(state.value(reply), layout, tenant, vector, -1.0, damages, [])
    keys = [hit.key for hit in hits if hit is not None]
    # What the search could not read is of interest, too.
    keys += [damage.key for damage in damages if damage.key.startswith(layout.keys.start(tenant))]
    entries = yield from _read(state, family, keys)
    near = [(-1.0 if seen.vector is None else float(seen.vector @ vector), seen) for seen in entries]
    return sorted(near, key=lambda pair: -pair[0])


def _read(state: StoreState, family: KeyFamily, vector_keys: list[bytes]) -> Operation[list[Seen]]:
    """The entries whose hashes have these keys, in one round trip."""
    commands: list[Command] = []
    for key in vector_keys:
        scores_key = family.scores_beside(key)
        commands += [read_scores(scores_key), ("HGETALL", key), ("PTTL", scores_key)]
    replies = (yield commands) if commands else []
    entries = []
    for place, key in enumerate(vector_keys):
        blob, flat, left_ms = replies[3 * place : 3 * place + 3]
        damages: list[Damage] = []
        scores = unpack_scores(state, family.scores_beside(key), blob, damages)
        found = unpack_hash(state, family, key, flat, damages)
        fields, vector = (None, None) if found is None else found
        left = int(state.value(left_ms))
        damage = ", ".join(f"{'vector' if each.is_hash else 'scores'}: {each.fault}" for each in damages)
        entries.append(Seen(entry_id_in(key), scores, fields, vector, inf if left == -1 else left / 1000, damage))
    return entries
