"""A request of the log with what a cache would have known when it came."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from semcache.ranking import Status

LOWEST = 0.45
"""Lowest similarity that counts as near. Two queries below it hardly ever ask the same."""
NEVER = -1.0
"""The threshold of a case that no threshold makes a hit: below every cosine that is looked at."""


@dataclass(frozen=True, slots=True)
class Near:
    """An earlier query. ``known`` are those documents of the request that the cache has scores of for it.

    ``is_alike`` is True when the guard sees no difference that forbids trust.
    """

    query: str
    similarity: float
    known: frozenset[bytes]
    is_alike: bool


@dataclass(frozen=True, slots=True)
class Case:
    """``query`` is the name of the query in scores; ``exact`` are the documents scored earlier for this very query.

    ``near`` has the neighbours that know at least one of the documents, nearest first. ``text`` is None where the
    query's text is not known.
    """

    query: str
    text: str | None
    fingerprints: tuple[bytes, ...]
    exact: frozenset[bytes]
    near: tuple[Near, ...]

    @property
    def is_exact(self) -> bool:
        """True when every score is known for this very query, so that no threshold matters."""
        return self.exact.issuperset(self.fingerprints)

    @property
    def reuse_from(self) -> float:
        """The highest reuse threshold at which a neighbour helps; NEVER where none does."""
        return self.near[0].similarity if self.near and not self.is_exact else NEVER

    @property
    def trust_from(self) -> float:
        """The highest trust threshold at which all scores are served unasked; NEVER where none does."""
        return self._covered_from(near for near in self.near if near.is_alike)

    @property
    def unguarded_from(self) -> float:
        """``trust_from`` if there were no guard."""
        return self._covered_from(self.near)

    def status_at(self, trust: float, reuse: float) -> Status:
        """The status with which the cache would answer at these thresholds. The tests are in the order of the flow."""
        if self.is_exact:
            return Status.EXACT
        if self.trust_from >= trust:
            return Status.SEMANTIC
        if self.reuse_from >= reuse:
            return Status.VERIFIED
        return Status.PARTIAL if self.exact else Status.FRESH

    def needed(self) -> dict[str, set[bytes]]:
        """The documents whose scores are needed to try this case at every threshold, by query."""
        # All for the query itself, since losses are measured against its fresh order. For a neighbour only those whose
        # score would be taken from it, with the guard and without.
        documents = {self.query: set(self.fingerprints)}
        alike = [near for near in self.near if near.is_alike] if self.trust_from >= 0 else []
        for near, taken in (*sources(self.near), *sources(alike)):
            documents.setdefault(near.query, set()).update(taken)
        return documents

    def _covered_from(self, nears: Iterable[Near]) -> float:
        """The similarity of the last neighbour that is needed for every document to have a score."""
        missing = set(self.fingerprints) - self.exact
        # Nothing is missing in an exact case: the flow answers it before it looks for neighbours.
        if missing:
            for near in nears:
                missing -= near.known
                if not missing:
                    return near.similarity
        return NEVER


def sources(nears: Iterable[Near]) -> Iterator[tuple[Near, frozenset[bytes]]]:
    """Each neighbour with the documents whose scores are taken from it.

    As in the cache, a document's score comes from the nearest neighbour that has one; ``nears`` is in that order.
    """
    taken: set[bytes] = set()
    for near in nears:
        yield near, near.known - taken
        taken |= near.known
