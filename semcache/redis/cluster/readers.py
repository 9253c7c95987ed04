"""Decides which node of a shard a look-up reads from, where replicas answer look-ups, too."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from math import inf
from typing import Any

from semcache.errors import StoreError, StoreTooSlowError, TransientStoreError
from semcache.protocols import Clock
from semcache.redis.client.commands import Command
from semcache.redis.cluster.topology import Node, Topology

LOOK_UPS = frozenset({"GETRANGE", "HGETALL", "FT.SEARCH"})
"""The commands that read entries."""

EVERY_S = 1.0
"""A replica says so often whether it still follows its primary, in the round trip of a look-up; and a node that failed,
answered with an error, or does not follow, is not asked for so long. Both cost a request a round trip, when another one
answers instead."""


class Readers:
    """The nodes of a shard that answer look-ups in turn: the primary, and replicas that follow it.

    ``first`` are commands that a replica needs before all others. A replica says whether it follows its primary every
    ``every_s`` seconds; 0: each time, where a node stands for several servers. ``on_unfit`` is called when one cannot
    be read from. Nothing is locked: threads that choose at the same time may ask a node once more than they would have
    to.
    """

    def __init__(
        self,
        first: Sequence[Command],
        clock: Clock,
        every_s: float = EVERY_S,
        on_unfit: Callable[[Node], None] = lambda node: None,
    ) -> None:
        self._first = tuple(first)
        self._clock = clock
        self._every_s = every_s
        self._on_unfit = on_unfit
        # One for each shard and command: with one for all, each second round trip would always meet the same node.
        self._turns: defaultdict[tuple[Node, object], Iterator[int]] = defaultdict(count)
        self._fit_until: dict[Node, float] = {}
        self._unfit_until: dict[Node, float] = {}

    def of(self, primary: Node, name: object, topology: Topology) -> Node:
        """The node to read from by a command of this name."""
        replicas = topology.replicas.get(primary, ())
        if not replicas:
            return primary
        nodes = self._fit((primary, *replicas)) or [primary]
        return nodes[next(self._turns[primary, name]) % len(nodes)]

    def is_lost(self, primary: Node, answer: Any, topology: Topology) -> bool:
        """Whether a primary gave no answer, and replicas may give one. Then these are asked alone for a while.

        Of one that did not answer within what a request had left, its circuit breaker tells first whether it hangs.
        """
        if not isinstance(answer, TransientStoreError) or isinstance(answer, StoreTooSlowError):
            return False
        if not self._fit(topology.replicas.get(primary, ())):
            return False
        self._unfit_until[primary] = self._clock() + EVERY_S
        return True

    def _fit(self, nodes: Sequence[Node]) -> list[Node]:
        now = self._clock()
        return [node for node in nodes if now >= self._unfit_until.get(node, -inf)]

    def before(self, replica: Node) -> list[Command]:
        """The commands that go to a replica before those that read."""
        is_known = self._clock() < self._fit_until.get(replica, -inf)
        return [*self._first] if is_known else [*self._first, ("ROLE",)]

    def is_sound(self, replica: Node, asked: Sequence[Command], answer: Any) -> bool:
        """Whether the answer of a replica to what it was asked can be used. Else the primary is to be asked."""
        if isinstance(answer, StoreError):
            return self._is_unfit(replica)
        replies = answer[len(self._first) :]
        if asked[len(self._first)] == ("ROLE",):
            role, *replies = replies
            if not _follows(role):
                return self._is_unfit(replica)
            self._fit_until[replica] = self._clock() + self._every_s
        # An error may be that an index has not come to the replica yet, or that the user may not read there. Asked each
        # time, half of all look-ups would take a round trip more.
        return not any(isinstance(reply, Exception) for reply in replies) or self._is_unfit(replica)

    def _is_unfit(self, replica: Node) -> bool:
        self._unfit_until[replica] = self._clock() + EVERY_S
        self._fit_until.pop(replica, None)
        self._on_unfit(replica)
        return False


def _follows(role: Any) -> bool:
    """Whether a node has what its primary has, but for a moment, by its reply to ROLE. One that became primary has."""
    match role:
        case [b"master", *_] | [b"slave", _, _, b"connected", *_]:
            return True
    # A user without the right to ask cannot know.
    return isinstance(role, Exception)
