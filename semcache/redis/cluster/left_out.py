"""Counts the reads that lack a shard, so that observers are told of an outage and not of each read."""

from semcache.events import ShardLeftOut
from semcache.runtime.forking import ForkSafeLock

EVERY_S = 1.0
"""Observers are told of a shard so often at most: a busy process has hundreds of reads in that time."""


class LeftOut:
    """Reads that lacked a shard, each named by its node, since observers were told of it. Safe to use from threads."""

    def __init__(self) -> None:
        self._lock = ForkSafeLock()
        self._untold: dict[str, ShardLeftOut] = {}
        self._told_at: dict[str, float] = {}

    def add(self, node: str, error: str, now: float) -> ShardLeftOut | None:
        """Count one. What to tell observers now of all that were not told; None if it is too soon."""
        with self._lock:
            before = self._untold.pop(node, None)
            event = ShardLeftOut(node, error, 1 if before is None else before.reads + 1)
            told_at = self._told_at.get(node)
            if told_at is not None and now - told_at < EVERY_S:
                self._untold[node] = event
                return None
            self._told_at[node] = now
            return event

    def rest(self, node: str) -> ShardLeftOut | None:
        """The event that observers have not been told of, when the shard is back; None if there is none."""
        with self._lock:
            self._told_at.pop(node, None)
            return self._untold.pop(node, None)
