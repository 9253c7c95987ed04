"""Decides which nodes of a cluster are asked for what, and follows where they point to.

``carry_out`` is a generator without I/O, like the operations of the store, so that one text serves threads and event
loops. It yields rounds: steps for several nodes, which are carried out at once.
"""

from collections.abc import Generator, Mapping, Sequence
from typing import Any

from redis.exceptions import AskError

from semcache.errors import StoreError, StoreUnavailableError
from semcache.redis.client.commands import Command, CreateIndex, Reconnect, RedisStep
from semcache.redis.cluster import merging
from semcache.redis.cluster.parts import MOST_ROUNDS, PAUSE_S, Part, Pause, Refresh, Round, Routing, Watch, ask
from semcache.redis.cluster.plan import Plan, for_shards, key_of
from semcache.redis.cluster.readers import Readers
from semcache.redis.cluster.scanning import Position, is_page
from semcache.redis.cluster.topology import Node, Topology, slot_of

# What a shard without the key would say. Only reads that can do without are here.
_NOTHING: Mapping[str, Any] = {"GET": None, "GETRANGE": b"", "HGETALL": []}
_BY_SHARD = {
    "DBSIZE": merging.merged_sizes,
    "FT.AGGREGATE": merging.merged_sizes,
    "FT.DROPINDEX": merging.merged_answer,
    "FT.INFO": merging.any_answer,
    "FT.CREATE": merging.any_answer,
    "ROLE": merging.any_answer,
}


def carry_out(step: RedisStep, topology: Topology, watch: Watch, readers: Readers | None = None) -> Routing:
    """The answer of the whole cluster to a step, as that of one server. Raises StoreError when no node answers.

    Look-ups are read from the nodes that ``readers`` choose; without it from the primaries.
    """
    if isinstance(step, CreateIndex):
        return (yield from _create(step, topology, watch))
    if isinstance(step, Reconnect):
        yield Round(dict.fromkeys(topology.tags, step))
        return None
    plan, answers = yield from _first_round(step, topology, readers)
    if plan is not None and plan.is_whole(answers):
        placed = zip(step, plan.places, strict=True)
        return [_reply(command, place, answers, topology, watch) for command, place in placed]
    by_command = [_parts(command, topology) for command in step]
    parts = [part for several in by_command for part in several]
    if plan is not None and plan.hand_over(answers, by_command, watch):
        yield Pause(PAUSE_S)
    yield from ask(parts, watch)
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


def _first_round(
    step: Sequence[Command], topology: Topology, readers: Readers | None
) -> Generator[Round | Pause | Refresh, Any, tuple[Plan | None, Mapping[Node, Any]]]:
    """The plan of a step and its answers; where a primary gave none that replicas may give, of another plan."""
    plan = Plan.of(step, topology, readers)
    answers: Mapping[Node, Any] = {}
    if plan is not None:
        answers = yield Round(plan.asked, plan.has_replicas)
    if plan is not None and plan.has_lost(answers, topology):
        plan = Plan.of(step, topology, readers)
        answers = {} if plan is None else (yield Round(plan.asked, plan.has_replicas))
    return plan, answers


def alone(step: RedisStep, topology: Topology) -> Node | None:
    """The node that can answer a step without any other: of a single command with a key; None for other steps."""
    if not isinstance(step, Sequence) or len(step) != 1:
        return None
    (command,) = step
    return topology.owner(command[1]) if command[0] in _NOTHING else None  # type: ignore[arg-type]


def _reply(command: Command, place: Any, answers: Mapping[Node, Any], topology: Topology, watch: Watch) -> Any:
    if isinstance(place, tuple):
        node, at = place
        return answers[node][at]
    replies = {owner: answers[node][at] for owner, (node, at) in place.items()}
    return merging.merged_search(command, replies, topology, watch.suspect)


def _parts(command: Command, topology: Topology) -> list[Part]:
    """The parts of a command: what each node is asked for the sake of it."""
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
    owner = topology.owner(key_of(command))
    if owner is not None:
        return Part(owner, command, is_keyed=True)
    part = Part(next(iter(topology.tags)), command, is_keyed=True)
    part.close(StoreUnavailableError(f"no node of the Redis Cluster serves slot {slot_of(key_of(command))}"))
    return part


def _by_shard(command: Command, topology: Topology) -> list[Part]:
    nodes = list(topology.tags)
    if not str(command[0]).startswith("FT."):
        return [Part(node, command, is_keyed=False) for node in nodes]
    if topology.has_coordinator:
        return [Part(nodes[0], command, is_keyed=False, others=nodes[1:])]
    return [Part(node, own, is_keyed=False) for node, own in for_shards(command, topology)]


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
