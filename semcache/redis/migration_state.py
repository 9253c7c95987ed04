"""Keeps how far the entries of a former embedder were moved to a scope, and which process moves them."""

import json
from dataclasses import asdict, dataclass
from secrets import token_hex
from typing import Any, Self

from semcache.errors import TransientStoreError
from semcache.redis.client.commands import Command, script
from semcache.redis.operation import Operation, StoreState, run_script

LEASE_MS = 30_000
"""A page of entries takes a second or two, and each renews the lease. A process that died holds it no longer."""


@dataclass(frozen=True, slots=True)
class MigrationState:
    """How far a migration from the scope ``source`` is.

    ``cursor`` is where the pass over its keys goes on (0: at the beginning), ``passes`` how many are over. ``seen``,
    ``moved`` and ``embedded`` count entries of the pass under way, or else of the last one; ``without_text`` those that
    have no vector here, since their text is not stored, and ``changed`` those that another process changed just before
    they were written. The times are seconds since 1970: when the last
    pass that found next to nothing ended, and when the source was removed.
    """

    source: str
    cursor: int = 0
    passes: int = 0
    seen: int = 0
    moved: int = 0
    embedded: int = 0
    without_text: int = 0
    changed: int = 0
    finished_at: float | None = None
    cleaned_at: float | None = None

    @classmethod
    def of(cls, value: object, source: str) -> Self:
        """The state in a value of Redis; of none, of another source, or of one that cannot be read: a new one."""
        try:
            state = cls(**json.loads(value)) if isinstance(value, bytes) else cls(source)
            numbers = (state.cursor, state.passes, state.seen, state.moved, state.embedded, state.without_text)
            is_sound = all(isinstance(number, int) and number >= 0 for number in (*numbers, state.changed))
        except (ValueError, TypeError):
            return cls(source)
        return state if is_sound and state.source == source else cls(source)


def new_token() -> str:
    """A name for one process that moves entries, which no other has."""
    return token_hex(16)


def read_migration(state: StoreState, source: str) -> Operation[MigrationState]:
    """How far the migration from a scope is. One round trip."""
    (reply,) = yield [("GET", state.layout.keys.migration)]
    return MigrationState.of(state.value(reply), source)


def write_migration(state: StoreState, migration: MigrationState) -> Operation[None]:
    """Keep how far it is. One round trip."""
    (reply,) = yield [("SET", state.layout.keys.migration, json.dumps(asdict(migration)).encode())]
    state.value(reply)


def take_lease(state: StoreState, token: str) -> Operation[None]:
    """Become the process that moves entries. Raises TransientStoreError where another one is."""
    if not (yield from _is_taken(state, token)):
        raise TransientStoreError(
            f"{state.where}: another process moves these entries at the moment; semcache migrate status shows how far "
            f"it is. If it has died, another one may go on after {LEASE_MS // 1000} seconds"
        )


def read_lease(state: StoreState) -> Operation[bytes | None]:
    """The token of the process that moves entries, None where there is none."""
    (reply,) = yield [("GET", state.layout.keys.migration_lease)]
    token: bytes | None = state.value(reply)
    return token


def renew_lease(state: StoreState, token: str) -> Operation[None]:
    """Stay that process. Raises TransientStoreError where it is another one by now.

    Where the lease has ended and no other process has one, it is taken anew: an embedder or a server that is slow, and
    a server that lost the key, are no reason to stop.
    """
    held = yield from _change_lease(state, token, LEASE_MS)
    if not held and not (yield from _is_taken(state, token)):
        raise TransientStoreError(
            f"{state.where}: another process moves these entries by now, since this one stood still for more than "
            f"{LEASE_MS // 1000} seconds; semcache migrate status shows how far it is"
        )


def end_lease(state: StoreState, token: str) -> Operation[None]:
    """Let another process go on."""
    yield from _change_lease(state, token, 0)


def _is_taken(state: StoreState, token: str) -> Operation[bool]:
    """Take the lease if no process has it; whether that was so."""
    (reply,) = yield [("SET", state.layout.keys.migration_lease, token.encode(), "NX", "PX", LEASE_MS)]
    return state.value(reply) is not None


def _change_lease(state: StoreState, token: str, life_ms: int) -> Operation[Any]:
    call: Command = script("lease").by_digest((state.layout.keys.migration_lease,), token.encode(), life_ms)
    (held,) = yield from run_script(state.where, "lease", [call])
    return held
