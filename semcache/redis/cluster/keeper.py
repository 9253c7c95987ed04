"""Keeps the topology of a cluster, and renews it in the background when there is reason to."""

import threading
from collections.abc import Callable
from time import monotonic

from semcache.causes import cause_of
from semcache.errors import StoreError
from semcache.events import CacheFailed, TopologyChanged
from semcache.redis.cluster.discovery import Discovery
from semcache.redis.cluster.topology import SLOTS, Topology
from semcache.runtime.forking import renew_in_child
from semcache.runtime.threads import start_thread

_EVERY_S = 0.1
"""A cluster takes a second and more to replace a primary, and the question for its topology some milliseconds."""
_LONGEST_S = 1.0
"""Where nothing has changed, the time until the next question doubles up to this. A shard that is lost for good is then
asked about once a second by each process, and one that a replica takes over is found a second later at most."""


class TopologyKeeper:
    """``current`` is the topology that was seen last; it is replaced as a whole. Safe to use from several threads.

    ``on_read`` is called whenever it was read anew. Raises StoreError when no node answers at the beginning.
    """

    def __init__(
        self,
        discovery: Discovery,
        on_event: Callable[[CacheFailed | TopologyChanged], None],
        on_read: Callable[[Topology], None] = lambda topology: None,
    ) -> None:
        self._discovery = discovery
        self._on_event = on_event
        self._on_read = on_read
        self.current: Topology = discovery.read()
        self._next_at = 0.0
        self._wait_s = _EVERY_S
        self._stopped = threading.Event()
        self.after_fork_in_child()
        renew_in_child(self)

    def after_fork_in_child(self) -> None:
        """Leave a question that is under way to the parent; also used for the beginning itself."""
        # One guards the discovery, and is held while the cluster is asked; the other what stands below.
        self._asking, self._lock = threading.Lock(), threading.Lock()
        self._is_following = False

    def refresh(self) -> Topology:
        """Ask the cluster now. Raises StoreError when no node answers."""
        with self._asking:
            before = self.current
            self.current = found = self._discovery.read(before)
        self._on_read(found)
        if found.version != before.version:
            self._wait_s = _EVERY_S
            moved = sum(old != new for old, new in zip(before.owners, found.owners, strict=True))
            unserved = sum(owner is None for owner in found.owners)
            self._on_event(TopologyChanged(len(found.tags), moved, unserved))
        return found

    def suspect(self, *, has_changed: bool = False) -> None:
        """Ask the cluster soon, in the background: it may have changed, or has for certain.

        After questions that found nothing new, the next one that is not certain comes later each time.
        """
        now = monotonic()
        with self._lock:
            if has_changed or now - self._next_at > _LONGEST_S:
                self._wait_s = _EVERY_S
                self._next_at = min(self._next_at, now + _EVERY_S)
            if self._is_following or self._stopped.is_set():
                return
            self._is_following = True
        try:
            start_thread(self._follow, "semcache-redis-topology", self._stopped.set)
        except RuntimeError:  # the system gives no more threads; the next one that suspects tries again
            self._is_following = False

    def _follow(self) -> None:
        try:
            # In steps, since a change that is certain brings the next question forward.
            while (left_s := self._next_at - monotonic()) > 0 and not self._stopped.wait(min(left_s, _EVERY_S)):
                pass
            if not self._stopped.is_set():
                self.refresh()
        except StoreError:
            pass  # the nodes' own breakers tell of that, and the next request that misses something suspects again
        except Exception as error:  # noqa: BLE001 - whatever redis-py raises, a thread that ends silently tells of nothing
            self._on_event(CacheFailed("Topology", cause_of(error)))
        finally:
            with self._lock:
                self._next_at = monotonic() + self._wait_s
                self._wait_s = min(2 * self._wait_s, _LONGEST_S)
                self._is_following = False

    def stop(self) -> None:
        """Do not ask in the background any more."""
        self._stopped.set()

    def __repr__(self) -> str:
        topology = self.current
        served = sum(owner is not None for owner in topology.owners)
        return f"<TopologyKeeper {len(topology.tags)} shards, {served} of {SLOTS} slots, version {topology.version}>"
