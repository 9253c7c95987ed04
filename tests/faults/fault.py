"""A fault as a value."""

from collections.abc import Callable
from dataclasses import dataclass

from tests.faults.world import World

AWAY = ("CacheUnavailable",)
"""What tells of faults in which Redis is left alone until it answers again."""

LONG_S = 3.5
"""500 requests after the first second, by the load of the table."""

Strike = Callable[[World], object]


def nothing(world: World) -> None:
    """Nothing to be done."""


@dataclass(frozen=True, slots=True)
class Fault:
    """How to begin a fault, and how to end it.

    ``strikes`` is what it befalls: network, server, data, embedder or reranker. ``prepare`` comes before any request.
    ``tells`` are events of which one must come before recovery; empty where requests need notice nothing.
    ``heals`` is False where the cache stays away. ``own`` means a fault of semcache's own format, which is none for
    others. ``lasts_s`` is how long it goes on at least, for p99 of what many requests see.
    """

    name: str
    strikes: str
    begin: Strike
    end: Strike = nothing
    prepare: Strike = nothing
    tells: tuple[str, ...] = ()
    heals: bool = True
    own: bool = False
    lasts_s: float = 0.0
