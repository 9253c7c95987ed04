"""Puts entries back into an index that was created without the server's going through all of its keys.

A key beside the index says so, and since when, until all entries are in it. If the process that puts them in ends or
fails, another one goes on, or it does itself: each that searches looks at the key once a minute (search.py).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isfinite

from semcache.redis.client.commands import script
from semcache.redis.keys import KeyFamily
from semcache.redis.operation import Operation, StoreState, run_script, scan


@dataclass(frozen=True, slots=True)
class Filling:
    """Has indexes filled in the background: ``start`` with the name of one.

    ``is_able`` says whether it can. In a Redis Cluster not: a shard may lack an index that all others have.
    """

    is_able: Callable[[], bool]
    start: Callable[[str], None]


MANY_KEYS = 10_000
"""Keys of the server from which it does not go through them itself. So many take it some 30 ms. To put 50,000 entries
into an index as fast as it can takes it a minute or two, in which it answers others late."""
LEASE_MS = 60_000
"""How long a process that died keeps others from an index. One that lives says so several times in that time."""
_CLOCKS_S = 60.0
"""How far clocks of writers may be apart. An entry that is in the index already is put in once more, at no harm."""


def mark_unfilled(state: StoreState, family: KeyFamily) -> Operation[bool]:
    """Say that an index is about to be created that does not hold all entries, on a server of many keys.

    False where the server is to go through them itself: they are few, or that cannot be said or done.
    """
    if state.filling is None or not state.filling.is_able():
        return False
    (keys,) = yield (("DBSIZE",),)
    if not isinstance(keys, int) or keys <= MANY_KEYS:
        return False
    (reply,) = yield (("SET", family.unfilled, repr(state.clock()).encode()),)
    return reply in (b"OK", True)


def since(value: object) -> float | None:
    """The time of such a mark; None without one."""
    try:
        seconds = float(value) if isinstance(value, bytes) else None
    except ValueError:
        return None
    return seconds if seconds is not None and isfinite(seconds) else None


def begin_refill(state: StoreState, family: KeyFamily, token: bytes) -> Operation[float | None]:
    """Become the process that fills an index, and when that was created; None where another one is, or it is full."""
    (mark,) = yield (("GET", family.unfilled),)
    created_s = since(state.value(mark))
    if created_s is None:
        return None
    (lease,) = yield (("SET", _lease(family), token, "NX", "PX", LEASE_MS),)
    return None if state.value(lease) is None else created_s


def keep_refilling(state: StoreState, family: KeyFamily, token: bytes) -> Operation[bool]:
    """Stay the process that fills an index; False where another one is by now."""
    (held,) = yield from run_script(
        state.where, "lease", [script("lease").by_digest((_lease(family),), token, LEASE_MS)]
    )
    return bool(held == 1)


def unfilled_keys(state: StoreState, family: KeyFamily, cursor: int) -> Operation[tuple[int | None, list[bytes]]]:
    """A page of the keys that belong into an index, and the cursor of the next page, None after the last."""
    return (yield from scan(state, family.vectors, cursor))


def refill(state: StoreState, keys: Sequence[bytes], created_s: float) -> Operation[int]:
    """Put those in that were written before the index was created, at ``created_s``; how many. One round trip."""
    calls = [script("refill").by_digest((key,), repr(created_s + _CLOCKS_S).encode()) for key in keys]
    replies = (yield from run_script(state.where, "refill", calls)) if calls else []
    return replies.count(1)


def end_refill(state: StoreState, family: KeyFamily, created_s: float) -> Operation[None]:
    """Say that the index holds all entries, unless it has vanished again since it was created at ``created_s``."""
    call = script("end_lease").by_digest((family.unfilled,), repr(created_s).encode())
    yield from run_script(state.where, "end_lease", [call])


def leave_refill(state: StoreState, family: KeyFamily, token: bytes) -> Operation[None]:
    """Let another process fill the index, where it is not full."""
    yield from run_script(state.where, "end_lease", [script("end_lease").by_digest((_lease(family),), token)])


def _lease(family: KeyFamily) -> bytes:
    return family.unfilled + b"l"
