"""Decides which nodes of a cluster are asked for what, and follows where they point to.

``carry_out`` is a generator without I/O, like the operations of the store, so that one text serves threads and event
loops. It yields rounds: steps for several nodes, which are carried out at once.
"""

from collections.abc import Generator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from redis.exceptions import AskError, ClusterDownError, MovedError, TryAgainError

from semcache.errors import StoreError, StoreUnavailableError, TransientStoreError
from semcache.redis.client.commands import Command, CreateIndex, Reconnect, RedisStep
from semcache.redis.cluster import merging
from semcache.redis.cluster.scanning import Position, is_page
from semcache.redis.cluster.topology import Node, Topology, slot_of

_MOST_ROUNDS = 6
"""Where slots move, a node points to another, which may point on. After so many rounds the command fails."""
_PAUSE_S = 0.002
"""Before a command is repeated whose keys are on their way from one node to another; it doubles each time."""


class Round(NamedTuple):
    """Steps by node, carried out at once; answered by the replies, or by the StoreError of a node that gave none."""

    asked: Mapping[Node, RedisStep]


class Pause(NamedTuple):
    """Wait for so many seconds."""

    seconds: float


class Refresh(NamedTuple):
    """Ask the cluster for its topology; answered by that."""


Routing = Generator[Round | Pause | Refresh, Any, Any]


class Watch(Protocol):
    """Is told what went otherwise than it should. Must not wait."""

    def left_out(self, node: Node, error: StoreError) -> None:
        """An answer lacks what this node would have said."""
        ...

    def suspect(self) -> None:
        """The topology may have changed."""
        ...


# What a shard without the key would say. Only reads that can do without are here.
_NOTHING: Mapping[str, Any] = {"GET": None, "GETRANGE": b"", "HGETALL": []}
_BY_SCRIPT = frozenset({"EVAL", "EVALSHA"})
_BY_SHARD = {
    "DBSIZE": merging.merged_sizes,
    "FT.AGGREGATE": merging.merged_sizes,
    "FT.DROPINDEX": merging.merged_answer,
    "FT.INFO": merging.any_answer,
    "FT.CREATE": merging.any_answer,
    "ROLE": merging.any_answer,
}


class _Part:
    """A command for one node, and what came of it: a reply, or the StoreError of a node that gave none.

    ``others`` are nodes that could answer as well. A part is open until there is a reply.
    """

    __slots__ = ("command", "first", "is_asking", "is_keyed", "is_open", "node", "others", "reply")

    def __init__(self, node: Node, command: Command, *, is_keyed: bool, others: Sequence[Node] = ()) -> None:
        self.first = self.node = node
        self.command = command
        self.is_keyed = is_keyed
        self.others = others
        self.is_asking = False
        self.is_open = True
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
        if not isinstance(reply, AskError | TryAgainError | ClusterDownError):
            self.close(reply)
            return
        is_down = isinstance(reply, ClusterDownError)
        what = "is down, or has lost this shard" if is_down else "moves slots"
        self.reply = TransientStoreError(f"the Redis Cluster {what}: {self.node} says {reply}")
        if isinstance(reply, TryAgainError):
            self.node, self.is_asking = self.first, False
        elif isinstance(reply, AskError) and self.is_keyed:
            # MOVED is an AskError, too. Without a host it is the one that answered.
            self.node = Node(reply.host or self.node.host, int(reply.port))
            self.is_asking = not isinstance(reply, MovedError)
        else:
            self.is_open = False


def carry_out(step: RedisStep, topology: Topology, watch: Watch) -> Routing:
    """The answer of the whole cluster to a step, as that of one server. Raises StoreError when no node answers."""
    if isinstance(step, CreateIndex):
        return (yield from _create(step, topology, watch))
    if isinstance(step, Reconnect):
        yield Round(dict.fromkeys(topology.tags, step))
        return None
    by_command = [_parts(command, topology) for command in step]
    parts = [part for several in by_command for part in several]
    yield from _ask(parts, watch)
    if parts and all(isinstance(part.reply, StoreError) for part in parts):
        raise parts[0].reply
    replies = []
    for command, several in zip(step, by_command, strict=True):
        part = several[0] if len(several) == 1 else None
        if part is not None and part.is_keyed and not isinstance(part.reply, StoreError):
            replies.append(part.reply)  # the usual case
        elif command[0] == "SCAN":
            replies.append((yield from _page(command, several[0].reply, topology)))
        else:
            replies.append(_merged(command, several, topology, watch))
    return replies


def _parts(command: Command, topology: Topology) -> list[_Part]:
    """What each node is asked for the sake of a command."""
    name = str(command[0])
    if name == "UNLINK":
        # Key by key: each may lie in a slot of its own, and on another node while that slot moves.
        return [_keyed((name, key), key, topology) for key in command[1:]]
    if name == "SCAN":
        position = Position.of(int(command[1]), topology)
        return [_Part(position.node(topology), position.command(command), is_keyed=False)]
    if name == "FT.SEARCH" or name in _BY_SHARD:
        return _by_shard(command, topology)
    return [_keyed(command, command[3 if name in _BY_SCRIPT else 1], topology)]


