"""Events of several servers: nodes of a Redis Cluster, and failovers by Sentinels."""

from dataclasses import dataclass

from semcache.events.failure import Failure


@dataclass(frozen=True, slots=True)
class ShardUnavailable:
    """A node of a Redis Cluster is left alone from now on, since it failed or is slow: once per outage of that node.

    Also the replicas that Sentinels name, where look-ups are read from them.

    Until ``ShardRecovered``, or until a replica has its place, what it holds is unknown.
    """

    node: str  # host:port
    error: str  # message


@dataclass(frozen=True, slots=True)
class ShardRecovered:
    """A node of a Redis Cluster answers again."""

    node: str
    after_s: float  # since the failure


@dataclass(frozen=True, slots=True)
class ShardLeftOut(Failure):
    """Reads of several shards of a Redis Cluster were answered without one of them: what it knows is missing.

    The first such read is told at once, and further ones together, once a second at most.
    """

    node: str
    error: str  # class and message, of the latest
    reads: int = 1


@dataclass(frozen=True, slots=True)
class TopologyChanged:
    """Slots of a Redis Cluster have other primaries now, after a failover or while it is resharded."""

    shards: int  # primaries that serve slots
    moved: int  # slots with another primary than before
    unserved: int  # slots without any


@dataclass(frozen=True, slots=True)
class PrimaryChanged:
    """The Sentinels name another primary than before: a failover. Addresses are ``host:port``."""

    before: str
    primary: str
