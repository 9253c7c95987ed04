"""Which node of a Redis Cluster owns which slots, and the tag that names of its indexes carry."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import count
from typing import NamedTuple

from redis.crc import key_slot

SLOTS = 16384


class Node(NamedTuple):
    """The address of a node."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Topology:
    """The shards of a cluster at one moment; ``version`` counts how often they were seen to change.

    ``owners`` has the primary of each slot, None where no node has it. ``tags`` has the primaries that own slots, in a
    fixed order. Where the search module has no coordinator, each shard has an index of its own, whose name ends with
    the tag: the server refuses a search unless it owns the slot of the index's *name*. ``replicas`` are those of each
    primary that has some.
    """

    version: int
    owners: Sequence[Node | None]
    tags: Mapping[Node, str]
    has_coordinator: bool = False
    replicas: Mapping[Node, Sequence[Node]] = field(default_factory=dict)
    _indexes: dict[str, Mapping[Node, str]] = field(default_factory=dict, init=False, repr=False, compare=False)

    def owner(self, key: bytes | str) -> Node | None:
        """The primary that serves a key."""
        return self.owners[key_slot(key if isinstance(key, bytes) else key.encode())]

    def index_on(self, node: Node, name: str) -> str:
        """The name that an index has on a node."""
        return name if self.has_coordinator else f"{name}:{{{self.tags[node]}}}"

    def indexes(self, name: str) -> Mapping[Node, str]:
        """The name that an index has on each of the shards, where the module has no coordinator."""
        known = self._indexes.get(name)
        if known is None:
            known = self._indexes[name] = {node: self.index_on(node, name) for node in self.tags}
        return known

    @property
    def nodes(self) -> Collection[Node]:
        """All primaries that own slots, and their replicas."""
        return {*self.tags, *(node for several in self.replicas.values() for node in several)}

    def is_like(self, other: "Topology") -> bool:
        """Whether its primaries are the same, whatever its version."""
        return (self.owners, self.tags, self.has_coordinator) == (other.owners, other.tags, other.has_coordinator)


def slot_of(key: bytes | str) -> int:
    """The slot of a key: of the part between braces, if it has one."""
    return key_slot(key if isinstance(key, bytes) else key.encode())


def choose_tag(owned: Iterable[int], indexes: Iterable[str], present: str | None = None) -> str:
    """The tag for the indexes of a node with these slots, where there are indexes of these names.

    All processes choose the same, so that a node has one index and not one for each of them: the tag of indexes that
    are there, else that of the highest slot, since resharding moves the lowest ones first. The present one stays as
    long as it can.
    """
    slots = set(owned)
    if present is not None and slot_of(present) in slots:
        return present
    tags = Counter(tag for name in indexes if (tag := tag_in(name)) and slot_of(tag) in slots)
    if tags:
        return min(tags, key=lambda tag: (-tags[tag], tag))
    return tag_of_slot(max(slots))


def tag_in(index: str) -> str:
    """The tag at the end of the name of an index; empty without one."""
    _, brace, tag = index.rpartition(":{")
    return tag[:-1] if brace and tag.endswith("}") else ""


@lru_cache(maxsize=1024)
def tag_of_slot(slot: int) -> str:
    """The smallest number whose digits, as a key, lie in this slot. It takes up to 0.1 s to find."""
    return next(str(number) for number in count() if slot_of(str(number)) == slot)
