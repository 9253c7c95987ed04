"""Keeps how many entries an index and a tenant have, and derives from it how to search among so many."""

from collections.abc import Sequence
from math import inf
from typing import Any, Literal, NamedTuple

from semcache.entries.fingerprint import tenant_tag
from semcache.protocols import Clock
from semcache.redis.client.commands import Command

Policy = Literal["ADHOC_BF", "BATCHES"]
"""HYBRID_POLICY of FT.SEARCH: compare with each entry of the tenant, or go through the graph in batches."""

# Candidates that a search keeps (ef), by entries of the index up to which so many find 99 % of all nearest entries at
# similarity 0.8 or more (benchmarks/results/recall.md, growth.md). Ten more cost about 0.05 ms (recall.md); a neighbour
# that is missed costs the reranker tens of documents.
_EF = ((30_000, 20), (300_000, 40), (inf, 100))
_EF_UNKNOWN = 40

# A filtered search either compares with each of a tenant's t entries, or goes through the graph of all n in batches
# until it has met enough of the tenant's. The first takes time in proportion to t, the second to n / t, and they are
# even where t * t / n is about this, found between 20,000 and 100,000 entries. The server's own choice wavers for large
# tenants: at 10 % of 100,000 its p95 is 1.65 against 0.69 ms (benchmarks/results/tenants.md).
_EVEN = 40

_LARGE = 10_000
"""Entries from which a tenant is large; counting stops there, since the server does nothing else meanwhile."""

_MAX_AGE_S = 60.0
_MAX_KNOWN = 10_000
"""Sizes that are kept, by index and tenant; when there are more, all are forgotten and measured anew."""


class Sizes:
    """Sizes that the server gave, by index and tenant, no more than a minute old. ``clock`` gives seconds.

    The commands that measure them travel along with searches, so they cost no round trip. An index is taken to have an
    entry for every two keys of the database: to ask it (FT.INFO) would hold up the server for longer, the more entries
    there are. Where the database has other keys, too, searches keep more candidates than they need.

    Threads use it without a lock: each call reads or replaces one item of a dictionary, which is atomic in CPython.
    Two threads that measure at the same time both record, and the later one stays.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._known: dict[tuple[str, str], _Measured] = {}
        self._looked: dict[str, float] = {}
        """When an index in which nothing was found was looked at again."""

    def commands_if_due(self, index: str, tenant: str) -> Sequence[Command]:
        """The commands that measure sizes, to be sent with the next search; none while the last sizes are fresh."""
        known = self._known.get((index, tenant))
        # abs, because the clock gives the time of day and may be set back.
        if known is not None and abs(self._clock() - known.at) < _MAX_AGE_S:
            return ()
        count = (("FT.AGGREGATE", index, f"@tenant:{{{tenant_tag(tenant)}}}", "LIMIT", _LARGE, 1, "DIALECT", 2),)
        return (("DBSIZE",), *(count if tenant else ()))

    def record(self, index: str, tenant: str, replies: Sequence[Any]) -> int | None:
        """Keep the server's replies to ``commands_if_due``; gives how many entries the index is now taken to have.

        Errors and replies of another shape are kept too, as unknown sizes, so that a server that refuses these
        commands is not asked with every search.
        """
        if not replies:
            return None
        if len(self._known) >= _MAX_KNOWN:
            self._known.clear()
        entries: int | None = None
        of_tenant: int | None = None
        match replies:
            case [int(keys)]:
                entries = of_tenant = keys // 2
            case [int(keys), [int(count), *_]]:
                entries, of_tenant = keys // 2, count
        self._known[index, tenant] = _Measured(self._clock(), entries, of_tenant)
        return entries

    def is_doubtful(self, index: str) -> bool:
        """Whether to look again at an index in which a search found nothing, or that is being filled: once a minute.

        If another program has replaced it by one for other vectors, it holds none of ours, and is searched without an
        error.
        """
        now = self._clock()
        if abs(now - self._looked.get(index, -inf)) < _MAX_AGE_S:
            return False
        self._looked[index] = now
        return True

    def ef(self, index: str, tenant: str) -> int:
        """How many candidates a search of the graph is to keep."""
        known = self._known.get((index, tenant))
        return _EF_UNKNOWN if known is None or known.entries is None else ef_for(known.entries)

    def policy(self, index: str, tenant: str) -> Policy | None:
        """How to search for a tenant; None leaves it to the server, while the sizes are unknown."""
        known = self._known.get((index, tenant))
        if known is None or known.entries is None or known.of_tenant is None:
            return None
        is_small = known.of_tenant <= _LARGE and known.of_tenant**2 < _EVEN * known.entries
        return "ADHOC_BF" if is_small else "BATCHES"

    def __len__(self) -> int:
        """How many sizes are kept."""
        return len(self._known)


class _Measured(NamedTuple):
    """Entries of an index and of a tenant in it, and when they were measured. None: the server refused to count."""

    at: float
    entries: int | None
    of_tenant: int | None


def ef_for(entries: int) -> int:
    """How many candidates a search among so many entries is to keep."""
    return next(ef for most, ef in _EF if entries <= most)
