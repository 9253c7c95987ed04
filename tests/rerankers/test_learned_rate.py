"""A rate that is learned from what a service refuses: what it took before, halved at most, and forgotten."""

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from semcache.rerankers.learned_rate import LearnedRate


def taken(calls: int, every_s: float) -> LearnedRate:
    rate = LearnedRate()
    for call in range(calls):
        rate.take(call * every_s)
    return rate


def test_nothing_is_limited_before_a_refusal() -> None:
    rate = taken(1000, 0.0)
    assert rate.per_s(0.0) == inf
    assert rate.start(0.0, ahead=100) == 0.0


@pytest.mark.parametrize(
    ("calls", "every_s", "now", "pause_s", "per_s"),
    [
        (1001, 0.01, 10.0, 50.0, 1000 / 60),  # a minute's share in its first ten seconds
        (61, 0.033, 2.0, 1.0, 20.0),  # a bucket of 20 that is filled by 20 a second
        (1, 1.0, 0.0, 0.0, 1000.0),
    ],
)
def test_it_allows_what_was_taken_over_the_time_until_more_is_taken(
    calls: int, every_s: float, now: float, pause_s: float, per_s: float
) -> None:
    rate = taken(calls, every_s)
    rate.refused(now, pause_s)
    assert rate.per_s(now + pause_s) == pytest.approx(per_s)
    assert rate.start(now) == now + pause_s


def test_calls_are_spaced_and_those_ahead_count() -> None:
    rate = taken(41, 0.025)
    rate.refused(1.0, 1.0)
    assert rate.start(2.0) == 2.0
    rate.take(2.0)
    assert rate.start(2.0) == pytest.approx(2.05)
    assert rate.start(2.0, ahead=2) == pytest.approx(2.15)


def test_refusals_of_calls_that_were_under_way_together_count_once() -> None:
    rate = taken(101, 0.01)
    rate.refused(1.0, 1.0)
    rate.refused(1.01, 1.0)
    rate.refused(1.5, 1.0)
    assert rate.per_s(2.0) == pytest.approx(50)


def test_a_refusal_right_after_a_pause_halves_the_rate_at_most() -> None:
    rate = taken(101, 0.01)
    rate.refused(1.0, 1.0)
    rate.take(2.0)
    rate.refused(2.0, 1.0)
    assert rate.per_s(3.0) == pytest.approx(25)


def test_it_grows_slowly_and_is_forgotten_after_a_minute() -> None:
    rate = taken(101, 0.01)
    rate.refused(1.0, 1.0)
    assert rate.per_s(12.0) == pytest.approx(50 * 1.2)
    assert rate.per_s(62.0) == inf


@given(st.floats(1, 50), st.floats(1.1, 3))
def test_a_service_with_a_bucket_is_seldom_asked_too_much_and_nearly_used_up(per_s: float, factor: float) -> None:
    rate, now, bucket, before, let_in, refused = LearnedRate(), 0.0, per_s, 0.0, 0, 0
    demand = 0.0
    while now < 120:
        demand += 1 / (per_s * factor)
        now = max(demand, rate.start(now))
        demand = max(demand, now - 1)  # requests that would wait for more than a second are answered otherwise
        bucket, before = min(max(1.0, per_s), bucket + (now - before) * per_s), now
        rate.take(now)
        if bucket >= 1:
            bucket -= 1
            let_in += 1
        else:
            refused += 1
            rate.refused(now, max(1.0, (1 - bucket) / per_s))
    assert let_in >= 0.75 * per_s * 120
    assert refused <= 12


def test_hours_of_few_calls_before_a_burst_say_nothing_of_the_limit() -> None:
    rate = LearnedRate()
    for minute in range(600):
        rate.take(minute * 60.0)
    for call in range(1001):
        rate.take(36_000.0 + call / 100)
    rate.refused(36_010.0, 50.0)
    assert rate.per_s(36_060.0) == pytest.approx(1000 / 60, rel=0.01)


def test_a_few_calls_at_once_are_no_high_rate() -> None:
    rate = taken(20, 0.5)
    for _ in range(10):
        rate.take(10.0)
    rate.refused(10.0, 0.0)
    assert rate.per_s(10.0) < 12


def test_a_refusal_without_calls_of_its_own_teaches_nothing() -> None:
    rate = LearnedRate()
    rate.refused(5.0, 1.0)
    assert rate.per_s(6.0) == inf
    assert rate.start(5.0, ahead=3) == 6.0
