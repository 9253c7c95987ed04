"""How large ``maxmemory`` and the machine of a Redis should be, for contents of a known size."""

from dataclasses import dataclass, replace
from math import ceil, sqrt

from semcache.errors import InvalidInputError
from semcache.redis.memory import SLOTS, Contents, Footprint, footprint

_NOT_YET_REMOVED = 0.1
"""Redis removes expired keys bit by bit, and leaves up to this share of them (``active-expire-effort 1``, expire.c)."""
_UNKNOWN = 0.1
"""Share that the formula may be off by."""
_FRAGMENTATION = 1.1
"""Memory that the server has of the system, per byte that it uses: what allocators leave between what was freed."""
_COPIED = 0.5
"""Share of the memory that is there twice while a forked process saves: each page that is written meanwhile. A search
writes, too: to the locks in the links of the vectors that it passes."""
_REPLICA = 256 * 2**20
"""Bytes that the server keeps for a replica that is behind (``client-output-buffer-limit replica 256mb 64mb 60``). They
do not count towards ``maxmemory``."""
_MB = 2**20


@dataclass(frozen=True, slots=True)
class MemoryAdvice:
    """Memory of each server, in bytes; of the fullest shard, where there are several.

    ``expected`` is what its contents take. ``maxmemory`` is what to set. ``machine`` is what the server may take of its
    machine when it is full, ``machine_saving`` the same while it saves to disk or feeds a new replica.
    """

    shards: int
    footprint: Footprint
    maxmemory: int
    machine: int
    machine_saving: int

    @property
    def expected(self) -> float:
        """Bytes of ``used_memory`` with these contents."""
        return self.footprint.total


def advise(contents: Contents, shards: int = 1) -> MemoryAdvice:
    """The memory to set and to provide for these contents in so many servers. Raises InvalidInputError.

    Example:
        >>> advise(Contents(entries=1_000_000, dims=384)).maxmemory // 2**20
        4233
    """
    if not 1 <= shards <= SLOTS:
        raise InvalidInputError(f"shards is {shards}; take a number from 1 to {SLOTS}")
    there = footprint(_share(contents, shards), SLOTS // shards if shards > 1 else 0)
    maxmemory = ceil(there.total * (1 + _NOT_YET_REMOVED + _UNKNOWN) / _MB) * _MB
    machine = round(maxmemory * _FRAGMENTATION)
    return MemoryAdvice(shards, there, maxmemory, machine, round(machine + maxmemory * _COPIED + _REPLICA))


def _share(contents: Contents, shards: int) -> Contents:
    """The contents of the fullest shard: keys fall into slots at random, so one has some more than its share."""
    if shards == 1:
        return contents
    mean = contents.entries / shards
    # Three standard deviations of a Poisson distribution.
    return replace(contents, entries=ceil(mean + 3 * sqrt(mean)), documents=ceil(contents.documents / shards))
