"""Which requests share a call of the model, and that every request gets its own scores back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from semcache.batching.plan import count_that_fit, halves, plan_alone, plan_merged
from semcache.protocols import FloatArray, Pair

pairs = st.tuples(st.sampled_from(["a", "bb", "ccc"]), st.text("xy", min_size=1, max_size=4))
requests = st.lists(st.lists(pairs, min_size=1, max_size=8), min_size=1, max_size=12)


def scores_for(batch: tuple[Pair, ...]) -> FloatArray:
    known: dict[Pair, int] = {}
    return np.array([known.setdefault(pair, hash(pair) % 9973) for pair in batch], dtype=np.float32)


@given(requests)
def test_every_request_gets_the_scores_of_its_own_pairs(waiting: list[list[Pair]]) -> None:
    plan = plan_merged(waiting)
    scores = scores_for(plan.pairs)
    for position, request in enumerate(waiting):
        assert plan.scores_of(position, scores).tolist() == scores_for(tuple(request)).tolist()


@given(requests)
def test_equal_pairs_are_scored_once_and_nothing_else_is_scored(waiting: list[list[Pair]]) -> None:
    plan = plan_merged(waiting)
    assert len(plan.pairs) == len(set(plan.pairs))
    assert set(plan.pairs) == {pair for request in waiting for pair in request}


@given(requests)
def test_longest_first(waiting: list[list[Pair]]) -> None:
    lengths = [len(query) + len(text) for query, text in plan_merged(waiting).pairs]
    assert lengths == sorted(lengths, reverse=True)


@given(st.lists(pairs, min_size=1, max_size=8))
def test_a_listwise_request_keeps_its_order(request: list[Pair]) -> None:
    plan = plan_alone(request)
    assert list(plan.pairs) == list(dict.fromkeys(request))
    assert plan.scores_of(0, scores_for(plan.pairs)).tolist() == scores_for(tuple(request)).tolist()


@given(requests, st.integers(1, 20))
def test_the_first_always_goes_and_the_others_while_they_fit(waiting: list[list[Pair]], max_pairs: int) -> None:
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
    waiting = [[(f"q{request}", str(number)) for number in range(size)] for request, size in enumerate(sizes)]
    assert count_that_fit(waiting, max_pairs) == count
    assert count_that_fit(waiting, max_pairs, one_query=True) == 1


def test_equal_requests_fill_a_call_once() -> None:
    same = [("q", str(number)) for number in range(100)]
    assert count_that_fit([same] * 10, 128) == 10
    assert count_that_fit([*[same] * 10, [("r", "1")]], 128, one_query=True) == 10


@given(st.lists(st.integers(), min_size=2))
def test_halves_lose_no_request_and_are_never_empty(jobs: list[int]) -> None:
    first, second = halves(jobs)
    assert first
    assert second
    assert [*first, *second] == jobs
