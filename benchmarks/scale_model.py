"""A model of look-ups and of what they cost, for more entries than one machine holds. Durations in ms.

The server's time for a search grows with the candidates that it keeps (``ef``, by ``ef_for``) times the steps that a
graph of n vectors takes, about log2(n). Two measured sizes give both constants, a third one checks them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log2

import numpy as np
from numpy.typing import NDArray

from semcache.redis.memory import Contents
from semcache.redis.memory_advice import advise
from semcache.redis.sizes import ef_for

NETWORK_MS = 0.3
"""Assumed round trip between a client and a server of one data centre."""
BUSY = 0.6
"""Assumed share of the time that a server may be busy: of one that is busy half of its time, a request waits as long as
it is served (M/M/1)."""
PRICE = 5.0
"""Assumed price of a GiB of memory with its processor for a month, in dollars; put in your own."""
_GIB = 2**30


@dataclass(frozen=True, slots=True)
class Measured:
    """What a search, an insertion, a removal and an exact read take of a server with so many entries."""

    entries: int
    search_ms: float
    insert_ms: float
    delete_ms: float
    read_ms: float


@dataclass(frozen=True, slots=True)
class Growth:
    """``fixed_ms + step_ms x ef x log2(n)`` for a search; insertion and removal grow with log2(n)."""

    fixed_ms: float
    step_ms: float
    insert: tuple[float, float]
    delete: tuple[float, float]
    read_ms: float

    @classmethod
    def of(cls, small: Measured, large: Measured) -> "Growth":
        step = (large.search_ms - small.search_ms) / (_work(large.entries) - _work(small.entries))
        return cls(
            small.search_ms - step * _work(small.entries),
            step,
            _line(small.entries, small.insert_ms, large.entries, large.insert_ms),
            _line(small.entries, small.delete_ms, large.entries, large.delete_ms),
            large.read_ms,
        )

    def at(self, entries: int) -> Measured:
        """What is to be expected of so many entries."""
        inserts, deletes = (level + slope * log2(entries) for level, slope in (self.insert, self.delete))
        return Measured(entries, self.fixed_ms + self.step_ms * _work(entries), inserts, deletes, self.read_ms)


def _work(entries: int) -> float:
    return ef_for(entries) * log2(entries)


def _line(small: int, low: float, large: int, high: float) -> tuple[float, float]:
    slope = (high - low) / (log2(large) - log2(small))
    return low - slope * log2(small), slope


def cluster(
    growth: Growth,
    spread: NDArray[np.float64],
    client_ms: float,
    entries: int,
    shards: int,
    *,
    exact: float,
) -> dict[str, float]:
    """What a cluster of so many shards takes and gives, where the share ``exact`` of the requests are exact hits.

    ``spread`` are durations of one search as multiples of their median; a look-up waits for the slowest shard.
    ``client_ms`` is what a look-up by meaning takes beside the search. Each request that is no exact hit is
    searched for on every shard and then written to one; entries expire as fast as they come.
    """
    each = growth.at(entries // shards)
    slowest = float(np.quantile(spread, 0.5 ** (1 / shards)))
    misses = 1 - exact
    busy_ms = misses * each.search_ms + (exact * each.read_ms + misses * (each.insert_ms + each.delete_ms)) / shards
    sized = advise(Contents(entries=entries, dims=384), shards)
    return {
        "shards": shards,
        "entries_each": entries // shards,
        "search_ms": each.search_ms,
        "slowest_of_all_ms": each.search_ms * slowest,
        "look_up_p50_ms": client_ms + 2 * NETWORK_MS + each.search_ms * slowest,
        "requests_per_s": BUSY * 1000 / busy_ms,
        "maxmemory_gib_each": sized.maxmemory / _GIB,
        "memory_gib": shards * sized.machine / _GIB,
        "dollars_per_month": PRICE * shards * sized.machine / _GIB,
    }


def deviation(predicted: Measured, measured: Measured) -> Sequence[dict[str, float | str]]:
    """How far predicted times are off the measured ones."""
    return [
        {
            "of": name.removesuffix("_ms"),
            "predicted_ms": getattr(predicted, name),
            "measured_ms": getattr(measured, name),
            "off": getattr(predicted, name) / getattr(measured, name) - 1,
        }
        for name in ("search_ms", "insert_ms", "delete_ms", "read_ms")
    ]
