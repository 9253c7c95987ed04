"""Fills indexes in the background, at a pace that leaves the server to requests."""

from collections.abc import Callable
from functools import partial

from semcache.causes import cause_of
from semcache.events import CacheFailed, Event, IndexRefilled
from semcache.migration.carrier import in_groups
from semcache.migration.pace import Pace
from semcache.redis.keys import KeyFamily
from semcache.redis.refilling import begin_refill, end_refill, leave_refill, refill, unfilled_keys
from semcache.redis.store import RedisStore, keys_of, perform
from semcache.runtime.background import Background

_MOST_WAITING = 16
_AT_ONCE = 1
"""Inserting a vector takes the server 0.3 to 1 ms (benchmarks/results/recall.md), in which it serves no one else. A
request then waits for one of them at most."""


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
                if (created_s := perform(store, begin_refill, family)) is not None:
                    self._fill_one(store, family, created_s)
        except Exception as error:  # noqa: BLE001 - no caller waits for this thread; it becomes an event
            self._on_event(CacheFailed("Refill", cause_of(error)))

    def _fill_one(self, store: RedisStore, family: KeyFamily, created_s: float) -> None:
        try:
            self._fill_all(store, family, created_s)
        finally:  # after an error or a close, too, so that the next one need not wait until the lease expires
            perform(store, leave_refill, family)

    def _fill_all(self, store: RedisStore, family: KeyFamily, created_s: float) -> None:
        filled = 0
        cursor: int | None = 0
        while cursor is not None:
            if self._work.is_closed:  # also where no page has keys of this index, as beside other applications
                return
            cursor, keys = self._pace.call(partial(perform, store, unfilled_keys, family, cursor))
            for group in in_groups(keys, _AT_ONCE):
                if self._work.is_closed:  # another process goes on
                    return
                filled += self._pace.call(partial(perform, store, refill, group, created_s))
        perform(store, end_refill, family, created_s)
        if filled:
            self._on_event(IndexRefilled(family.index, filled))

    def drain(self, timeout_s: float | None = None) -> bool:
        """Wait until all is filled. Returns False if that takes longer than ``timeout_s`` seconds."""
        return self._work.drain(timeout_s)

    def close(self, timeout_s: float | None = None) -> None:
        """Stop after the group of entries under way."""
        self._work.close(timeout_s)

    def __repr__(self) -> str:
        return f"<Refiller {self._work!r}>"
