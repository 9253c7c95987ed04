"""Which requests share a call of the model, and that every request gets its own scores back."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from semcache.batching.plan import PairOf, count_that_fit, halves, plan_alone, plan_merged
from semcache.protocols import FloatArray

tenants = st.sampled_from([None, "", "t"])
pairs = st.tuples(st.sampled_from(["a", "bb", "ccc"]), st.text("xy", min_size=1, max_size=4))
request = tenants.flatmap(lambda tenant: st.lists(st.tuples(st.just(tenant), pairs), min_size=1, max_size=8))
requests = st.lists(request, min_size=1, max_size=12)


def scores_for(batch: Sequence[PairOf]) -> FloatArray:
    known: dict[PairOf, int] = {}
    return np.array([known.setdefault(pair, hash(pair) % 9973) for pair in batch], dtype=np.float32)


@given(requests)
def test_every_request_gets_the_scores_of_its_own_pairs(waiting: list[list[PairOf]]) -> None:
    plan = plan_merged(waiting)
    scores = scores_for(plan.asked)
    for position, request in enumerate(waiting):
        assert plan.scores_of(position, scores).tolist() == scores_for(request).tolist()


@given(requests)
def test_equal_pairs_are_scored_once_and_nothing_else_is_scored(waiting: list[list[PairOf]]) -> None:
    plan = plan_merged(waiting)
    assert len(plan.asked) == len(set(plan.asked))
    assert set(plan.asked) == {pair for request in waiting for pair in request}
    assert list(plan.pairs) == [pair for _, pair in plan.asked]


def test_equal_pairs_of_two_tenants_are_scored_for_each() -> None:
    """Otherwise one would see by the time that the other asks the same."""
    waiting: list[list[PairOf]] = [[(tenant, ("q", "text"))] for tenant in ("a", "b", "a")]
    assert plan_merged(waiting).asked == (("a", ("q", "text")), ("b", ("q", "text")))
    assert count_that_fit(waiting, 1) == 1


@given(requests)
def test_longest_first(waiting: list[list[PairOf]]) -> None:
    lengths = [len(query) + len(text) for query, text in plan_merged(waiting).pairs]
    assert lengths == sorted(lengths, reverse=True)


@given(request)
def test_a_listwise_request_keeps_its_order(request: list[PairOf]) -> None:
    plan = plan_alone(request)
    assert list(plan.asked) == list(dict.fromkeys(request))
    assert plan.scores_of(0, scores_for(plan.asked)).tolist() == scores_for(request).tolist()


@given(requests, st.integers(1, 20))
def test_the_first_always_goes_and_the_others_while_they_fit(waiting: list[list[PairOf]], max_pairs: int) -> None:
    count = count_that_fit(waiting, max_pairs)
    assert count >= 1
    assert count == 1 or len(plan_merged(waiting[:count]).pairs) <= max_pairs
    if count < len(waiting):
        assert len(plan_merged(waiting[: count + 1]).pairs) > max_pairs


@pytest.mark.parametrize(
    ("sizes", "max_pairs", "count"),
    [
        ([5], 10, 1),
        ([50], 10, 1),  # larger than a call may merge: alone
        ([5, 5, 1], 10, 2),
        ([5, 50, 1], 10, 1),  # the order of arrival is kept
        ([1] * 20, 100, 20),
    ],
)
def test_how_many(sizes: list[int], max_pairs: int, count: int) -> None:
    waiting: list[list[PairOf]] = [
        [(None, (f"q{request}", str(number))) for number in range(size)] for request, size in enumerate(sizes)
    ]
    assert count_that_fit(waiting, max_pairs) == count
    assert count_that_fit(waiting, max_pairs, one_query=True) == 1


def test_equal_requests_fill_a_call_once() -> None:
    same: list[PairOf] = [("t", ("q", str(number))) for number in range(100)]
    assert count_that_fit([same] * 10, 128) == 10
    assert count_that_fit([*[same] * 10, [("t", ("r", "1"))]], 128, one_query=True) == 10


@given(st.lists(st.integers(), min_size=2))
def test_halves_lose_no_request_and_are_never_empty(jobs: list[int]) -> None:
    first, second = halves(jobs)
    assert first
    assert second
    assert [*first, *second] == jobs
