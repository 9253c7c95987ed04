"""Goes through the keys of all shards with one cursor, as SCAN does with those of one server."""

from typing import Any, NamedTuple

from semcache.errors import StoreError, TransientStoreError
from semcache.redis.client.commands import Command
from semcache.redis.cluster.topology import Node, Topology

_MOST_RESTARTS = 3
_SERVER_BITS = 64
"""A server's own cursor has so many. What is this module's stands above them."""


class Position(NamedTuple):
    """The place of a scan: on the shard of this place, by this version of the topology, after so many beginnings."""

    cursor: int
    place: int
    version: int
    restarts: int

    @classmethod
    def of(cls, number: int, topology: Topology) -> "Position":
        """The position that a cursor stands for; where the topology has changed since, the beginning.

        A key may have moved from a shard that is yet to come to one that was gone through. Raises TransientStoreError
        when that happened too often.
        """
        if number == 0:
            return cls(0, 0, topology.version, 0)
        own = number >> _SERVER_BITS
        position = cls(number % 2**_SERVER_BITS, own % 2**16, own >> 32, own >> 16 & 0xFFFF)
        return position if position.version == topology.version else position.anew(topology)

    def anew(self, topology: Topology) -> "Position":
        """The beginning, once more."""
        if self.restarts == _MOST_RESTARTS:
            raise TransientStoreError("slots of the Redis Cluster keep moving, and keys with them; try again later")
        return Position(0, 0, topology.version, self.restarts + 1)

    @property
    def number(self) -> int:
        """The cursor that stands for it."""
        return (self.version << 32 | self.restarts << 16 | self.place) << _SERVER_BITS | self.cursor

    def node(self, topology: Topology) -> Node:
        """The shard to ask."""
        return list(topology.tags)[self.place]

    def command(self, scan: Command) -> Command:
        """The command for that shard."""
        return (scan[0], self.cursor, *scan[2:])

    def after(self, reply: Any, topology: Topology) -> "Position | None":
        """The position after a page; None after the last shard."""
        match reply:
            case [bytes(cursor), list()] if cursor.isdigit() and int(cursor):
                return self._replace(cursor=int(cursor))
            case [bytes(cursor), list()] if cursor.isdigit() and self.place + 1 < len(topology.tags):
                return self._replace(cursor=0, place=self.place + 1)
        return None


def is_page(reply: Any) -> bool:
    """Whether a reply is a page of keys, and no error."""
    return not isinstance(reply, StoreError) and isinstance(reply, list) and len(reply) == 2
