"""Reads the topology of a cluster by redis-py's own means, and the tags of the indexes that are there already."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from redis.cluster import ClusterNode, NodesManager
from redis.exceptions import RedisClusterException, ResponseError

from semcache.causes import message_of
from semcache.errors import StoreUnavailableError
from semcache.redis.client.address import TLS_OPTIONS, Address
from semcache.redis.client.commands import Command, Replies
from semcache.redis.client.failures import FOREIGN, translated
from semcache.redis.cluster.topology import SLOTS, Node, Topology, choose_tag

_LOGIN = frozenset({"username", "password", "credential_provider", "client_name", *TLS_OPTIONS})
_ASKED: Sequence[Command] = (("FT._LIST",), ("SEARCH.CLUSTERINFO",))


class Exchanges(Protocol):
    """A connection to a node, see ``NodeConnection.exchange``."""

    def exchange(self, commands: Sequence[Command], left_s: float | None = None) -> Replies: ...


def _replicas(nodes: Sequence[ClusterNode]) -> Sequence[Node]:
    """Those behind the primary, in a fixed order: each node names them in another one."""
    return sorted(Node(str(node.host), int(node.port)) for node in nodes[1:])


class Discovery:
    """Asks the nodes of a cluster for its topology; ``address`` is that of one of them.

    ``node`` opens a connection to one. Not safe to use from several threads at once.
    """

    def __init__(self, address: Address, where: str, timeout_s: float, node: Callable[[Node], Exchanges]) -> None:
        self._where = where
        self._node = node
        self._seed = Node(str(address.parameters.get("host", "localhost")), int(address.parameters.get("port", 6379)))
        self._options: dict[str, Any] = {
            **{name: value for name, value in address.parameters.items() if name in _LOGIN},
            **({"ssl": True} if address.kind == "tls" else {}),
            "socket_timeout": timeout_s,
            "socket_connect_timeout": timeout_s,
            "protocol": 2,
        }
        self._manager: NodesManager | None = None
        self._guessed: set[Node] = set()
        """Nodes that could not say which indexes they have."""

    def read(self, before: Topology | None = None) -> Topology:
        """The topology as it is now: the one before if nothing has changed. Raises StoreError when no node answers.

        Its version is that of before, unless primaries have changed.
        """
        slots = self._slots()
        owners = tuple(
            Node(str(slots[slot][0].host), int(slots[slot][0].port)) if slot in slots else None for slot in range(SLOTS)
        )
        owned: dict[Node, list[int]] = {}
        for slot, owner in enumerate(owners):
            if owner is not None:
                owned.setdefault(owner, []).append(slot)
        if not owned:
            raise StoreUnavailableError(f"{self._where} serves no slot; assign slots to its nodes")
        replicas = {owner: _replicas(slots[numbers[0]]) for owner, numbers in owned.items()}
        if before is None:
            return Topology(0, owners, *self._tags(owned, {}), replicas)
        if before.owners != owners or self._guessed & owned.keys():
            found = Topology(before.version + 1, owners, *self._tags(owned, before.tags), replicas)
            if not before.is_like(found):
                return found
        return before if before.replicas == replicas else replace(before, replicas=replicas)

    def _slots(self) -> Mapping[int, Sequence[ClusterNode]]:
        try:
            if self._manager is None:
                seed = ClusterNode(self._seed.host, self._seed.port)  # type: ignore[no-untyped-call]
                self._manager = NodesManager([seed], require_full_coverage=False, **self._options)
            else:
                self._manager.initialize()
        except (*FOREIGN, RedisClusterException) as error:  # the second is no RedisError
            # Of all nodes, redis-py says only what the last one answered.
            if isinstance(error.__cause__, FOREIGN):
                raise translated(error.__cause__, self._where) from error
            raise StoreUnavailableError(f"{self._where} does not tell its topology: {message_of(error)}") from error
        except IndexError as error:  # redis-py takes the first of no primaries
            raise StoreUnavailableError(f"{self._where} serves no slot; assign slots to its nodes") from error
        return self._manager.slots_cache

    def _tags(self, owned: Mapping[Node, Sequence[int]], before: Mapping[Node, str]) -> tuple[Mapping[Node, str], bool]:
        """The tag of each primary, in the order of their addresses, and whether the module has a coordinator."""
        tags: dict[Node, str] = {}
        self._guessed.clear()
        has_coordinator = False
        for node in sorted(owned):
            indexes: Sequence[str] = ()
            try:
                listed, info = self._node(node).exchange(_ASKED)
            except FOREIGN:
                # It is away, as its own breaker says. Its tag is looked at once more when it is back.
                self._guessed.add(node)
            else:
                if isinstance(listed, list):  # the right to ask may be missing
                    indexes = [name.decode() for name in listed if name.startswith(b"semcache:")]
                # A command that is unknown has an error of its own, also for a user without the right to it.
                is_unknown = isinstance(info, ResponseError) and "unknown command" in str(info).lower()
                has_coordinator = not is_unknown
            tags[node] = choose_tag(owned[node], indexes, before.get(node))
        return tags, has_coordinator
