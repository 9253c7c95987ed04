"""Asks nodes of a cluster until each part of a step has its reply, and follows where they point to."""

from collections.abc import Generator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from redis.exceptions import AskError, ClusterDownError, MovedError, TryAgainError

from semcache.errors import StoreError, TransientStoreError
from semcache.redis.client.commands import Command, RedisStep, with_one_key
from semcache.redis.cluster.topology import Node

MOST_ROUNDS = 6
"""Where slots move, a node points to another, which may point on. After so many rounds the command fails."""
PAUSE_S = 0.002
"""Before a command is repeated whose keys are on their way from one node to another; it doubles each time."""


class Round(NamedTuple):
    """Steps by node, carried out at once; answered by the replies, or by the StoreError of a node that gave none.

    If another round may follow where a node gives none, the time that the request has left is shared with that.
    """

    asked: Mapping[Node, RedisStep]
    may_be_repeated: bool = False


class Pause(NamedTuple):
    """Wait for so many seconds."""

    seconds: float


class Refresh(NamedTuple):
    """Ask the cluster for its topology; answered by that."""


Routing = Generator[Round | Pause | Refresh, Any, Any]

POINTS_ELSEWHERE = (AskError, TryAgainError, ClusterDownError)  # MovedError is an AskError
"""Replies of a node that cannot answer itself, at least not now."""


class Watch(Protocol):
    """Is told what went otherwise than it should. Must not wait."""

    def left_out(self, node: Node, error: StoreError) -> None:
        """An answer lacks what this node would have said."""
        ...

    def suspect(self, *, has_changed: bool = False) -> None:
        """The topology may have changed, or has for certain."""
        ...


class Part:
    """A command for one node, and what came of it: a reply, or the StoreError of a node that gave none.

    ``others`` are nodes that could answer as well. A part is open until there is a reply.
    """

    __slots__ = ("command", "first", "is_asking", "is_keyed", "is_open", "node", "others", "reply")

    def __init__(self, node: Node, command: Command, *, is_keyed: bool, others: Sequence[Node] = ()) -> None:
        self.first: Node = node
        self.node: Node = node
        self.command: Command = command
        self.is_keyed: bool = is_keyed
        self.others: Sequence[Node] = others
        self.is_asking: bool = False
        self.is_open: bool = True
        self.reply: Any = None

    def close(self, reply: Any) -> None:
        self.reply = reply
        self.is_open = False

    def lose(self, error: StoreError) -> None:
        """The node gave no reply."""
        if self.others:
            self.node, *self.others = self.others
        else:
            self.close(error)

    def take(self, reply: Any) -> None:
        """The node's reply, which may point to another node."""
        if not isinstance(reply, POINTS_ELSEWHERE):
            self.close(reply)
            return
        self.reply = without_answer(self.node, reply)
        if isinstance(reply, TryAgainError) and self.is_asking and self.command != (one := with_one_key(self.command)):
            # The node before has none of the keys, else it would not have pointed to this one: they are new.
            self.command = one
        elif isinstance(reply, TryAgainError):
            self.node, self.is_asking = self.first, False
        elif isinstance(reply, AskError) and self.is_keyed:
            # MOVED is an AskError, too. Without a host it is the one that answered.
            self.node = Node(reply.host or self.node.host, int(reply.port))
            self.is_asking = not isinstance(reply, MovedError)
        else:
            self.is_open = False


def without_answer(node: Node, reply: Exception) -> TransientStoreError:
    """The error for a reply that points elsewhere, where nothing else is asked."""
    what = "is down, or has lost this shard" if isinstance(reply, ClusterDownError) else "moves slots"
    return TransientStoreError(f"the Redis Cluster {what}: {node} says {reply}")


def ask(parts: Sequence[Part], watch: Watch) -> Routing:
    """Ask until every part has its reply, in as many rounds as nodes point to others."""
    pause_s = PAUSE_S
    for _ in range(MOST_ROUNDS):
        asked: dict[Node, list[Part]] = {}
        for part in parts:
            if part.is_open:
                asked.setdefault(part.node, []).append(part)
        if not asked:
            return
        answers = yield Round({node: _commands(several) for node, several in asked.items()})
        must_wait = False
        for node, several in asked.items():
            must_wait |= _take(several, answers[node], watch)
        if must_wait:
            yield Pause(pause_s)
            pause_s *= 2
    for part in parts:
        if part.is_open:
            part.close(part.reply)


def _commands(parts: Sequence[Part]) -> list[Command]:
    commands: list[Command] = []
    for part in parts:
        # For the next command only: a node that is to get a slot answers for what it has of it already.
        commands += [("ASKING",), part.command] if part.is_asking else [part.command]
    return commands


def _take(parts: Sequence[Part], answer: Any, watch: Watch) -> bool:
    """Give parts the answer of their node; whether they have to be asked again a little later."""
    must_wait = False
    replies = None if isinstance(answer, StoreError) else iter(answer)
    for part in parts:
        if replies is not None and part.is_asking:
            next(replies)
        must_wait |= give(part, answer if replies is None else next(replies), watch)
    return must_wait


def give(part: Part, reply: Any, watch: Watch) -> bool:
    """Give a part what its node said, or why it said nothing; whether it has to be asked again a little later."""
    if isinstance(reply, StoreError):
        watch.suspect()
        part.lose(reply)
        return False
    part.take(reply)
    if part.reply is reply:
        return False
    watch.suspect(has_changed=isinstance(reply, MovedError))
    # Keys that are on two nodes are on one in a moment.
    return isinstance(reply, TryAgainError) and not part.is_asking
