"""Keeps vectors of documents, which tell how near each is to a query: a bounded number, as long as entries live."""

from collections.abc import Sequence

import numpy as np

from semcache.protocols import FloatArray
from semcache.redis.operation import Operation, StoreState

_TYPE = "<f2"
"""Half precision: cosines are off by 0.0003 at most, far less than what the surrogate can tell apart, at half the size.
With key and overhead a vector of 384 dims takes 1 KB of Redis' memory."""
_ONLY = 0
"""The period of vectors without a time to live."""


def read_document_vectors(
    state: StoreState, tenant: str, fingerprints: Sequence[bytes]
) -> Operation[FloatArray | None]:
    """The kept vectors of a tenant's documents as unit rows, nan where there is none; None without any.

    One round trip.
    """
    dims = state.layout.vectors.dims
    rows = np.full((len(fingerprints), dims), np.nan, dtype=np.float32)
    keys = [state.layout.keys.document(tenant, fingerprint) for fingerprint in fingerprints]
    if not keys:
        return None
    # Not more than a vector has, whatever lies under the key.
    replies = yield [("GETRANGE", key, 0, 2 * dims) for key in keys]
    for row, reply in zip(rows, replies, strict=True):
        blob = state.value(reply)
        if isinstance(blob, bytes) and len(blob) == 2 * dims:
            row[:] = np.frombuffer(blob, dtype=_TYPE)
    # A damaged one has no length that could be divided by, and counts as none.
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    rows[~np.isfinite(rows).all(axis=1)] = np.nan
    return None if np.isnan(rows[:, 0]).all() else rows


def keep_document_vectors(
    state: StoreState, tenant: str, fingerprints: Sequence[bytes], vectors: FloatArray, most: int
) -> Operation[bool]:
    """Keep vectors of a tenant's documents, one row each. False where ``most`` are kept already, of all tenants.

    Two round trips.
    """
    lifetime, counts = state.layout.lifetime, state.layout.keys.document_counts
    # Counted by periods of the time to live: a vector lives in the one that it was written in and in the next.
    period = _ONLY if lifetime.ttl_s is None else int(state.clock() / lifetime.ttl_s)
    allowed = most if lifetime.ttl_s is None else max(1, most // 2)
    count = yield [("HINCRBY", counts, period, len(fingerprints))]
    if state.value(count[0]) > allowed:
        state.value((yield [("HINCRBY", counts, period, -len(fingerprints))])[0])
        return False
    commands: list[tuple[bytes | str | int | float, ...]] = []
    for fingerprint, vector in zip(fingerprints, vectors, strict=True):
        life_ms = lifetime.draw_ms(None, state.rng)
        expiry: tuple[str | int, ...] = ("PX", life_ms) if life_ms else ()
        key = state.layout.keys.document(tenant, fingerprint)
        commands.append(("SET", key, vector.astype(_TYPE).tobytes(), *expiry))
    if lifetime.ttl_s is not None:
        # The counts live for three periods after the last of them: none that is older than four can be left.
        commands.append(("HDEL", counts, *(period - before for before in (2, 3, 4))))
        commands.append(("PEXPIRE", counts, round(3000 * lifetime.ttl_s)))
    for reply in (yield commands):
        state.value(reply)
    return True
