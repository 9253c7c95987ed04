"""Keeps how much better than the other candidates documents scored for earlier queries, for all processes.

All of a tenant's documents share a hash, one for each period of the time to live. What was learned in the period before
counts half, and what was learned before that is gone with its hash.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from semcache.pruning.earlier import effects
from semcache.pruning.features import Floats
from semcache.redis.client.commands import Command, script
from semcache.redis.operation import Operation, StoreState, run_script

_DAY_S = 86_400.0
"""The period of entries without a time to live: a corpus changes, and what documents scored months ago says little."""


@dataclass(frozen=True, slots=True, eq=False)
class Taught:
    """How much better than the others documents scored for one query, of this entry id, in its standard deviations."""

    query_id: str
    fingerprints: Sequence[bytes]
    differences: Floats


def read_earlier(
    state: StoreState, tenant: str, query_id: str, fingerprints: Sequence[bytes]
) -> Operation[Floats | None]:
    """How much better than the others a tenant's documents scored for queries other than this one.

    One value per document, in standard deviations of a request, nan where nothing is known. None without any, and
    where this query, named by its entry id, is one of those queries. One round trip.
    """
    (reply,) = yield from run_script(state.where, "read_earlier", [reading(state, tenant, fingerprints, query_id)])
    return read_in(reply, len(fingerprints))


def reading(state: StoreState, tenant: str, fingerprints: Sequence[bytes], query_id: str = "") -> Command:
    """The command that reads it, whose reply is for ``read_in``. Without a query id, no query is left out."""
    return script("read_earlier").by_digest(_keys(state, tenant), b"".join(fingerprints), query_id.encode())


def read_in(reply: object, documents: int) -> Floats | None:
    """The values in a reply about so many documents, as ``read_earlier`` gives them; None if it cannot be read."""
    if not isinstance(reply, bytes) or len(reply) != 8 * documents:
        return None
    sums, counts = np.frombuffer(reply, dtype="<f4").reshape(documents, 2).T.astype(float)
    return effects(sums, counts)


def add_earlier(state: StoreState, tenant: str, taught: Sequence[Taught], most: int) -> Operation[bool]:
    """Add what queries of one tenant taught. False where ``most`` documents are known already, of all tenants.

    Three round trips. A query that was added before, in this period or in the last one, changes nothing.
    """
    counts, field = state.layout.keys.document_counts, f"e{_period(state)}"
    (count,) = yield [("HGET", counts, field)]
    # Half in each of the two periods that live. A damaged count is none.
    known = state.value(count)
    if known is not None and (not known.isdigit() or int(known) >= max(1, most // 2)):
        return False
    keys, life_ms = _keys(state, tenant), round(3000 * _period_s(state))
    calls = [
        script("add_earlier").by_digest(
            keys, life_ms, one.query_id.encode(), b"".join(one.fingerprints), one.differences.astype("<f4").tobytes()
        )
        for one in taught
    ]
    added = yield from run_script(state.where, "add_earlier", calls)
    # The counts live for three periods after the last of them: none that is older than four can be left.
    former = (f"e{_period(state) - before}" for before in (2, 3, 4))
    commands: list[Command] = [("HINCRBY", counts, field, sum(added)), ("HDEL", counts, *former)]
    if state.layout.lifetime.ttl_s is not None:
        commands.append(("PEXPIRE", counts, life_ms))
    for reply in (yield commands):
        state.value(reply)
    return True


def _keys(state: StoreState, tenant: str) -> tuple[bytes, bytes]:
    """The hashes of the present period and of the one before."""
    period, prefix = _period(state), state.layout.keys.earlier(tenant)
    return prefix + b"%d" % period, prefix + b"%d" % (period - 1)


def _period(state: StoreState) -> int:
    return int(state.clock() / _period_s(state))


def _period_s(state: StoreState) -> float:
    ttl_s = state.layout.lifetime.ttl_s
    return _DAY_S if ttl_s is None else ttl_s
