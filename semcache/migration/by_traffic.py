"""Moves entries as they are asked for: then the text of the query is known, also where it is not stored."""

from collections.abc import Callable, Sequence
from functools import partial

from semcache.causes import cause_of
from semcache.events import CacheFailed, Event
from semcache.migration.carrier import Carrier
from semcache.protocols import FloatArray
from semcache.redis.source import Source
from semcache.redis.store import RedisStore
from semcache.runtime.background import Background

_MOST_WAITING = 64
"""Entries that wait to be moved. One more is dropped, and moved when it is asked for again."""
_MOST_KNOWN = 10_000
"""Keys of entries that were moved; when there are more, all are forgotten, and looked at once more."""


class TrafficCarrier:
    """Moves entries one by one in the background. Is called with the key of the scores and the query of each hit.

    What cannot be moved is an event, and is tried again when it is asked for again.
    """

    def __init__(
        self,
        store: RedisStore,
        source: Source,
        embed: Callable[[Sequence[str]], FloatArray],
        max_query_chars: int,
        on_event: Callable[[Event], None],
    ) -> None:
        self._carrier = Carrier(store, source, embed, max_query_chars)
        self._on_event = on_event
        # Requests change it without a lock: each change is atomic, and an entry that is moved twice does no harm.
        self._known: set[bytes] = set()
        self._work = Background(_MOST_WAITING, "semcache-migrate")

    def __call__(self, there: bytes, query: str) -> None:
        """Move the entry soon, unless that was done lately. Waits for nothing."""
        if there in self._known:
            return
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        if self._work.submit(partial(self._carry, there, query)):
            self._known.add(there)

    def _carry(self, there: bytes, query: str) -> None:
        try:
            self._carrier.carry([there], {there: query})
        except Exception as error:  # noqa: BLE001 - no caller waits for this thread; it becomes an event
            self._known.discard(there)
            self._on_event(CacheFailed("Migration", cause_of(error, [query])))

    def drain(self, timeout_s: float | None = None) -> bool:
        """Wait until all is moved that was asked for. Returns False if that takes longer than ``timeout_s`` seconds."""
        return self._work.drain(timeout_s)

    def close(self, timeout_s: float | None = None) -> None:
        """Move no more."""
        self._work.close(timeout_s)

    def __repr__(self) -> str:
        return f"<TrafficCarrier {self._work!r}>"
