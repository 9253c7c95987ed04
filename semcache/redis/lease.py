"""Keeps the leases of requests that are being computed: a key each, with the token of the process that computes."""

from collections.abc import Sequence

from semcache.entries.entry import Scores
from semcache.flow.steps import Lease
from semcache.redis.client.commands import Command, script
from semcache.redis.damage import Damage, discard, read_scores, unpack_scores
from semcache.redis.operation import Operation, StoreState, run_script
from semcache.redis.source import former_scores, joined


def claiming(state: StoreState, lease: Lease) -> Command:
    """The command that claims a lease, whose reply is for ``claimed``."""
    return ("SET", lease_key(state, lease), lease.token, "NX", "PX", _life_ms(lease))


def claimed(state: StoreState, lease: Lease, reply: object) -> None:
    """Write to the lease whose it is. Raises StoreError when the reply is an error of the server."""
    lease.is_ours = state.value(reply) is not None


def claim_lease(state: StoreState, lease: Lease) -> Operation[None]:
    """Claim a lease. One round trip."""
    (reply,) = yield (claiming(state, lease),)
    claimed(state, lease, reply)


def look_at_lease(state: StoreState, lease: Lease) -> Operation[tuple[Scores | None, bool]]:
    """The scores of its query's entry, and whether no other process holds the lease. One round trip.

    While entries are migrated, what both scopes know of the query.
    """
    source = state.source if state.source is not None and state.source.is_read else None
    key = state.layout.keys.scores(lease.tenant, lease.query)
    former = () if source is None else (source.state.layout.keys.scores(lease.tenant, lease.query),)
    # In this order: where the lease has ended, the scores that ended it are read.
    holder, blob, *before = yield (("GET", lease_key(state, lease)), *map(read_scores, (key, *former)))
    damages: list[Damage] = []
    scores: Scores | None = unpack_scores(state, key, blob, damages)
    yield from discard(state, damages)
    if source is not None:
        (theirs,) = yield from former_scores(source, former, before)
        scores = joined(scores, theirs, is_order=state.layout.listwise)
    token = state.value(holder)
    if token == lease.token:
        # The claim was sent twice, since the first reply was lost, and refused because of the first one.
        lease.is_ours = True
    return scores, token is None or bool(lease.is_ours)


def renew_leases(state: StoreState, held: Sequence[Lease]) -> Operation[list[bool]]:
    """Let leases live as long again from now; False for one that this process no longer holds. One round trip."""
    renew = script("lease").by_digest
    calls = [renew((lease_key(state, lease),), lease.token, _life_ms(lease)) for lease in held]
    return [bool(reply) for reply in (yield from run_script(state.where, "lease", calls))]


def end_leases(state: StoreState, held: Sequence[Lease]) -> Operation[None]:
    """End those of the leases that this process holds, and no other's. One round trip."""
    end = script("end_lease").by_digest
    yield from run_script(state.where, "end_lease", [end((lease_key(state, lease),), lease.token) for lease in held])


def _life_ms(lease: Lease) -> int:
    return max(1, round(1000 * lease.life_s))


def lease_key(state: StoreState, lease: Lease) -> bytes:
    """The key of a lease, in the slot of its query's entry."""
    return state.layout.keys.lease(lease.tenant, lease.query, lease.name)
