"""Moves given entries of a former scope: reads them, embeds their texts, writes what is missing."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from semcache.migration.pace import Pace
from semcache.protocols import FloatArray
from semcache.redis.carrying import Former, carry, read_former
from semcache.redis.operation import in_groups
from semcache.redis.source import Source
from semcache.redis.store import RedisStore, perform

AT_ONCE = 32
"""Entries that are read and embedded together: a batch that models like, and some 100 KB of replies."""
_WRITTEN_AT_ONCE = 1
"""Inserting a vector takes the server 0.3 to 1 ms (benchmarks/results/recall.md), in which it serves no one else. A
request then waits for one of them at most."""


class Tally(NamedTuple):
    """Numbers of entries: looked at, written, given a vector, left without one since their text is not stored, and not
    written since they were changed between reading and writing.
    """

    seen: int = 0
    moved: int = 0
    embedded: int = 0
    without_text: int = 0
    changed: int = 0

    def plus(self, other: "Tally") -> "Tally":
        """Both together."""
        return Tally(*(one + more for one, more in zip(self, other, strict=True)))


class Carrier:
    """Moves entries into the scope of a store from its source.

    ``embed`` gives unit vectors of texts, one row each. Longer texts than ``max_query_chars`` get no vector. ``pace``
    carries out each call of the server; None does so without a pause.
    """

    def __init__(
        self,
        store: RedisStore,
        source: Source,
        embed: Callable[[Sequence[str]], FloatArray],
        max_query_chars: int,
        pace: Pace | None = None,
    ) -> None:
        self._store = store
        self._source = source
        self._embed = embed
        self._max_query_chars = max_query_chars
        self._pace = pace or Pace(1)

    def carry(self, there: Sequence[bytes], texts: Mapping[bytes, str] | None = None) -> Tally:
        """Move the entries with these keys of scores. ``texts`` has those of queries whose text is not stored.

        Raises StoreError when Redis cannot be asked, and what the embedder raises.
        """
        total = Tally()
        for keys in in_groups(there, AT_ONCE):
            total = total.plus(self._carry(keys, texts or {}))
        return total

    def _carry(self, there: Sequence[bytes], texts: Mapping[bytes, str]) -> Tally:
        entries = self._pace.call(lambda: perform(self._store, read_former, self._source, there))
        unmoved = [entry for entry in entries if not entry.is_moved]
        vectors = self._vectors(unmoved, texts)
        todo = [entry for entry in unmoved if entry.missing or entry.there in vectors]
        moved = embedded = 0
        for group in in_groups(todo, _WRITTEN_AT_ONCE):
            given = [vectors.get(entry.there) for entry in group]
            written = self._pace.call(partial(perform, self._store, carry, group, given))
            moved += sum(written)
            embedded += sum(done and vector is not None for done, vector in zip(written, given, strict=True))
        without_text = sum(entry.needs_vector and entry.there not in vectors for entry in unmoved)
        return Tally(len(there), moved, embedded, without_text, len(todo) - moved)

    def _vectors(self, entries: Sequence[Former], texts: Mapping[bytes, str]) -> dict[bytes, FloatArray]:
        """Vectors of the present embedder by key, for the entries that need one and whose text is known."""
        needing = [entry for entry in entries if entry.needs_vector]
        if self._source.shares_vectors:
            return {entry.there: entry.vector for entry in needing if entry.vector is not None}
        queries = {
            entry.there: text
            for entry in needing
            if (text := texts.get(entry.there) or (entry.fields and entry.fields.query))
            and len(text) <= self._max_query_chars
        }
        return dict(zip(queries, self._embed(list(queries.values())), strict=True)) if queries else {}

    def __repr__(self) -> str:
        return f"<Carrier into {self._store!r}>"
