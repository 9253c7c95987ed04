"""Writes entries and adds scores to them."""

from collections.abc import Sequence

from semcache.entries import codec
from semcache.entries.entry import NewScores
from semcache.entries.fingerprint import tenant_tag
from semcache.protocols import FloatArray
from semcache.redis.client.commands import Command, script
from semcache.redis.ensure import ensure_index
from semcache.redis.operation import Operation, StoreState, run_script


def remember(
    state: StoreState,
    tenant: str,
    query: str,
    vector: FloatArray | None,
    scores: Sequence[tuple[bytes, float]],
    *,
    cues: bytes = b"",
    ttl_s: float | None = None,
) -> Operation[bool]:
    """Store scores as (document fingerprint, score), in one round trip; scores that the entry has already stay.

    A new entry lives ``ttl_s`` seconds (None: as the store is set up); an entry that exists keeps its end. Without a
    vector the entry can be read exactly, but is never found as a neighbour. False when there were no scores to store.

    Example:
        store.remember("", "how far is the moon", vector, [(document_fingerprint(text), 9.2)], ttl_s=60)
    """
    new = NewScores(query, vector, scores, cues)
    (is_stored,) = yield from remember_many(state, tenant, (new,), ttl_s=ttl_s)
    return is_stored


def remember_many(
    state: StoreState, tenant: str, new: Sequence[NewScores], *, ttl_s: float | None = None
) -> Operation[list[bool]]:
    """``remember`` for several queries in one round trip."""
    calls = [_call(state, tenant, entry, ttl_s) for entry in new if entry.scores]
    if calls:
        # Before the first write, so that the server need not go through all keys to index it afterwards. Scores alone
        # are in no index.
        if any(entry.vector is not None for entry in new):
            yield from ensure_index(state, tenant)
        replies = iter((yield from run_script(state.where, "remember", calls)))
    return [bool(entry.scores) and next(replies) == 1 for entry in new]


def _call(state: StoreState, tenant: str, new: NewScores, ttl_s: float | None) -> Command:
    """The call of remember.lua, which explains its arguments."""
    layout = state.layout
    # Names and values of the hash in turn. Without a vector there is no hash, or the index would hold an entry that
    # KNN cannot find.
    fields: list[bytes] = []
    if new.vector is not None:
        fields += (b"embedding", layout.vectors.pack(new.vector), b"created_at", repr(state.clock()).encode())
        if tenant:
            fields += (b"tenant", tenant_tag(tenant).encode())
        if new.cues:
            fields += (b"cues", new.cues)
        if layout.store_queries:
            fields += (b"query", new.query.encode("utf-8", "surrogatepass"))
    return script("remember").by_digest(
        (layout.keys.vector(tenant, new.query), layout.keys.scores(tenant, new.query)),
        codec.pack(new.scores[: layout.max_scores]),
        codec.VERSION,
        int(layout.listwise),
        layout.max_scores * codec.RECORD_BYTES,
        layout.lifetime.draw_ms(ttl_s, state.rng),
        *fields,
    )
