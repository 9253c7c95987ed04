"""Makes one reply of those that several shards gave to a command: what one server with all keys would have said."""

import re
from collections.abc import Callable, Mapping, Sequence
from math import inf, isnan
from operator import itemgetter
from typing import Any, TypeVar

from redis.exceptions import ResponseError

from semcache.errors import StoreError
from semcache.redis.client.commands import Command
from semcache.redis.client.failures import is_denial, is_missing_index
from semcache.redis.cluster.topology import Node, Topology

T = TypeVar("T")

Replies = Mapping[T, Any]
"""By the node, or part of the command: a reply, an error of the server, or a StoreError where none came."""

_KNN = re.compile(r"=>\[KNN (\d+) ")
DISTANCE = b"vector_distance"
"""The name of an entry's distance in a search, see search.py."""


def lost(replies: Replies[T]) -> dict[T, StoreError]:
    """Those that gave no reply, and why."""
    return {node: reply for node, reply in replies.items() if isinstance(reply, StoreError)}


def merged_search(command: Command, replies: Replies[Node], topology: Topology, on_foreign: Callable[[], None]) -> Any:
    """The k nearest of those that all shards found, or how many entries there are.

    ``on_foreign`` is called where a node has entries of slots that another one owns.
    """
    nearest = _KNN.search(str(command[2]))
    if nearest is None:
        return merged_count(replies)
    # Also where only one shard has no index: then it is made there, and what stands on the others stays.
    error = _error(replies) or _error(replies, of_missing_index=True)
    if error is not None:
        return error
    found = [reply for reply in replies.values() if not isinstance(reply, StoreError)]
    # One that cannot be read is given back, so that the reader finds that out as it does with one server.
    for reply in found:
        if not isinstance(reply, list) or not reply or not isinstance(reply[0], int):
            return reply
    best = _nearest(replies, topology, on_foreign, int(nearest[1]), has_fields="NOCONTENT" not in command)
    if "NOCONTENT" in command:
        return [len(best), *best]
    return [len(best), *(part for hit in best.items() for part in hit)]


def _nearest(
    replies: Replies[Node], topology: Topology, on_foreign: Callable[[], None], k: int, *, has_fields: bool
) -> dict[bytes, Any]:
    """The fields of the nearest entries by their keys, nearest first. Of NOCONTENT, the first entries."""
    hits: list[tuple[float, Node, bytes, Any]] = []
    for node, reply in replies.items():
        if isinstance(reply, StoreError):
            continue
        if has_fields:
            hits += [(_distance(flat), node, key, flat) for key, flat in zip(reply[1::2], reply[2::2], strict=False)]
        else:
            hits += [(0.0, node, key, None) for key in reply[1:]]
    # Entries that expired before they were loaded have no distance, and come last.
    hits.sort(key=itemgetter(0))
    best: dict[bytes, Any] = {}
    for _, node, key, flat in hits:
        if len(best) == k:
            break
        # What a node keeps of a slot that it has lost is old. The same entry may stand on the slot's owner, too.
        if not topology.has_coordinator and isinstance(key, bytes) and topology.owner(key) != node:
            on_foreign()
        else:
            best.setdefault(key, flat)
    return best


def _distance(fields: Any) -> float:
    try:
        distance = float(fields[fields.index(DISTANCE) + 1])
        # NaN for vectors that are none. They come first, so that the reader meets and removes them.
        return -inf if isnan(distance) else distance
    # None, or a reply of another shape, which its reader reports.
    except (AttributeError, ValueError, TypeError, IndexError):
        return inf


def merged_count(replies: Replies[Any]) -> Any:
    """The sum of what all shards counted: the first number of each reply. All of them have to answer."""
    error = next(iter(lost(replies).values()), None) or _error(replies)
    if error is not None:
        return error
    counts = [reply for reply in replies.values() if not is_missing_index(reply)]
    # Where no shard has the index, that is the answer.
    return _numbers(counts, sum) if counts else next(iter(replies.values()))


def merged_sizes(replies: Replies[Any]) -> Any:
    """The largest of what the shards counted: each searches among its own entries only, so that size decides how."""
    answered = [reply for reply in replies.values() if not isinstance(reply, StoreError)]
    errors = [reply for reply in answered if isinstance(reply, ResponseError)]
    return errors[0] if errors else _numbers(answered, max)


def _numbers(replies: Sequence[Any], combine: Callable[[list[int]], int]) -> Any:
    firsts = [reply[0] if isinstance(reply, list) and reply else reply for reply in replies]
    if not all(isinstance(first, int) for first in firsts):
        return replies[0]
    combined = combine(firsts)
    return [combined] if isinstance(replies[0], list) else combined


def merged_answer(replies: Replies[Any]) -> Any:
    """The answer of all shards to what changes or describes an index; that of one that could not do it comes first."""
    gone = next(iter(lost(replies).values()), None)
    if gone is not None:
        return gone
    return any_answer(replies)


def any_answer(replies: Replies[Any]) -> Any:
    """``merged_answer`` of those that answered."""
    answered = [reply for reply in replies.values() if not isinstance(reply, StoreError)]
    worst = _error(replies)
    if worst is not None:
        return worst
    return next((reply for reply in answered if not isinstance(reply, ResponseError)), answered[0])


def _error(replies: Replies[Any], *, of_missing_index: bool = False) -> ResponseError | None:
    """An error of a server among the replies, a missing right before all others."""
    errors = [
        reply
        for reply in replies.values()
        if isinstance(reply, ResponseError) and is_missing_index(reply) == of_missing_index
    ]
    return min(errors, key=lambda error: not is_denial(error), default=None)
