"""Moves the entries of one former scope, goes on where an earlier run stopped, and removes what is left of them."""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from semcache.errors import InvalidInputError, StoreError
from semcache.events import Event, MigrationAdvanced, MigrationEnded
from semcache.migration.carrier import AT_ONCE, Carrier, Tally
from semcache.migration.pace import Pace
from semcache.protocols import FloatArray
from semcache.redis.carrying import (
    drop_former_indexes,
    former_keys,
    former_names,
    remove_former,
)
from semcache.redis.inspection import count
from semcache.redis.migration_state import (
    LEASE_MS,
    MigrationState,
    end_lease,
    new_token,
    read_lease,
    read_migration,
    renew_lease,
    take_lease,
    write_migration,
)
from semcache.redis.operation import in_groups
from semcache.redis.source import Source
from semcache.redis.store import RedisStore, count_former, keys_of, perform

T = TypeVar("T")

_MOST_PASSES = 5
"""Former processes may write as long as they run. What they wrote during the last pass is found by the next run."""
_FEW, _SMALL_SHARE = 10, 0.01
"""A pass that moved no more than this has caught up with what is still written there."""
_MOST_OF_SERVER = 2**64 - 1
"""The largest cursor of a single server; see redis/cluster/scanning.py."""
_RENEWED_AFTER_S = LEASE_MS / 1000 / 6
_REMOVED_AT_ONCE = 100
"""Keys per UNLINK: the server does nothing else meanwhile, some tenths of a millisecond."""

Progress = Callable[[str, int, int], None]
"""Is called with the name of a task, the entries that are done, and all of them."""


@dataclass(frozen=True, slots=True)
class MigrationStatus:
    """How far the entries of one reranker are moved.

    ``scope`` and ``source`` are the beginnings of the names of their keys, here and there; ``entries`` and
    ``former_entries`` how many near queries can find there. ``is_running`` while a process moves them.
    """

    scope: str
    source: str
    entries: int
    former_entries: int
    is_running: bool
    state: MigrationState

    @property
    def is_finished(self) -> bool:
        """Whether a run has moved everything that was there when its last pass began."""
        return self.state.finished_at is not None


