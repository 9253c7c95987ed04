"""The scope that entries are migrated from, and how a store reads it beside its own.

What is known of a query is what both scopes know of it: a score belongs to reranker and texts, whatever embedder found
it. Near entries are looked for in both indexes, in each by a vector of its own embedder.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from typing import Any

from semcache.causes import cause_of
from semcache.entries.entry import Neighbour, Scores
from semcache.errors import StoreError
from semcache.events import CacheFailed
from semcache.protocols import FloatArray
from semcache.redis.client.commands import Command
from semcache.redis.damage import Damage, discard, read_scores, unpack_scores
from semcache.redis.migration_state import MigrationState
from semcache.redis.operation import Operation, StoreState

REFRESH_S = 5.0
"""A process with traffic follows the migration within so many seconds, at the cost of a GET in a round trip that it
makes anyway."""


@dataclass(slots=True, eq=False)
class Source:
    """A former scope, as the store of its successor reads it.

    ``state`` is that of the former scope. ``shares_vectors`` where both have the same embedder. ``on_hit`` is called
    with the key and the query of each entry that the former scope knows, and must not wait. ``is_searched`` and
    ``is_read`` end with the migration; threads set them without a lock, as a look too many does no harm.
    """

    state: StoreState
    shares_vectors: bool = False
    is_searched: bool = True
    is_read: bool = True
    on_hit: Callable[[bytes, str], None] = lambda there, query: None
    _looked_at: float = field(default=-inf, init=False)

    def commands_if_due(self, target: StoreState) -> Sequence[Command]:
        """The command that asks how far the migration is, once in a while."""
        now = target.clock()
        if abs(now - self._looked_at) < REFRESH_S:  # abs, because the clock may be set back
            return ()
        self._looked_at = now
        return (("GET", target.layout.keys.migration),)

    def take(self, reply: object) -> None:
        """Take the reply to that command."""
        self.follow(MigrationState.of(reply, self.state.layout.keys.base))

    def follow(self, migration: MigrationState) -> None:
        """Look no longer where there is nothing left to find."""
        self.is_read = migration.cleaned_at is None
        if migration.finished_at is not None and migration.without_text == 0:
            self.is_searched = False


def read_both(state: StoreState, source: Source, tenant: str, queries: Sequence[str]) -> Operation[list[Scores | None]]:
    """Scores of the entries of exactly these queries in both scopes, those of ``state`` first. One round trip."""
    keys = [state.layout.keys.scores(tenant, query) for query in queries]
    former = [source.state.layout.keys.scores(tenant, query) for query in queries]
    due = source.commands_if_due(state)
    replies = yield [*map(read_scores, keys), *map(read_scores, former), *due]
    if due:
        source.take(replies[-1])
    damages: list[Damage] = []
    found = [unpack_scores(state, key, reply, damages) for key, reply in zip(keys, replies, strict=False)]
    yield from discard(state, damages)
    before = yield from former_scores(source, former, replies[len(keys) : 2 * len(keys)])
    for there, query, scores in zip(former, queries, before, strict=True):
        if scores is not None:
            source.on_hit(there, query)
    is_order = state.layout.listwise
    return [joined(ours, theirs, is_order=is_order) for ours, theirs in zip(found, before, strict=True)]


def former_scores(source: Source, keys: Sequence[bytes], replies: Sequence[Any]) -> Operation[list[Scores | None]]:
    """The scores in replies about these keys of the former scope; none where they cannot be read, which is an event."""
    damages: list[Damage] = []
    try:
        scores: list[Scores | None] = [
            unpack_scores(source.state, key, reply, damages) for key, reply in zip(keys, replies, strict=True)
        ]
    except StoreError as error:  # what the present scope knows is known all the same
        source.state.on_event(CacheFailed("Migration", cause_of(error)))
        return [None] * len(keys)
    yield from discard(source.state, damages)
    return scores


def joined(ours: Scores | None, theirs: Scores | None, *, is_order: bool) -> Scores | None:
    """Scores of both entries of a query. Places in two orders cannot be compared, so ours replaces the other one."""
    if ours is None or theirs is None:
        return theirs if ours is None else ours
    return ours if is_order else {**theirs, **ours}


def join_near(
    state: StoreState, source: Source, ours: Sequence[Neighbour], theirs: Sequence[Neighbour]
) -> list[Neighbour]:
    """The neighbours of both indexes, nearest first; of an entry that is in both, what both know of it.

    More than were asked for: cosines of two embedders cannot be compared, so those of one must not push out those of
    the other. A vector of another embedder is no use to the caller, and its cosine says only which order to try.
    """
    former = {neighbour.id: neighbour for neighbour in theirs}
    near = []
    for neighbour in ours:
        other = former.pop(neighbour.id, None)
        theirs_too = None if other is None else other.scores
        scores = joined(neighbour.scores, theirs_too, is_order=state.layout.listwise)
        near.append(neighbour if other is None or scores is None else replace(neighbour, scores=scores))
    rest = former.values()
    near += (
        rest if source.shares_vectors else [replace(neighbour, vector=None, is_comparable=False) for neighbour in rest]
    )
    return sorted(near, key=lambda neighbour: -neighbour.similarity)


def vectors_for(source: Source, vectors: Sequence[FloatArray], given: FloatArray | None) -> Sequence[FloatArray] | None:
    """The vectors to search the former index by; None where it is not to be searched, or there are none."""
    if not source.is_read or not source.is_searched:
        return None
    if source.shares_vectors:
        return vectors
    return None if given is None else list(given)
