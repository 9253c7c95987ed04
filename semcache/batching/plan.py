"""Which waiting requests go to the model together, and how their pairs become one call and its scores theirs again."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from semcache.protocols import FloatArray, Pair

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class BatchPlan:
    """One call: its pairs, and for every request the places of its own pairs among them."""

    pairs: tuple[Pair, ...]
    places: tuple[tuple[int, ...], ...]

    def scores_of(self, request: int, scores: FloatArray) -> FloatArray:
        """A request's own scores, in the order of its pairs."""
        return scores[list(self.places[request])]


def how_many(requests: Sequence[Sequence[Pair]], max_requests: int, max_pairs: int) -> int:
    """How many of the waiting requests, in order of arrival, go into one call.

    The first always goes, however large: requests are merged, never split. Others join it while their distinct pairs
    fit. Nobody overtakes: a small request behind one that does not fit waits for its turn.
    """
    distinct: set[Pair] = set()
    for count, pairs in enumerate(requests):
        distinct.update(pairs)
        if count >= max_requests or (count and len(distinct) > max_pairs):
            return count
    return len(requests)


def merge(requests: Sequence[Sequence[Pair]]) -> BatchPlan:
    """Equal pairs once, longest first: like lengths need least padding, and what needs most memory is tried first."""
    return _plan(requests, sorted(_distinct(requests), key=_length, reverse=True))


def keep(pairs: Sequence[Pair]) -> BatchPlan:
    """One request alone, in its own order: what a listwise reranker needs. Equal pairs once."""
    return _plan([pairs], _distinct([pairs]))


def halves(requests: Sequence[T]) -> tuple[Sequence[T], Sequence[T]]:
    """Two parts, to find out which of several requests makes the model fail; both non-empty for two or more."""
    middle = len(requests) // 2
    return requests[:middle], requests[middle:]


def _plan(requests: Sequence[Sequence[Pair]], pairs: Sequence[Pair]) -> BatchPlan:
    place_of = {pair: place for place, pair in enumerate(pairs)}
    return BatchPlan(tuple(pairs), tuple(tuple(place_of[pair] for pair in request) for request in requests))


def _distinct(requests: Sequence[Sequence[Pair]]) -> list[Pair]:
    return list(dict.fromkeys(pair for request in requests for pair in request))


def _length(pair: Pair) -> int:
    # Characters stand in for tokens: only the model's own tokenizer could count those, and it is the slow part.
    return len(pair[0]) + len(pair[1])
