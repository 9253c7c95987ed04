"""How many entries an index and a tenant have, and how to search among so many. No more than a minute old."""

from collections.abc import Sequence
from math import inf
from typing import Any, Literal, NamedTuple

from semcache.entries.fingerprint import tenant_tag
from semcache.protocols import Clock
from semcache.redis.client.scripts import Command
from semcache.redis.index import total

Policy = Literal["ADHOC_BF", "BATCHES"]

# Candidates that a search keeps (ef), by entries of the index up to which so many find 99 % of all nearest entries at
# similarity 0.8 or more (benchmarks/results/recall.md, growth.md). Ten more cost about 0.03 ms; a neighbour that is
# missed costs the reranker tens of documents.
_EF = ((30_000, 20), (300_000, 40), (inf, 100))
_EF_UNKNOWN = 40

# A filtered search either compares with each of a tenant's t entries, or goes through the graph of all n in batches
# until it has met enough of the tenant's. The first takes time in proportion to t, the second to n / t, and they are
# even where t * t / n is about this, found between 20,000 and 100,000 entries. The server's own choice wavers for large
# tenants: at 10 % of 100,000 its p95 is 1.65 against 0.69 ms (benchmarks/results/tenants.md).
_EVEN = 40

_MANY = 10_000
"""Entries from which a tenant is large; counting stops there, since the server does nothing else meanwhile."""

_MAX_AGE_S = 60.0
_MOST = 10_000
"""Tenants that are remembered; afterwards their sizes are asked for anew."""


class Sizes:
    """What the server said about sizes, by index and tenant. ``clock`` gives seconds.

    The questions travel along with searches, so that they cost no round trip. An index is taken to have an entry for
    every two keys of the database: to ask it (FT.INFO) would hold up the server in proportion to
    the entries. Where the database has other keys, too, searches keep more candidates than they need.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._told: dict[tuple[str, str], _Told] = {}

    def questions(self, index: str, tenant: str) -> Sequence[Command]:
        """What to ask along with the next search; nothing while the last answer is fresh."""
        told = self._told.get((index, tenant))
        if told is not None and abs(self._clock() - told.at) < _MAX_AGE_S:
            return ()
        count = (("FT.AGGREGATE", index, f"@tenant:{{{tenant_tag(tenant)}}}", "LIMIT", _MANY, 1, "DIALECT", 2),)
        return (("DBSIZE",), *(count if tenant else ()))

    def learn(self, index: str, tenant: str, answers: Sequence[Any]) -> None:
        """Keep what the server answered to ``questions``. A refusal is not met again before the next are due."""
        if not answers:
            return
        if len(self._told) >= _MOST:
            self._told.clear()
        entries = of_tenant = None
        if not any(isinstance(answer, Exception) for answer in answers):
            entries = answers[0] // 2
            of_tenant = total(answers[1]) if tenant else entries
        self._told[index, tenant] = _Told(self._clock(), entries, of_tenant)

    def ef(self, index: str, tenant: str) -> int:
        """How many candidates a search of the graph is to keep."""
        told = self._told.get((index, tenant))
        return _EF_UNKNOWN if told is None or told.entries is None else ef_for(told.entries)

    def policy(self, index: str, tenant: str) -> Policy | None:
        """How to search for a tenant; None to leave it to the server, while nothing is known."""
        told = self._told.get((index, tenant))
        if told is None or told.entries is None or told.of_tenant is None:
            return None
        is_small = told.of_tenant <= _MANY and told.of_tenant**2 < _EVEN * told.entries
        return "ADHOC_BF" if is_small else "BATCHES"


class _Told(NamedTuple):
    """Entries of an index and of a tenant in it, and when that was asked. None: the server refused to say."""

    at: float
    entries: int | None
    of_tenant: int | None


def ef_for(entries: int) -> int:
    """How many candidates a search among so many entries is to keep."""
    return next(ef for most, ef in _EF if entries <= most)
