"""Events of the cache: steps that failed, outages of Redis, and entries that cannot be used."""

from dataclasses import dataclass

from semcache.events.failure import Failure


@dataclass(frozen=True, slots=True)
class CacheFailed(Failure):
    """A step of the cache failed; the request went on as if there were no cache."""

    # Name of the step's class, such as ReadExact, or of what no request waits for: Connect, Topology, Quality, Learn.
    step: str
    error: str  # class and message


@dataclass(frozen=True, slots=True)
class CacheUnavailable:
    """Redis is left alone from now on, since it failed or is slow: once per outage.

    Until ``CacheRecovered`` requests go on without the cache. Of the steps that a request leaves out, the first is a
    ``CacheFailed``.
    """

    error: str  # message


@dataclass(frozen=True, slots=True)
class CacheRecovered:
    """Redis answers again: its circuit breaker has closed."""

    after_s: float  # since the failure that opened it


@dataclass(frozen=True, slots=True)
class OptionIgnored:
    """An option of the Redis url was left out at the set-up, because semcache decides it itself."""

    option: str
    instead: str  # what holds instead, or which setting to use


@dataclass(frozen=True, slots=True)
class IndexCreated:
    """A vector index was created, or created again after it had vanished."""

    name: str
    is_scanned: bool = True  # by the server at once; where it has many keys, entries are put in at a pace instead


@dataclass(frozen=True, slots=True)
class IndexRefilled:
    """All entries are in an index again that had vanished from a server of many keys."""

    name: str
    entries: int  # that had to be put in


@dataclass(frozen=True, slots=True)
class EntriesEstimated:
    """About how many entries the Redis database holds, once a minute at most, read along with a search.

    It is half of its keys, so keys of other programs count, too.
    """

    entries: int


@dataclass(frozen=True, slots=True)
class NeighboursSkipped:
    """Neighbours were found in the index whose scores had already expired."""

    count: int


@dataclass(frozen=True, slots=True)
class EntryDamaged:
    """A part of an entry could not be used. It counts as unknown, and was removed, so that it is written anew."""

    entry: str  # its id; empty where a reply of the server could not be read at all
    part: str  # scores or vector
    # In one word. version: of another format. size: more than an entry may hold. layout: cut off. check: changed, or
    # another entry's, or not signed with our key. number: not finite. reply: not the reply to what was asked.
    fault: str


@dataclass(frozen=True, slots=True)
class VectorRefused:
    """A vector of the embedder was neither stored nor searched by, since it would hide others from searches."""

    length: float  # 1 is right; NaN or infinite where one of its numbers is
