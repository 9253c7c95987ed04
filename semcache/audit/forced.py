"""Follows what an operator has decided about the primary, by ``semcache breaker``, for all processes of a namespace."""

from collections.abc import Callable
from dataclasses import asdict
from math import inf
from time import monotonic
from typing import Any, Protocol

from semcache.causes import cause_of
from semcache.events import CacheFailed, State
from semcache.models.foreign import has_members
from semcache.protocols import Clock
from semcache.redis.forced_state import RESET, ForcedState, ForcedStateStore
from semcache.runtime.background import Background
from semcache.scoped_cache import ScopedCache

REFRESH_S = 5.0
"""A process with traffic follows a decision within so many seconds, at the cost of a GET each time."""


class _Switched(Protocol):
    force_open: Callable[[str], None]
    disable: Callable[[str], None]
    reset: Callable[[str], None]


class ForcedWatch:
    """Looks at the decision in Redis in the background, and puts it in force in a ladder with a circuit breaker.

    While there is no decision, the breaker and its own process decide. A ladder without such switches is left alone.
    """

    def __init__(self, cache: ScopedCache, ladder: object, *, clock: Clock = monotonic) -> None:
        self._cache = cache
        has_switches = has_members(ladder, "force_open", "disable", "reset")
        self._ladder: _Switched | None = ladder if has_switches else None  # type: ignore[assignment]
        self._store = ForcedStateStore(cache.backend.connection, cache.backend.knobs.namespace)
        self._clock = clock
        # Requests write it without a lock. A lost write costs one look at Redis too many or too late.
        self._due = -inf if self._ladder else inf
        self._forced: ForcedState | None = None
        self._thread = Background(1, "semcache-breaker")
        # A process that starts during maintenance should know of it before its first request.
        self.keep_up()

    def keep_up(self) -> None:
        """Look soon at what was decided, if the last look was long ago. Waits for nothing."""
        now = self._clock()
        if now >= self._due:
            self._due = now + REFRESH_S
            self._thread.submit(self._follow)

    def snapshot(self) -> dict[str, Any] | None:
        """The decision in force as of the last look at Redis, None without one."""
        return None if self._forced is None else asdict(self._forced)

    def drain(self, timeout_s: float | None = None) -> bool:
        """Wait until the look under way is over. Returns False if that takes longer than ``timeout_s`` seconds."""
        return self._thread.drain(timeout_s)

    def close(self, timeout_s: float | None = 5.0) -> None:
        """Look no more."""
        self._thread.close(timeout_s)

    def _follow(self) -> None:
        if self._ladder is None:
            return
        try:
            forced = self._store.read()
            if forced != self._forced:
                self._switch(self._ladder, forced)
                self._forced = forced
        except Exception as error:  # noqa: BLE001 - no caller waits for this thread; what was decided stays in force
            self._cache.on_event(CacheFailed("Breaker", cause_of(error)))

    def _switch(self, ladder: _Switched, forced: ForcedState | None) -> None:
        if forced is None:
            # The end of a reset is no news: it was done when it came.
            if self._forced is not None and self._forced.state != RESET:
                ladder.reset("released")
        elif forced.state == State.FORCED_OPEN:
            ladder.force_open(forced.reason)
        elif forced.state == State.DISABLED:
            ladder.disable(forced.reason)
        else:
            ladder.reset(forced.reason)

    def __repr__(self) -> str:
        return f"<ForcedWatch of {self._store!r}: {'nothing' if self._forced is None else self._forced.state}>"
