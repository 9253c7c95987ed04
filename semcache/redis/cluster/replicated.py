"""The connection to a primary with replicas that Sentinels name, where replicas answer look-ups, too."""

from collections.abc import Callable
from dataclasses import replace
from time import monotonic
from typing import Any

from semcache.errors import StoreError
from semcache.events import Event
from semcache.flow.drive import adrive, drive
from semcache.redis.client.address import Address
from semcache.redis.client.commands import Reads, RedisStep
from semcache.redis.client.node import NodeConnection
from semcache.redis.client.sentinel import Sentinels
from semcache.redis.cluster.connection import of_shard
from semcache.redis.cluster.readers import Readers
from semcache.redis.cluster.rounds import Rounds
from semcache.redis.cluster.routing import carry_out
from semcache.redis.cluster.topology import SLOTS, Node, Topology

_PRIMARY, _REPLICA = Node("primary", 0), Node("replica", 0)
# One shard with all slots, of which each search asks one node. Its connections find their addresses by themselves.
_TOPOLOGY = Topology(0, (_PRIMARY,) * SLOTS, {_PRIMARY: ""}, has_coordinator=True, replicas={_PRIMARY: (_REPLICA,)})


class ReplicatedConnection:
    """Look-ups go to the ``primary`` and to replicas in turn, everything else to the primary.

    ``address`` is that of the service; ``open_node`` makes the connection to its replicas, each of whose connections
    leads to one that the Sentinels name. What no replica answers, the primary does.
    """

    def __init__(
        self,
        address: Address,
        sentinels: Sentinels,
        primary: NodeConnection,
        open_node: Callable[..., NodeConnection],
        on_event: Callable[[Event], None],
    ) -> None:
        self.where: str = address.where
        self.primary = primary
        of_replicas = replace(address, sentinels=replace(sentinels, of_replicas=True))
        name = f"replicas of {sentinels.service}"
        self._replica = replica = open_node(of_replicas, on_event=lambda event: on_event(of_shard(name, event)))
        # Its connections may lead to several servers: each says for itself whether it follows the primary, and one that
        # does not is left for another that the Sentinels name.
        self._readers = Readers((), monotonic, every_s=0.0, on_unfit=lambda node: replica.renew())
        nodes = {_PRIMARY: primary, _REPLICA: self._replica}
        self._rounds = Rounds(nodes.__getitem__, lambda: _TOPOLOGY, self.where)

    def execute(self, step: RedisStep) -> Any:
        """See ``RedisConnection.execute``."""
        if isinstance(step, Reads):
            return drive(carry_out(step, _TOPOLOGY, self, self._readers), self._rounds.perform)
        return self.primary.execute(step)

    async def aexecute(self, step: RedisStep) -> Any:
        """``execute``, awaited."""
        if isinstance(step, Reads):
            return await adrive(carry_out(step, _TOPOLOGY, self, self._readers), self._rounds.aperform)
        return await self.primary.aexecute(step)

    def left_out(self, node: Node, error: StoreError) -> None:
        """The primary gave no answer, as its own breaker tells."""

    def suspect(self, *, has_changed: bool = False) -> None:
        """The Sentinels are asked anyway whenever a connection is opened."""

    def close(self) -> None:
        """See ``RedisConnection.close``; the primary is its own."""
        self._replica.close()

    async def aclose(self) -> None:
        """See ``RedisConnection.aclose``."""
        await self._replica.aclose()

    def __repr__(self) -> str:
        return f"<ReplicatedConnection to {self.where}>"
