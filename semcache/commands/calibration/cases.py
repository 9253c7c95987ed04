"""A request of the sample, with what a cache would have known when it came."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

LOWEST = 0.45
"""Least similarity that is looked at; below it hardly a pair of queries asks the same."""
NEVER = -1.0


@dataclass(frozen=True, slots=True)
class Near:
    """An earlier query, and which of the request's documents the cache would have scores of for it.

    ``is_alike`` is the guard's word: it sees no difference that forbids trust.
    """

    query: str
    similarity: float
    known: frozenset[bytes]
    is_alike: bool


@dataclass(frozen=True, slots=True)
class Case:
    """``query`` names the query in scores; ``exact`` are the documents scored earlier for this very query.

    ``near`` has the neighbours that know at least one of the documents, nearest first.
    """

    query: str
    text: str | None
    fingerprints: tuple[bytes, ...]
    exact: frozenset[bytes]
    near: tuple[Near, ...]

    @property
    def is_exact(self) -> bool:
        """Whether every score is known for this very query, so that no threshold matters."""
        return self.exact.issuperset(self.fingerprints)

    @property
    def reuse_from(self) -> float:
        """The highest reuse threshold at which a neighbour helps; NEVER where none does."""
        return self.near[0].similarity if self.near and not self.is_exact else NEVER

    @property
    def trust_from(self) -> float:
        """The highest trust threshold at which all scores are served unasked; NEVER where none does."""
        return self._covered_from(lambda near: near.is_alike)

    @property
    def unguarded_from(self) -> float:
        """``trust_from`` if there were no guard."""
        return self._covered_from(lambda near: True)

    def _covered_from(self, may: Callable[[Near], bool]) -> float:
        missing = set(self.fingerprints) - self.exact
        if not missing:
            return NEVER
        for near in filter(may, self.near):
            missing -= near.known
            if not missing:
                return near.similarity
        return NEVER

    def nearest_owners(self, *, alike: bool) -> dict[str, frozenset[bytes]]:
        """Which neighbour's scores would be taken for which documents: each from the nearest that has it.

        With ``alike``, only from those that the guard lets pass.
        """
        return dict(_owners(near for near in self.near if near.is_alike or not alike))


def _owners(nears: Iterable[Near]) -> Iterable[tuple[str, frozenset[bytes]]]:
    taken: set[bytes] = set()
    for near in nears:
        yield near.query, near.known - taken
        taken |= near.known
