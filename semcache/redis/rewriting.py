"""Replaces all blocks of an entry by one, unless another process has changed it meanwhile."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from semcache.entries import codec
from semcache.errors import TransientStoreError
from semcache.redis.client.commands import Command, script
from semcache.redis.damage import Damage, discard, unpack_scores
from semcache.redis.operation import INDEXED_AT_ONCE, Operation, StoreState, in_groups, run_script

ATTEMPTS = 10
"""Another process would have to add scores to the same entry ten times, each within the same millisecond."""


class EntryKeys(NamedTuple):
    """The keys of both parts of an entry."""

    vector: bytes
    scores: bytes


Change = Callable[[Mapping[bytes, float]], Mapping[bytes, float] | None]
"""From the scores of an entry to those that it shall have; None leaves it as it is, none at all removes it."""


class Attempt(NamedTuple):
    """The entries that were changed, those that another process has changed meanwhile, and how many were damaged."""

    changed: list[EntryKeys]
    missed: list[EntryKeys]
    damaged: int


def rewrite(
    state: StoreState, entries: Sequence[EntryKeys], read: Callable[[EntryKeys], Command], change: Change
) -> Operation[int]:
    """Change entries, and once more those that changed meanwhile; how many were changed.

    They are read in one round trip, and changed in one for every ten of them.
    ``read`` is the command that reads the scores of an entry, or nothing where it need not be changed. Damaged entries
    are removed, and count.
    """
    changed = 0
    for _ in range(ATTEMPTS):
        if not entries:
            return changed
        attempt = yield from rewrite_once(state, entries, read, change, must_go=True)
        changed += len(attempt.changed) + attempt.damaged
        entries = attempt.missed
    raise too_busy(state)


def rewrite_once(
    state: StoreState,
    entries: Sequence[EntryKeys],
    read: Callable[[EntryKeys], Command],
    change: Change,
    *,
    must_go: bool = False,
) -> Operation[Attempt]:
    """One attempt of ``rewrite``. Where the server is too full for a change that ``must_go``, the entry is removed."""
    replies = yield from run_script(state.where, "find_document", [read(keys) for keys in entries])
    damages: list[Damage] = []
    calls: dict[EntryKeys, Command] = {}
    for keys, blob in zip(entries, replies, strict=True):
        known = unpack_scores(state, keys.scores, blob or b"", damages)
        wanted = None if known is None else change(known)
        if wanted is not None:
            block = codec.pack(keys.scores, wanted.items(), state.layout.signing_key) if wanted else b""
            calls[keys] = script("replace").by_digest(keys, blob, block, int(must_go))
    yield from discard(state, damages)
    done: list[object] = []
    # An entry that is left without scores takes its vector out of the index.
    for group in in_groups(list(calls.values()), INDEXED_AT_ONCE):
        done += yield from run_script(state.where, "replace", group)
    outcomes = list(zip(calls, done, strict=True))
    return Attempt(
        [keys for keys, is_done in outcomes if is_done],
        [keys for keys, is_done in outcomes if not is_done],
        len(damages),
    )


def too_busy(state: StoreState) -> TransientStoreError:
    """The error for an entry that others change all the time."""
    return TransientStoreError(f"{state.where}: an entry was changed {ATTEMPTS} times while it was to be rewritten")
