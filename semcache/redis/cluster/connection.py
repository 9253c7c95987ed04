"""The connection to a Redis Cluster: carries out steps on its nodes, and follows its changes."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from time import monotonic
from typing import Any

from semcache.causes import cause_of
from semcache.errors import StoreError
from semcache.events import CacheRecovered, CacheUnavailable, Event, ShardRecovered, ShardUnavailable
from semcache.flow.drive import adrive, drive
from semcache.redis.client.address import Address, Kind
from semcache.redis.client.commands import Reads, RedisStep
from semcache.redis.client.node import NodeConnection
from semcache.redis.cluster.discovery import Discovery
from semcache.redis.cluster.keeper import TopologyKeeper
from semcache.redis.cluster.left_out import LeftOut
from semcache.redis.cluster.parts import POINTS_ELSEWHERE
from semcache.redis.cluster.readers import Readers
from semcache.redis.cluster.rounds import Rounds
from semcache.redis.cluster.routing import alone, carry_out
from semcache.redis.cluster.topology import Node, Topology
from semcache.runtime.forking import ForkSafeLock

_DISCOVERY_TIMEOUT_S = 1.0
"""For the answer of one node; then another one is asked."""


class ClusterConnection:
    """All nodes of the cluster that a server belongs to, as if they were one server.

    ``address`` is that of one node; the others are reached with the same login. ``open_node`` makes the connection to
    one. Each has pools and a circuit breaker of its own: what one shard cannot answer is missing, and the others
    answer. If it ``reads_from_replicas``, a shard's primary and replicas answer look-ups in turn. Raises StoreError
    when the cluster does not tell its topology.
    """

    def __init__(
        self,
        address: Address,
        open_node: Callable[..., NodeConnection],
        on_event: Callable[[Event], None],
        *,
        reads_from_replicas: bool = False,
    ) -> None:
        self.where: str = address.where.replace("Redis at", "Redis Cluster at", 1)
        self._address = address
        self._open_node = open_node
        self._on_event = on_event
        self._nodes: dict[Node, NodeConnection] = {}
        self._lock = ForkSafeLock()
        discovery = Discovery(address, self.where, _DISCOVERY_TIMEOUT_S, self._connection_to)
        self._left_out = LeftOut()
        # READONLY: else a node of a cluster points to the primary.
        self._readers = Readers((("READONLY",),), monotonic) if reads_from_replicas else None
        self._keeper = TopologyKeeper(discovery, on_event, self._retire)
        self._rounds = Rounds(self._connection_to, self._keeper.refresh, self.where)

    @property
    def topology(self) -> Topology:
        """The topology that was seen last."""
        return self._keeper.current

    @property
    def primaries(self) -> Sequence[NodeConnection]:
        """The connections to the primary of each shard."""
        return [self._connection_to(node) for node in self.topology.tags]

    def _connection_to(self, node: Node) -> NodeConnection:
        connection = self._nodes.get(node)
        if connection is not None:
            return connection
        with self._lock:
            if node not in self._nodes:
                parameters = {**self._address.parameters, "host": node.host, "port": node.port}
                parameters.pop("path", None)
                kind: Kind = "tls" if self._address.kind == "tls" else "tcp"
                self._nodes[node] = self._open_node(
                    replace(self._address, kind=kind, parameters=parameters), on_event=partial(self._of_node, node)
                )
            return self._nodes[node]

    def _of_node(self, node: Node, event: Event) -> None:
        """Tell of what happened to a node."""
        if isinstance(event, CacheUnavailable | CacheRecovered):
            self.suspect()
        if isinstance(event, CacheRecovered):
            self._tell_of(self._left_out.rest(str(node)))
        self._on_event(of_shard(str(node), event))

    def left_out(self, node: Node, error: StoreError) -> None:
        """Tell that an answer lacks what this node would have said, once in a while."""
        self._tell_of(self._left_out.add(str(node), cause_of(error), monotonic()))

    def _tell_of(self, event: Event | None) -> None:
        if event is not None:
            self._on_event(event)

    def suspect(self, *, has_changed: bool = False) -> None:
        """Look soon whether the topology has changed."""
        self._keeper.suspect(has_changed=has_changed)

    def _retire(self, topology: Topology) -> None:
        """Close the connections to nodes that are not asked any more: what comes back is connected to anew."""
        used = topology.tags if self._readers is None else topology.nodes
        with self._lock:
            gone = {node: self._nodes.pop(node) for node in list(self._nodes) if node not in used}
        for node, connection in gone.items():
            connection.retire()
            self._tell_of(self._left_out.rest(str(node)))

    def execute(self, step: RedisStep) -> Any:
        """See ``RedisConnection.execute``. Raises StoreError only where no node that was asked answers."""
        topology = self._keeper.current
        node = self._alone(step, topology)
        if node is not None:
            # The path of an exact hit. Where the node points to another one, the step begins anew.
            try:
                replies = self._connection_to(node).execute(step)
            except StoreError:
                self.suspect()
                raise
            if not isinstance(replies[0], POINTS_ELSEWHERE):
                return replies
        return drive(carry_out(step, topology, self, self._readers), self._rounds.perform)

    async def aexecute(self, step: RedisStep) -> Any:
        """``execute``, awaited."""
        topology = self._keeper.current
        node = self._alone(step, topology)
        if node is not None:
            try:
                replies = await self._connection_to(node).aexecute(step)
            except StoreError:
                self.suspect()
                raise
            if not isinstance(replies[0], POINTS_ELSEWHERE):
                return replies
        return await adrive(carry_out(step, topology, self, self._readers), self._rounds.aperform)

    def _alone(self, step: RedisStep, topology: Topology) -> Node | None:
        """The node that is asked alone; None where several may be."""
        return alone(step, topology) if self._readers is None or not isinstance(step, Reads) else None

    def close(self) -> None:
        """See ``RedisConnection.close``."""
        self._keeper.stop()
        for connection in list(self._nodes.values()):
            connection.close()

    async def aclose(self) -> None:
        """See ``RedisConnection.aclose``."""
        for connection in list(self._nodes.values()):
            await connection.aclose()
        self.close()

    def __repr__(self) -> str:
        return f"<ClusterConnection to {self.where}: {self._keeper!r}>"


def of_shard(node: str, event: Event) -> Event:
    """An event that happened to a node, as news of this node: one that is away is not the whole cache."""
    match event:
        case CacheUnavailable(error):
            return ShardUnavailable(node, error)
        case CacheRecovered(after_s):
            return ShardRecovered(node, after_s)
    return event
