"""OutageLog: the observer that is always there, and warns once when something is away and once when it is back."""

import logging
from collections.abc import Callable, Mapping
from math import inf
from time import monotonic
from typing import Any

from semcache.events import (
    BreakerChanged,
    CacheFailed,
    CacheRecovered,
    CacheUnavailable,
    EntryDamaged,
    Event,
    IdentityChanged,
    OptionIgnored,
    PruningChanged,
    RungFailed,
    RungRecovered,
    ShardRecovered,
    ShardUnavailable,
    State,
    TrustChanged,
    VectorRefused,
)
from semcache.observers.last_errors import EMBED
from semcache.protocols import Clock
from semcache.runtime.forking import ForkSafeLock

QUIET_S = 60.0
"""A failure after so many seconds without one of its kind is a new outage, where no event tells of a recovery (a full
Redis, an embedder that raises). Long enough that requests would have failed meanwhile if it had still been the same."""

_AWAY = ("StoreUnavailableError", "StoreLeftAloneError", "StoreTooSlowError")
"""The errors of a Redis that does not answer. The outage has events of its own."""


class OutageLog:
    """Warns on the logger ``semcache`` when an outage begins and when it is over, once each.

    Every cache and every ladder has one. What it logs is a WARNING also when all is well again, since an operator who
    has read of the beginning must read of the end. Records hold no queries, no documents, no keys and no passwords.
    Levels, handlers and filters of logging silence it as usual; records carry the event's class name as
    ``semcache_event``. ``primary`` names the ladder's first reranker.

    Example:
        >>> logging.getLogger("semcache").setLevel(logging.ERROR)  # no more warnings
    """

    def __init__(
        self, primary: str = "the primary reranker", *, logger: logging.Logger | None = None, clock: Clock = monotonic
    ) -> None:
        self._primary = primary
        self._logger = logger or logging.getLogger("semcache")
        self._clock = clock
        # Guards the two dicts below. Only failures and recoveries take it, never an ordinary request.
        self._lock = ForkSafeLock()
        self._failing: dict[str, float] = {}
        """When each part that fails was seen to fail last; news of an identity are never over."""
        self._trusted: dict[str, float] = {}
        """The trust threshold of each scope that was logged last; rerankers made per request repeat the event."""

    def __call__(self, event: Event, /) -> None:
        # One look-up for the events of ordinary requests, which have no handler.
        handle = _HANDLERS.get(type(event))
        if handle is not None:
            handle(self, event)

    def _warn(self, event: Event, message: str, *arguments: object) -> None:
        self._logger.warning(message, *arguments, extra={"semcache_event": type(event).__name__})

    def _begins(self, part: str, quiet_s: float) -> bool:
        """True if an outage of this part begins with this failure: none within ``quiet_s`` seconds belongs to it."""
        now = self._clock()
        with self._lock:
            last = self._failing.get(part, -inf)
            self._failing[part] = now
        return now - last >= quiet_s

    def _ends(self, part: str) -> bool:
        with self._lock:
            return self._failing.pop(part, None) is not None

    def _cache_failed(self, event: CacheFailed) -> None:
        if event.step == EMBED:
            if self._begins("embedder", QUIET_S):
                self._warn(event, "queries cannot be embedded, so near ones are not found: %s", event.error)
        elif not event.error.startswith(_AWAY) and self._begins(event.step, QUIET_S):
            self._warn(event, "the cache fails (%s), and requests go on without it: %s", event.step, event.error)

    def _cache_unavailable(self, event: CacheUnavailable) -> None:
        # The breaker tells of each outage once. Nothing that was remembered here may keep the next one silent.
        self._begins("redis", inf)
        self._warn(event, "Redis is away, and requests go on without the cache: %s", event.error)

    def _cache_recovered(self, event: CacheRecovered) -> None:
        if self._ends("redis"):
            self._warn(event, "Redis is back after %.1f s", event.after_s)

    def _shard_unavailable(self, event: ShardUnavailable) -> None:
        self._begins(f"shard {event.node}", inf)
        self._warn(event, "shard %s of the Redis Cluster is away, and its entries with it: %s", event.node, event.error)

    def _shard_recovered(self, event: ShardRecovered) -> None:
        if self._ends(f"shard {event.node}"):
            self._warn(event, "shard %s of the Redis Cluster is back after %.1f s", event.node, event.after_s)

    def _rung_failed(self, event: RungFailed) -> None:
        if self._begins(f"reranker {event.reranker}", QUIET_S):
            self._warn(event, "reranker %s failed: %s", event.reranker, event.error)

    def _rung_recovered(self, event: RungRecovered) -> None:
        if self._ends(f"reranker {event.reranker}"):
            self._warn(event, "reranker %s answers again after %.1f s", event.reranker, event.after_s)

    def _breaker_changed(self, event: BreakerChanged) -> None:
        reranker = event.reranker or self._primary
        if event.new in (State.OPEN, State.FORCED_OPEN):
            # A probe that fails opens it again, which is the same outage.
            if self._begins(f"breaker {reranker}", inf):
                p95 = "" if event.p95_s is None else f", p95 {event.p95_s:.3g} s"
                cause = f", {event.cause}" if event.cause else ""
                self._warn(
                    event,
                    "the circuit breaker of %s is open (%s%s%s): others answer",
                    reranker,
                    event.reason,
                    p95,
                    cause,
                )
        elif event.new in (State.CLOSED, State.DISABLED) and self._ends(f"breaker {reranker}"):
            self._warn(event, "the circuit breaker of %s is %s (%s)", reranker, event.new, event.reason)

    def _trust_changed(self, event: TrustChanged) -> None:
        with self._lock:
            old = self._trusted.get(event.scope, event.old)
            self._trusted[event.scope] = event.new
        if event.new != old:
            self._warn(
                event,
                "trust %s in scores of %s (%s): near queries are served unasked %s, before %s",
                "withdrawn" if event.new > old else "restored",
                event.scope,
                event.reason,
                *(
                    "never" if threshold == inf else f"from similarity {threshold:g} on"
                    for threshold in (event.new, old)
                ),
            )

    def _pruning_changed(self, event: PruningChanged) -> None:
        # That it begins is what the user asked for; that it stops, and begins again after that, is news.
        if event.new < inf:
            if self._ends(f"pruning {event.scope}"):
                self._warn(event, "pruning of %s goes on (%s)", event.scope, event.reason)
        elif self._begins(f"pruning {event.scope}", inf):
            self._warn(event, "pruning of %s stopped (%s): every document is asked about", event.scope, event.reason)

    def _identity_changed(self, event: IdentityChanged) -> None:
        # A private scope has another name for every reranker made per request; the news is the same.
        news = event.scope if event.reason == "different" else f"{event.name} {event.reason}"
        if self._begins(f"identity {news}", inf):
            self._warn(event, "%s: now in the scope %s (%s)", event.detail, event.scope, event.reason)
        if event.reason == "identified":
            self._ends(f"identity {event.name} failed")

    def _entry_damaged(self, event: EntryDamaged) -> None:
        if self._begins(f"entries: {event.fault}", QUIET_S):
            self._warn(event, "stored %s cannot be used (%s), and are written anew", event.part, event.fault)

    def _vector_refused(self, event: VectorRefused) -> None:
        if self._begins("vectors", QUIET_S):
            self._warn(event, "the embedder gave a vector of length %g instead of 1; it is not used", event.length)

    def _option_ignored(self, event: OptionIgnored) -> None:
        self._warn(event, "option %s of the Redis url is ignored: %s", event.option, event.instead)

    def __repr__(self) -> str:
        return f"<OutageLog to {self._logger.name!r}: {', '.join(sorted(self._failing)) or 'nothing'} failing>"


_HANDLERS: Mapping[type, Callable[[OutageLog, Any], None]] = {
    CacheFailed: OutageLog._cache_failed,
    CacheUnavailable: OutageLog._cache_unavailable,
    CacheRecovered: OutageLog._cache_recovered,
    ShardUnavailable: OutageLog._shard_unavailable,
    ShardRecovered: OutageLog._shard_recovered,
    RungFailed: OutageLog._rung_failed,
    RungRecovered: OutageLog._rung_recovered,
    BreakerChanged: OutageLog._breaker_changed,
    TrustChanged: OutageLog._trust_changed,
    PruningChanged: OutageLog._pruning_changed,
    IdentityChanged: OutageLog._identity_changed,
    OptionIgnored: OutageLog._option_ignored,
    EntryDamaged: OutageLog._entry_damaged,
    VectorRefused: OutageLog._vector_refused,
}
