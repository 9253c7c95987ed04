"""Makes what lets several processes compute a request once: the leases of a reranker's requests."""

from semcache.degradation.monitor import LatencyMonitor
from semcache.flow.keeping import LONGEST_S, Leases, LeaseWrites
from semcache.protocols import Ladder
from semcache.scoped_cache import ScopedCache


def leases_of(cache: ScopedCache, ladder: Ladder) -> Leases:
    """The leases of requests to this ladder over this cache."""
    life_s = cache.backend.knobs.lease_s
    longest_s = max(life_s, LONGEST_S)
    monitor = getattr(ladder, "monitor", None)
    if isinstance(monitor, LatencyMonitor):
        # A process that takes longer answers by a lower rung, so that the others would wait in vain.
        life_s, longest_s = min(life_s, monitor.p95_threshold / 2), monitor.p95_threshold
    writes = LeaseWrites(cache.store.renew_leases, cache.store.end_leases, cache.on_event)
    return Leases(life_s, longest_s, cache.backend.leases, writes)
