"""Which waiting requests share a call of the model, and which of the call's scores belong to which request."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from semcache.protocols import FloatArray, Pair

T = TypeVar("T")

PairOf = tuple[str | None, Pair]
"""A pair and whose it is: what a call says for one tenant is never told to another, nor is that it was asked."""


@dataclass(frozen=True, slots=True)
class BatchPlan:
    """One call: its pairs, and for every request the positions of its own pairs among them.

    ``asked`` says for each of the pairs whose it is.
    """

    asked: tuple[PairOf, ...]
    positions: tuple[tuple[int, ...], ...]

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """The pairs, as the model is asked about them."""
        return tuple(pair for _, pair in self.asked)

    def scores_of(self, request: int, scores: FloatArray) -> FloatArray:
        """A request's own scores, in the order of its pairs."""
        return scores[list(self.positions[request])]


def count_that_fit(requests: Sequence[Sequence[PairOf]], max_pairs: int, *, one_query: bool = False) -> int:
    """How many of the waiting requests, in order of arrival, go into one call.

    The first always goes, however large: requests are merged, never split. Others join it while their distinct pairs
    fit. The order of arrival is kept: a small request behind one that does not fit waits for the next call, since
    otherwise a steady stream of small ones could keep a large one waiting for ever. With ``one_query`` only requests of
    the first one's query join it.
    """
    # Distinct ones only: many callers often ask the same at once, and equal pairs cost the model nothing more.
    distinct: set[PairOf] = set()
    queries: set[str] = set()
    for count, pairs in enumerate(requests):
        distinct.update(pairs)
        queries.update(query for _, (query, _) in pairs if one_query)
        if count and (len(distinct) > max_pairs or len(queries) > 1):
            return count
    return len(requests)


def plan_merged(requests: Sequence[Sequence[PairOf]]) -> BatchPlan:
    """All requests in one call, equal pairs of a tenant once, longest pairs first.

    Pairs of like length need the least padding. The longest come first because they need the most memory: if it does
    not suffice, the call fails at once and not after most of its work.
    """
    distinct = dict.fromkeys(pair for request in requests for pair in request)
    # Characters stand in for tokens: only the model's own tokenizer could count those, and that is slow.
    return _plan(requests, sorted(distinct, key=lambda asked: sum(map(len, asked[1])), reverse=True))


def plan_alone(pairs: Sequence[PairOf]) -> BatchPlan:
    """One request alone, in its own order as a listwise reranker needs it, equal pairs once."""
    return _plan([pairs], list(dict.fromkeys(pairs)))


def halves(requests: Sequence[T]) -> tuple[Sequence[T], Sequence[T]]:
    """Two parts, to find the requests that make the model fail; both are non-empty for two or more requests."""
    middle = len(requests) // 2
    return requests[:middle], requests[middle:]


def _plan(requests: Sequence[Sequence[PairOf]], pairs: Sequence[PairOf]) -> BatchPlan:
    position_of = {pair: position for position, pair in enumerate(pairs)}
    return BatchPlan(tuple(pairs), tuple(tuple(position_of[pair] for pair in request) for request in requests))
