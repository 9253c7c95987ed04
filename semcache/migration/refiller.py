"""Fills indexes in the background, at a pace that leaves the server to requests."""

import time
from collections.abc import Callable
from functools import partial

from semcache.causes import cause_of
from semcache.events import CacheFailed, Event, IndexRefilled
from semcache.migration.pace import Pace
from semcache.redis.keys import KeyFamily
from semcache.redis.migration_state import new_token
from semcache.redis.operation import in_groups
from semcache.redis.refilling import (
    LEASE_MS,
    begin_refill,
    end_refill,
    keep_refilling,
    leave_refill,
    refill,
    unfilled_keys,
)
from semcache.redis.store import RedisStore, keys_of, perform
from semcache.runtime.background import Background

_MOST_WAITING = 16
_AT_ONCE = 1
"""Inserting a vector takes the server 0.3 to 1 ms (benchmarks/results/recall.md), in which it serves no one else. A
request then waits for one of them at most."""
_RENEWED_AFTER_S = LEASE_MS / 1000 / 6


class Refiller:
    """Puts entries into indexes that were created without going through all keys; ``share`` is of the server's time."""

    def __init__(self, share: float, on_event: Callable[[Event], None]) -> None:
        self._pace = Pace(share)
        self._on_event = on_event
        self._work = Background(_MOST_WAITING, "semcache-refill")

    def submit(self, store: RedisStore, index: str) -> None:
        """Fill an index of a store soon. Waits for nothing."""
        self._work.submit(partial(self._fill, store, index))

    def _fill(self, store: RedisStore, index: str) -> None:
        # None of them where the store has moved meanwhile: the index is another one's then.
        families = [family for family, _ in keys_of(store).families(None) if family.index == index]
        try:
            for family in families:
                self._fill_one(store, family)
        except Exception as error:  # noqa: BLE001 - no caller waits for this thread; it becomes an event
            self._on_event(CacheFailed("Refill", cause_of(error)))

    def _fill_one(self, store: RedisStore, family: KeyFamily) -> None:
        turn = _Turn(store, family)
        created_s = turn.begin()
        if created_s is None:
            return
        try:
            filled = self._fill_all(store, family, created_s, turn)
            if filled is not None:
                perform(store, end_refill, family, created_s)
        finally:  # after an error or a close, too, so that the next one need not wait until the lease expires
            turn.end()
        if filled:
            self._on_event(IndexRefilled(family.index, filled))

    def _fill_all(self, store: RedisStore, family: KeyFamily, created_s: float, turn: "_Turn") -> int | None:
        """How many entries were put in; None where another process is to go on."""
        filled = 0
        cursor: int | None = 0
        while cursor is not None:
            # For each page as well, since most have no keys of this index where others share the server.
            if self._work.is_closed or not turn.goes_on():
                return None
            cursor, keys = self._pace.call(partial(perform, store, unfilled_keys, family, cursor))
            for group in in_groups(keys, _AT_ONCE):
                if self._work.is_closed or not turn.goes_on():
                    return None
                filled += self._pace.call(partial(perform, store, refill, group, created_s))
        return filled

    def drain(self, timeout_s: float | None = None) -> bool:
        """Wait until all is filled. Returns False if that takes longer than ``timeout_s`` seconds."""
        return self._work.drain(timeout_s)

    def close(self, timeout_s: float | None = None) -> None:
        """Stop after the group of entries under way."""
        self._work.close(timeout_s)

    def __repr__(self) -> str:
        return f"<Refiller {self._work!r}>"


class _Turn:
    """The lease of one process on the filling of an index."""

    def __init__(self, store: RedisStore, family: KeyFamily) -> None:
        self._store = store
        self._family = family
        self._token = new_token().encode()
        self._renewed_at = 0.0

    def begin(self) -> float | None:
        """When the index was created; None where another process fills it, or it is full."""
        self._renewed_at = time.monotonic()
        return perform(self._store, begin_refill, self._family, self._token)

    def goes_on(self) -> bool:
        """Whether this process still has the lease, which is renewed in time; False if it stood still for too long."""
        now = time.monotonic()
        if now - self._renewed_at <= _RENEWED_AFTER_S:
            return True
        self._renewed_at = now
        return perform(self._store, keep_refilling, self._family, self._token)

    def end(self) -> None:
        """Leave what is still to be done to another process."""
        perform(self._store, leave_refill, self._family, self._token)
