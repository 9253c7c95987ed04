"""Decides which nodes of a cluster are asked for what, and follows where they point to.

``carry_out`` is a generator without I/O, like the operations of the store, so that one text serves threads and event
loops. It yields rounds: steps for several nodes, which are carried out at once.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from redis.exceptions import AskError

from semcache.errors import StoreError, StoreUnavailableError
from semcache.redis.client.commands import Command, CreateIndex, Reconnect, RedisStep
from semcache.redis.cluster import merging
from semcache.redis.cluster.parts import (
    MOST_ROUNDS,
    POINTS_ELSEWHERE,
    Part,
    Refresh,
    Round,
    Routing,
    Watch,
    ask,
)
from semcache.redis.cluster.scanning import Position, is_page
from semcache.redis.cluster.topology import Node, Topology, slot_of

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

_OF_SEVERAL = frozenset({"FT.SEARCH", "SCAN", "UNLINK", *_BY_SHARD})
"""Commands that no single node answers. FT.SEARCH is one where the module has a coordinator."""


def carry_out(step: RedisStep, topology: Topology, watch: Watch) -> Routing:
    """The answer of the whole cluster to a step, as that of one server. Raises StoreError when no node answers."""
    if isinstance(step, CreateIndex):
        return (yield from _create(step, topology, watch))
    if isinstance(step, Reconnect):
        yield Round(dict.fromkeys(topology.tags, step))
        return None
    planned = _planned(step, topology)
    answers = None
    if planned is not None:
        answers = yield Round(planned.asked)
        if _is_whole(answers):
            return [
                _reply(command, place, answers, topology, watch)
                for command, place in zip(step, planned.places, strict=True)
            ]
    by_command = [_parts(command, topology) for command in step]
    parts = [part for several in by_command for part in several]
    yield from ask(parts, watch, answers)
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
            # By the node, but for the keys of a removal, of which one node may have several.
            named = enumerate(several) if command[0] == "UNLINK" else ((part.node, part) for part in several)
            replies.append(_merged(command, {name: part.reply for name, part in named}, topology, watch))
    return replies


def alone(step: RedisStep, topology: Topology) -> Node | None:
    """The node that can answer a step without any other: of a single command with a key; None for other steps."""
    if not isinstance(step, Sequence) or len(step) != 1:
        return None
    (command,) = step
    return topology.owner(command[1]) if command[0] in _NOTHING else None  # type: ignore[arg-type]


class _Plan(NamedTuple):
    """What each node is asked in the first round, and for each command of the step where its replies will stand.

    That is a place among the commands of a node, or one for each shard.
    """

    asked: Mapping[Node, list[Command]]
    places: Sequence[tuple[Node, int] | Mapping[Node, int]]


def _planned(step: Sequence[Command], topology: Topology) -> _Plan | None:
    """The plan of a step of the usual kind, of commands with one key and searches; None for all others.

    Nearly every step is answered in its first round. Parts, which can be asked anew, are made for the rest alone.
    """
    asked: dict[Node, list[Command]] = {}
    places: list[tuple[Node, int] | Mapping[Node, int]] = []
    for command in step:
        name = command[0]
        if name == "FT.SEARCH" and not topology.has_coordinator:
            by_shard: dict[Node, int] = {}
            for node, own in _for_shards(command, topology):
                several = asked.setdefault(node, [])
                by_shard[node] = len(several)
                several.append(own)
            places.append(by_shard)
            continue
        owner = None if name in _OF_SEVERAL else topology.owner(_key(command))
        if owner is None:
            return None
        several = asked.setdefault(owner, [])
        places.append((owner, len(several)))
        several.append(command)
    return _Plan(asked, places)


def _is_whole(answers: Mapping[Node, Any]) -> bool:
    """Whether every node answered, and none pointed elsewhere."""
    for answer in answers.values():
        if isinstance(answer, StoreError):
            return False
        for reply in answer:
            if isinstance(reply, POINTS_ELSEWHERE):
                return False
    return True


def _reply(command: Command, place: Any, answers: Mapping[Node, Any], topology: Topology, watch: Watch) -> Any:
    if isinstance(place, tuple):
        node, at = place
        return answers[node][at]
    return merging.merged_search(
        command, {node: answers[node][at] for node, at in place.items()}, topology, watch.suspect
    )


def _key(command: Command) -> bytes | str:
    key = command[3 if command[0] in _BY_SCRIPT else 1]
    return key if isinstance(key, bytes) else str(key)


def _parts(command: Command, topology: Topology) -> list[Part]:
    """What each node is asked for the sake of a command."""
    name = str(command[0])
    if name == "UNLINK":
        # Key by key: each may lie in a slot of its own, and on another node while that slot moves.
        return [_keyed((name, key), topology) for key in command[1:]]
    if name == "SCAN":
        position = Position.of(int(command[1]), topology)
        return [Part(position.node(topology), position.command(command), is_keyed=False)]
    if name == "FT.SEARCH" or name in _BY_SHARD:
        return _by_shard(command, topology)
    return [_keyed(command, topology)]


def _keyed(command: Command, topology: Topology) -> Part:
    owner = topology.owner(_key(command))
    if owner is not None:
        return Part(owner, command, is_keyed=True)
    part = Part(next(iter(topology.tags)), command, is_keyed=True)
    part.close(StoreUnavailableError(f"no node of the Redis Cluster serves slot {slot_of(_key(command))}"))
    return part


def _by_shard(command: Command, topology: Topology) -> list[Part]:
    nodes = list(topology.tags)
    if not str(command[0]).startswith("FT."):
        return [Part(node, command, is_keyed=False) for node in nodes]
    if topology.has_coordinator:
        return [Part(nodes[0], command, is_keyed=False, others=nodes[1:])]
    return [Part(node, own, is_keyed=False) for node, own in _for_shards(command, topology)]


def _for_shards(command: Command, topology: Topology) -> list[tuple[Node, Command]]:
    """A command of the search module as each shard gets it."""
    index = command[1].decode() if isinstance(command[1], bytes) else str(command[1])
    # The last argument of a search is its vector, and the others are the same for nearly all searches.
    rest = (*_without_fields(command[2:-1]), command[-1]) if command[0] == "FT.SEARCH" else command[2:]
    return [(node, (command[0], name, *rest)) for node, name in topology.indexes(index).items()]


@lru_cache(maxsize=256)
def _without_fields(arguments: Command) -> Command:
    """The arguments of a search that returns distances and nothing else.

    A server in cluster mode looks for the keys of all entries in the slot of the index's name, and so finds none of the
    others (seen in Redis 8.2). The reader then asks for the best by their keys.
    """
    if "RETURN" not in arguments:
        return arguments
    at = arguments.index("RETURN")
    return (*arguments[:at], "RETURN", 1, merging.DISTANCE, *arguments[at + 2 + int(arguments[at + 1]) :])


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


def _merged(command: Command, replies: Mapping[Any, Any], topology: Topology, watch: Watch) -> Any:
    """One reply to a command."""
    name = str(command[0])
    if name == "UNLINK":
        return merging.merged_count(replies)
    if name == "FT.SEARCH":
        reply = merging.merged_search(command, replies, topology, watch.suspect)
        missing = {} if isinstance(reply, StoreError) else merging.lost(replies)
    elif name in _BY_SHARD:
        return _BY_SHARD[name](replies)
    else:
        (reply,) = replies.values()
        missing = merging.lost(replies) if name in _NOTHING else {}
        if missing:
            reply = _NOTHING[name]
    for node, error in missing.items():
        watch.left_out(node, error)
    return reply


def _create(step: CreateIndex, topology: Topology, watch: Watch) -> Routing:
    """Create an index on all shards; None, or the error of one."""
    answers: Mapping[Node, Any] = {}
    for _ in range(MOST_ROUNDS):
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