class MigratedScope:
    """The entries of one store and its source."""

    def __init__(
        self,
        store: RedisStore,
        source: Source,
        embed: Callable[[Sequence[str]], FloatArray],
        pace: Pace,
        max_query_chars: int,
        on_event: Callable[[Event], None],
    ) -> None:
        self._store = store
        self._source = source
        self._pace = pace
        self._carrier = Carrier(store, source, embed, max_query_chars, pace)
        self._on_event = on_event
        self._token = new_token()
        self._renewed_at = 0.0

    @property
    def name(self) -> str:
        """The beginning of the names of its keys."""
        return keys_of(self._store).base

    @property
    def _source_name(self) -> str:
        return self._source.state.layout.keys.base

    def status(self) -> MigrationStatus:
        """As for ``Migrator.status``."""
        state = self._state()
        is_running = perform(self._store, read_lease) is not None
        entries, former = perform(self._store, count), count_former(self._store)
        return MigrationStatus(self.name, self._source_name, entries, former, is_running, state)

    def run(self, progress: Progress, is_stopped: Callable[[], bool]) -> None:
        """As for ``Migrator.run``."""
        self._leased(lambda: self._passes(progress, is_stopped))

    def clean(self, progress: Progress, *, force: bool) -> int:
        """As for ``Migrator.clean``."""
        return self._leased(lambda: self._clean(progress, force=force))

    def _leased(self, work: Callable[[], T]) -> T:
        perform(self._store, take_lease, self._token)
        self._renewed_at = time.monotonic()
        try:
            return work()
        finally:  # also after Ctrl-C, so that the same command goes on at once
            # Where Redis cannot be asked, the lease ends by itself. What ended the work is raised, and no other error.
            with suppress(StoreError):
                perform(self._store, end_lease, self._token)

    def _passes(self, progress: Progress, is_stopped: Callable[[], bool]) -> None:
        state = self._state()
        if state.cleaned_at is not None:  # former processes have filled it again since
            state = MigrationState(self._source_name)
        # The cursor of a cluster holds the shard by its place, and how often this process saw the shards change: of
        # another process it may skip keys. What is moved already is looked at once more, and not moved again.
        if state.cursor > _MOST_OF_SERVER:
            state = replace(state, cursor=0)
        for _ in range(_MOST_PASSES):
            is_whole = state.cursor == 0
            state = self._pass(replace(state, finished_at=None), progress, is_stopped)
            if is_stopped():
                return
            if is_whole and state.changed == 0 and _has_caught_up(state):
                break
        state = replace(state, finished_at=time.time())
        self._write(state)
        self._source.follow(state)
        self._on_event(MigrationEnded(self.name, "moved", state.without_text))

    def _pass(self, state: MigrationState, progress: Progress, is_stopped: Callable[[], bool]) -> MigrationState:
        """Look at all former entries, from the cursor on."""
        tally = Tally()
        if state.cursor:
            tally = Tally(state.seen, state.moved, state.embedded, state.without_text, state.changed)
        total = count_former(self._store)
        cursor: int | None = state.cursor
        while cursor is not None:
            cursor, keys = self._page(cursor)
            for group in in_groups(keys, AT_ONCE):
                if is_stopped():
                    return state
                tally = tally.plus(self._carrier.carry(group))
                self._renew()
                progress(f"moving {self.name.rpartition(':')[2]}", tally.seen, max(total, tally.seen))
            done = state.passes + (cursor is None)
            state = replace(state, cursor=cursor or 0, passes=done, **tally._asdict())
            self._write(state)
            self._on_event(MigrationAdvanced(self.name, tally.seen, tally.moved, tally.embedded))
        return state

    def _clean(self, progress: Progress, *, force: bool) -> int:
        state = self._state()
        if not force:
            self._check_clean(state)
            last = self._pass(replace(state, cursor=0), progress, lambda: False)
            self._write(replace(last, finished_at=state.finished_at))
            if not _has_caught_up(last):
                raise InvalidInputError(
                    f"{last.moved} entries were written to {self._source_name} since the last run, so processes with "
                    "the former settings still use it; end them first, or force the removal"
                )
        # Told first, so that no process looks for what is about to go.
        self._source.is_read = False
        self._write(replace(self._state(), cleaned_at=time.time()))
        removed, total = 0, 2 * count_former(self._store)
        perform(self._store, drop_former_indexes, self._source)
        cursor: int | None = 0
        while cursor is not None:
            self._renew()
            cursor, keys = self._pace.call(partial(perform, self._store, former_names, self._source, cursor))
            for group in in_groups(keys, _REMOVED_AT_ONCE):
                removed += self._pace.call(partial(perform, self._store, remove_former, group))
                self._renew()
                progress(f"removing {self._source_name.rpartition(':')[2]}", removed, max(total, removed))
        self._on_event(MigrationEnded(self.name, "cleaned", state.without_text))
        return removed

    def _check_clean(self, state: MigrationState) -> None:
        if state.finished_at is None:
            raise InvalidInputError(
                f"the entries of {self._source_name} are not all moved yet: run the migration to its end first, or "
                "force the removal, which loses what is not moved"
            )

    def _page(self, cursor: int) -> tuple[int | None, list[bytes]]:
        # For each page, since most have no entries of this scope where others share the server.
        self._renew()
        return self._pace.call(partial(perform, self._store, former_keys, self._source, cursor))

    def _state(self) -> MigrationState:
        return perform(self._store, read_migration, self._source_name)

    def _write(self, state: MigrationState) -> None:
        perform(self._store, write_migration, state)

    def _renew(self) -> None:
        now = time.monotonic()
        if now - self._renewed_at > _RENEWED_AFTER_S:
            perform(self._store, renew_lease, self._token)
            self._renewed_at = now

    def __repr__(self) -> str:
        return f"<MigratedScope {self.name} from {self._source_name}>"


def _has_caught_up(state: MigrationState) -> bool:
    return state.moved <= max(_FEW, _SMALL_SHARE * state.seen)
