"""Counts the reads that lack a shard, so that observers are told of an outage and not of each read."""

from semcache.redis.cluster.topology import Node
from semcache.runtime.forking import ForkSafeLock

EVERY_S = 1.0
"""Observers are told of a shard so often at most: a busy process has hundreds of reads in that time."""


class LeftOut:
    """Reads that lacked a shard since observers were told of it. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = ForkSafeLock()
        self._untold: dict[Node, int] = {}
        self._told_at: dict[Node, float] = {}

    def count(self, node: Node, now: float) -> int:
        """Count one. How many to tell observers of now, this one among them; 0 if it is too soon."""
        with self._lock:
            reads = self._untold.get(node, 0) + 1
            told_at = self._told_at.get(node)
            if told_at is not None and now - told_at < EVERY_S:
                self._untold[node] = reads
                return 0
            self._untold[node], self._told_at[node] = 0, now
            return reads

    def rest(self, node: Node) -> int:
        """How many observers have not been told of, when the shard is back."""
        with self._lock:
            self._told_at.pop(node, None)
            return self._untold.pop(node, 0)
