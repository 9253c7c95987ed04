"""Makes one reply of those that several shards gave to a command: what one server with all keys would have said."""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from math import inf
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
    k = _neighbours(str(command[2]))
    if k is None:
        return merged_count(replies)
    found: dict[Node, list[Any]] = {}
    for node, reply in replies.items():
        if isinstance(reply, list) and reply and isinstance(reply[0], int):
            found[node] = reply
        elif not isinstance(reply, StoreError):
            # Also where only one shard has no index: then it is made there, and what stands on the others stays. A
            # reply that cannot be read is given back, so that the reader meets it as it does with one server.
            return _error(replies) or _error(replies, of_missing_index=True) or reply
    has_fields = "NOCONTENT" not in command
    best = _nearest(found, topology, on_foreign, k, has_fields=has_fields)
    merged: list[Any] = [len(best)]
    for key, flat in best.items():
        merged += (key, flat) if has_fields else (key,)
    return merged


@lru_cache(maxsize=256)
def _neighbours(query: str) -> int | None:
    """The k of a search for the k nearest; None for another search."""
    found = _KNN.search(query)
    return found and int(found[1])


def _nearest(
    found: Mapping[Node, list[Any]], topology: Topology, on_foreign: Callable[[], None], k: int, *, has_fields: bool
) -> dict[bytes, Any]:
    """The fields of the nearest entries by their keys, nearest first. Of NOCONTENT, the first entries."""
    hits: list[tuple[float, Node, bytes, Any]] = []
    for node, reply in found.items():
        if has_fields:
            keys, fields = reply[1::2], reply[2::2]
            hits += [(_distance(flat), node, key, flat) for key, flat in zip(keys, fields, strict=False)]
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
        # A shard is asked for nothing else, see ``routing``.
        distance = float(fields[1] if fields[0] == DISTANCE else fields[fields.index(DISTANCE) + 1])
        # NaN for vectors that are none. They come first, so that the reader meets and removes them.
        return distance if distance == distance else -inf  # noqa: PLR0124
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