def _keyed(command: Command, key: bytes | str | float, topology: Topology) -> _Part:
    name = key if isinstance(key, bytes) else str(key)
    owner = topology.owner(name)
    if owner is not None:
        return _Part(owner, command, is_keyed=True)
    part = _Part(next(iter(topology.tags)), command, is_keyed=True)
    part.close(StoreUnavailableError(f"no node of the Redis Cluster serves slot {slot_of(name)}"))
    return part


def _by_shard(command: Command, topology: Topology) -> list[_Part]:
    name, *rest = command
    nodes = list(topology.tags)
    if not str(name).startswith("FT."):
        return [_Part(node, command, is_keyed=False) for node in nodes]
    if topology.has_coordinator:
        return [_Part(nodes[0], command, is_keyed=False, others=nodes[1:])]
    index = rest[0].decode() if isinstance(rest[0], bytes) else str(rest[0])
    arguments = _without_fields(rest[1:])
    return [_Part(node, (name, topology.index_on(node, index), *arguments), is_keyed=False) for node in nodes]


def _without_fields(arguments: Sequence[Any]) -> Sequence[Any]:
    """The arguments of a search that returns distances and nothing else.

    A server in cluster mode looks for the keys of all entries in the slot of the index's name, and so finds none of the
    others (seen in Redis 8.2). The reader then asks for the best by their keys.
    """
    if "RETURN" not in arguments:
        return arguments
    at = arguments.index("RETURN")
    return [*arguments[:at], "RETURN", 1, merging.DISTANCE, *arguments[at + 2 + int(arguments[at + 1]) :]]


def _ask(parts: Sequence[_Part], watch: Watch) -> Routing:
    """Ask until every part has its reply, in as many rounds as nodes point to others."""
    pause_s = _PAUSE_S
    for _ in range(_MOST_ROUNDS):
        asked: dict[Node, list[_Part]] = {}
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


def _commands(parts: Sequence[_Part]) -> list[Command]:
    commands: list[Command] = []
    for part in parts:
        # For the next command only: a node that is to get a slot answers for what it has of it already.
        commands += [("ASKING",), part.command] if part.is_asking else [part.command]
    return commands


def _take(parts: Sequence[_Part], answer: Any, watch: Watch) -> bool:
    """Give parts the answer of their node; whether they have to be asked again a little later."""
    if isinstance(answer, StoreError):
        watch.suspect()
        for part in parts:
            part.lose(answer)
        return False
    must_wait = False
    replies = iter(answer)
    for part in parts:
        reply = next(replies)
        if part.is_asking:
            reply = next(replies)
        part.take(reply)
        if part.reply is not reply:
            watch.suspect()
            must_wait |= isinstance(reply, TryAgainError)
    return must_wait


def _page(command: Command, reply: Any, topology: Topology) -> Routing:
    """A page of keys, with the cursor that the scan of all shards goes on with."""
    if not is_page(reply):
        return reply
    position = Position.of(int(command[1]), topology)
    following = position.after(reply, topology)
    if following is None:
        # Whether keys moved from one shard to another while they were gone through.
        now = yield Refresh()
        following = None if now.version == position.version else position.anew(now)
    return [b"%d" % (0 if following is None else following.number), reply[1]]


def _merged(command: Command, parts: Sequence[_Part], topology: Topology, watch: Watch) -> Any:
    """One reply to a command."""
    name = str(command[0])
    replies = {part.node: part.reply for part in parts}
    if name == "UNLINK":
        return merging.merged_count(dict(enumerate(part.reply for part in parts)))
    if name == "FT.SEARCH":
        reply = merging.merged_search(command, replies, topology, watch.suspect)
        missing = {} if isinstance(reply, StoreError) else merging.lost(replies)
    elif name in _BY_SHARD:
        return _BY_SHARD[name](replies)
    else:
        reply = parts[0].reply
        missing = merging.lost(replies) if name in _NOTHING else {}
        if missing:
            reply = _NOTHING[name]
    for node, error in missing.items():
        watch.left_out(node, error)
    return reply


def _create(step: CreateIndex, topology: Topology, watch: Watch) -> Routing:
    """Create an index on all shards; None, or the error of one."""
    answers: Mapping[Node, Any] = {}
    for _ in range(_MOST_ROUNDS):
        nodes = list(topology.tags)[: 1 if topology.has_coordinator else None]
        answers = yield Round({node: step.named(topology.index_on(node, step.schema.index.name)) for node in nodes})
        if not any(isinstance(answer, AskError) for answer in answers.values()):
            break
        # The slot of the index's name has moved.
        topology = yield Refresh()
    missing = merging.lost(answers)
    if len(missing) == len(answers):
        raise next(iter(missing.values()))
    for node, error in missing.items():
        watch.left_out(node, error)
    return next(
        (answer for answer in answers.values() if answer is not None and not isinstance(answer, StoreError)), None
    )
