"""Plans the first round of a step: which node is asked for what, and where the reply to each command will stand."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from semcache.errors import StoreError
from semcache.redis.client.commands import Command, PinnedIndex, Reads
from semcache.redis.cluster.merging import DISTANCE
from semcache.redis.cluster.parts import POINTS_ELSEWHERE, Part, Watch, give
from semcache.redis.cluster.readers import LOOK_UPS, Readers
from semcache.redis.cluster.topology import Node, Topology

_BY_SCRIPT = frozenset({"EVAL", "EVALSHA"})
_OF_SEVERAL = frozenset(
    {"SCAN", "UNLINK", "DBSIZE", "FT.SEARCH", "FT.AGGREGATE", "FT.DROPINDEX", "FT.INFO", "FT.CREATE", "ROLE"}
)
"""Commands that no single node answers."""

Place = tuple[Node, int]
"""The node that is asked, and the number of the reply among all that it gives."""


class Plan:
    """The commands for each node, and the ``places`` of the replies: for a search one of each shard, by its primary.

    Nearly every step is answered in its first round. Parts, which can be asked anew, are made for the rest alone.
    """

    __slots__ = ("_chosen", "_readers", "_replicas", "asked", "places")

    def __init__(self, readers: Readers | None) -> None:
        self.asked: dict[Node, list[Command]] = {}
        self.places: list[Place | Mapping[Node, Place]] = []
        self._readers = readers
        self._chosen: dict[Node, Node] = {}
        """The node to read from instead of each primary."""
        self._replicas: set[Node] = set()

    @classmethod
    def of(cls, step: Sequence[Command], topology: Topology, readers: Readers | None) -> "Plan | None":
        """The plan of a step of the usual kind, of commands with one key and searches; None for all others."""
        plan = cls(readers if isinstance(step, Reads) else None)
        for command in step:
            name = command[0]
            if name == "FT.SEARCH" and not topology.has_coordinator:
                own = for_shards(command, topology)
                plan.places.append({node: plan._add(node, command, topology) for node, command in own})
                continue
            if name == "FT.SEARCH" and len(topology.tags) == 1:
                owner: Node | None = next(iter(topology.tags))
            else:
                owner = None if name in _OF_SEVERAL else topology.owner(key_of(command))
            if owner is None:
                return None
            plan.places.append(plan._add(owner, command, topology))
        return plan

    def _add(self, owner: Node, command: Command, topology: Topology) -> Place:
        node = owner
        if self._readers is not None and command[0] in LOOK_UPS:
            chosen = self._chosen.get(owner)
            node = self._chosen[owner] = self._readers.of(owner, command[0], topology) if chosen is None else chosen
        several = self.asked.get(node)
        if several is None:
            several = self.asked[node] = []
            if node is not owner and self._readers is not None:
                several += self._readers.before(node)
                self._replicas.add(node)
        several.append(command)
        return node, len(several) - 1

    @property
    def has_replicas(self) -> bool:
        """Whether replicas are asked. Where one gives no answer, its primary is asked instead."""
        return bool(self._replicas)

    def is_whole(self, answers: Mapping[Node, Any]) -> bool:
        """Whether every node answered, and none pointed elsewhere."""
        for node, answer in answers.items():
            if node in self._replicas:
                if not self._is_sound(node, answer):
                    return False
                continue
            if isinstance(answer, StoreError):
                return False
            for reply in answer:
                if isinstance(reply, POINTS_ELSEWHERE):
                    return False
        return True

    def has_lost(self, answers: Mapping[Node, Any], topology: Topology) -> bool:
        """Whether a primary that was to be read from gave no answer, and replicas are to be asked instead."""
        readers = self._readers
        if readers is None:
            return False
        primaries = [owner for owner, node in self._chosen.items() if node == owner]
        return bool([primary for primary in primaries if readers.is_lost(primary, answers[primary], topology)])

    def hand_over(self, answers: Mapping[Node, Any], by_command: Sequence[Sequence[Part]], watch: Watch) -> bool:
        """Give each part its reply; whether they have to be asked again a little later.

        Those of a replica that gave none stay open, and so the primary is asked.
        """
        sound = {node for node in self._replicas if self._is_sound(node, answers[node])}
        must_wait = False
        for parts, place in zip(by_command, self.places, strict=True):
            for part in parts:
                node, at = place if isinstance(place, tuple) else place[part.node]
                answer = answers[node]
                if node in self._replicas:
                    if node in sound:
                        part.close(answer[at])
                    continue
                must_wait |= give(part, answer if isinstance(answer, StoreError) else answer[at], watch)
        return must_wait

    def _is_sound(self, node: Node, answer: Any) -> bool:
        return self._readers is not None and self._readers.is_sound(node, self.asked[node], answer)


def key_of(command: Command) -> bytes | str:
    """The key of a command, of several the first."""
    key = command[3 if command[0] in _BY_SCRIPT else 1]
    return key if isinstance(key, bytes) else str(key)


def for_shards(command: Command, topology: Topology) -> list[tuple[Node, Command]]:
    """A command of the search module as each shard gets it."""
    index = command[1].decode() if isinstance(command[1], bytes) else str(command[1])
    # The last argument of a search is its vector, and the others are the same for nearly all searches.
    rest = (*_without_fields(command[2:-1]), command[-1]) if command[0] == "FT.SEARCH" else command[2:]
    names = topology.indexes(index)
    owner = topology.owner(command[1].pin) if isinstance(command[1], PinnedIndex) else None
    # A slot that no node serves is asked for everywhere, as it has no entries anywhere.
    asked = names if owner is None or owner not in names else {owner: names[owner]}
    return [(node, (command[0], name, *rest)) for node, name in asked.items()]


@lru_cache(maxsize=256)
def _without_fields(arguments: Command) -> Command:
    """The arguments of a search that returns distances and nothing else.

    A server in cluster mode looks for the keys of all entries in the slot of the index's name, and so finds none of the
    others (seen in Redis 8.2). The reader then asks for the best by their keys.
    """
    if "RETURN" not in arguments:
        return arguments
    at = arguments.index("RETURN")
    return (*arguments[:at], "RETURN", 1, DISTANCE, *arguments[at + 2 + int(arguments[at + 1]) :])
