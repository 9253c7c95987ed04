"""ServiceTime: a fixed cost and a cost per pair, learned from calls."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from semcache.batching.service_time import Cost, ServiceTime


def learned(calls: list[tuple[int, float]], *, every_s: float = 0.0, now: float | None = None) -> Cost:
    service = ServiceTime()
    for number, (pairs, service_s) in enumerate(calls):
        service.record(pairs, service_s, number * every_s)
    cost = service.cost(len(calls) * every_s if now is None else now)
    assert cost is not None
    return cost


def test_nothing_is_known_at_first() -> None:
    assert ServiceTime().cost(0.0) is None


@pytest.mark.parametrize(("fixed_s", "per_pair_s"), [(0.0, 0.01), (0.3, 0.0), (0.2, 0.005), (0.01, 0.02)])
def test_both_costs_are_found_through_noise(fixed_s: float, per_pair_s: float) -> None:
    rng = random.Random(7)
    sizes = [rng.choice([1, 5, 10, 30, 100]) for _ in range(100)]
    cost = learned([(pairs, (fixed_s + per_pair_s * pairs) * rng.uniform(0.9, 1.1)) for pairs in sizes])
    for pairs in (10, 50, 100):
        assert cost.seconds(pairs) == pytest.approx(fixed_s + per_pair_s * pairs, rel=0.15)


def test_calls_of_one_size_are_taken_for_a_cost_per_pair() -> None:
    """The cautious assumption: it expects more of a larger call than any other."""
    cost = learned([(10, 0.3)] * 50)
    assert cost.one_size
    assert (cost.seconds(10), cost.seconds(100)) == (pytest.approx(0.3), pytest.approx(3.0))


def test_one_larger_call_shows_that_the_cost_is_fixed() -> None:
    cost = learned([(10, 0.3)] * 3 + [(20, 0.3)])
    assert not cost.one_size
    assert cost.seconds(100) < 0.7


def test_follows_a_model_that_became_slow_within_a_few_calls() -> None:
    cost = learned([(10, 0.1), (50, 0.5)] * 30 + [(10, 1.0), (50, 5.0)] * 8)
    assert cost.seconds(100) == pytest.approx(10.0, rel=0.25)


def test_evidence_grows_with_calls_and_fades_with_time() -> None:
    assert learned([(10, 0.1)]).evidence == 1.0
    assert 35 < learned([(10, 0.1)] * 100).evidence < 50
    assert learned([(10, 0.1)] * 100, now=100.0).evidence < 0.1


def test_a_call_of_usual_size_is_judged_as_it_is_and_a_larger_one_by_its_size() -> None:
    cost = Cost(0.1, 0.1, usual_pairs=9)
    assert (cost.times_usual(9), cost.times_usual(1), cost.times_usual(29)) == (1.0, 1.0, pytest.approx(3.0))
    assert Cost(0.0, 0.0).times_usual(100) == 1.0


@given(st.lists(st.tuples(st.integers(1, 10_000), st.floats(0, 1000)), min_size=1), st.floats(0, 1e6))
def test_costs_are_never_negative(calls: list[tuple[int, float]], age_s: float) -> None:
    cost = learned(calls, now=age_s)
    assert cost.fixed_s >= 0
    assert cost.per_pair_s >= 0
    assert 0 <= cost.evidence <= len(calls)
