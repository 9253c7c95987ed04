"""Tries at the start whether a Redis can be used, so that what would fail with every request is said once."""

from collections.abc import Sequence
from typing import Any
from uuid import uuid4

from redis import exceptions

from semcache.entries import codec
from semcache.entries.fingerprint import FINGERPRINT_BYTES
from semcache.errors import StoreError, TransientStoreError
from semcache.redis.client.commands import Command, script
from semcache.redis.client.failures import denied, is_denial, is_missing_index, translated
from semcache.redis.operation import Operation, StoreState

_LIFE_MS = 10_000
"""The keys are removed in the same round trip. Should the connection break in the middle of it, they expire."""


def preflight(state: StoreState) -> Operation[None]:
    """Write, read and remove keys of its own by every command that requests need. One round trip.

    The commands that only forgetting and the choice between ways to search need are left out, see docs/redis.md.
    Raises StoreError for what stays until it is changed, and TransientStoreError for what may pass; both say what was
    refused and what to do.
    """
    name = uuid4().hex  # another process may start at the same time
    commands, expected = _commands(state, name)
    replies = yield commands
    errors = [reply for command, reply in zip(commands, replies, strict=True) if _is_failure(command, reply)]
    denials = list(filter(is_denial, errors))
    if denials:
        raise denied(denials, state.where) from denials[0]
    if any(isinstance(error, exceptions.ReadOnlyError) for error in errors):
        yield from _explain_read_only(state)
    if errors:
        # What stays comes first: a server that is full, and has no search module either, is not worth waiting for.
        # Those of a cluster's shards that gave no reply are ours already.
        ours = (error if isinstance(error, StoreError) else translated(error, state.where) for error in errors)
        raise min(ours, key=_may_pass)
    if any(replies[place] != reply for place, reply in expected.items()):
        raise TransientStoreError(
            f"{state.where} did not give back what was just written; it evicts keys at once, or something between it "
            "and semcache changes replies"
        )


def _commands(state: StoreState, name: str) -> tuple[Sequence[Command], dict[int, Any]]:
    """The commands to try, and the replies to expect by their place."""
    vector_key, scores_key, state_key, other_key = (state.layout.keys.preflight(kind, name) for kind in "vsqo")
    keys = vector_key, scores_key
    lease_key, token = state.layout.keys.preflight("c", name), b"t"
    index = state.layout.keys.preflight_index(name)
    block = codec.pack(scores_key, [(bytes(FINGERPRINT_BYTES), 0)])
    vector = state.layout.vectors.example()
    remember, find, replace, discard = map(script, ("remember", "find_document", "replace", "discard"))
    observe, change, end = map(script, ("observe", "change_trust", "end_lease"))
    limit = 2 * len(block)
    write = remember.by_digest((*keys, lease_key), block, 0, limit, _LIFE_MS, token, b"embedding", vector)
    # One script of each kind by its text, so that none of the others is refused because the server does not know it.
    # The arguments lead through every branch, and so to every command in them.
    tried: list[tuple[Command, Any]] = [
        # First, since a server that refuses this is no store at all.
        (("GET", other_key), None),
        (("SET", lease_key, token, "NX", "PX", _LIFE_MS), b"OK"),
        (remember.by_text(write), len(block)),
        (remember.by_digest(keys, block, 0, limit, _LIFE_MS, b""), limit),
        (remember.by_digest(keys, block, 0, limit, _LIFE_MS, b""), 0),
        (remember.by_digest(keys, block, 1, limit, _LIFE_MS, b""), len(block)),
        (("GETRANGE", scores_key, 0, limit), block),
        (("HGETALL", vector_key), [b"embedding", vector]),
        (find.by_text(find.by_digest((scores_key,), block[:FINGERPRINT_BYTES], limit)), block),
        (replace.by_text(replace.by_digest(keys, block, block)), 1),
        (discard.by_text(discard.by_digest((scores_key,), block, 0)), 1),
        (discard.by_digest((vector_key,), b"", 1), 1),
        # 0: the lease has ended with what was remembered.
        (end.by_text(end.by_digest((lease_key,), token)), 0),
        (observe.by_text(observe.by_digest((state_key,), _LIFE_MS, 1, 0, 0, 1, b"g", 1, b"b,", b"b:r1", 1)), []),
        (change.by_text(change.by_digest((state_key,), _LIFE_MS, 0, 1, b"near", 1)), None),
        # Two slots of a Redis Cluster.
        (("UNLINK", *keys, state_key, state.layout.keys.preflight("o", f"{name}-other")), None),
        # None of these changes anything: there is no such index, and no such kind of keys.
        (("FT.INFO", index), None),
        (("FT.SEARCH", index, "*"), None),
        (("FT.CREATE", index, "ON", "NOTHING", "PREFIX", 1, index, "SCHEMA", "tenant", "TAG"), None),
    ]
    expected = {place: reply for place, (_, reply) in enumerate(tried) if reply is not None}
    return [command for command, _ in tried], expected


def _may_pass(error: StoreError) -> bool:
    return isinstance(error, TransientStoreError)


def _is_failure(command: Command, reply: Any) -> bool:
    # The digest of a script is unknown only where its text was refused just before.
    if not isinstance(reply, Exception) or isinstance(reply, exceptions.NoScriptError):
        return False
    if command[0] in ("FT.INFO", "FT.SEARCH"):
        return not is_missing_index(reply)
    # Refused as it should be, for its arguments; every version of the module has its own words for that.
    return command[0] != "FT.CREATE" or is_denial(reply) or "unknown command" in str(reply).lower()


def _explain_read_only(state: StoreState) -> Operation[None]:
    """Raise StoreError for a replica that follows a living primary: then its url is wrong, and no failover under way.

    Where that cannot be seen, since the user may not run ROLE, a failover has the benefit of the doubt. Where Sentinels
    named it, there is no url to correct: they name another one soon.
    """
    (role,) = yield (("ROLE",),)
    match role:
        case [b"slave", bytes(host), port, b"connected", *_] if "+sentinel://" not in state.where:
            raise StoreError(
                f"{state.where} is a read-only replica; its primary is {host.decode()}:{port}, so use the url of that"
            )
