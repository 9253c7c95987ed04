"""Rate limits: no minute holds more than is allowed, and a caller knows beforehand when its turn comes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from semcache.errors import ConfigurationError
from semcache.rerankers.rate_limit import RateLimit
from semcache.rerankers.token_bucket import TokenBucket
from tests.scripted import ScriptedClock


def most_in_a_minute(calls: list[tuple[float, float]]) -> float:
    # A microsecond less, since times are rounded: 59.99999999999999 is the minute's end.
    return max(sum(cost for at, cost in calls if start <= at < start + 60 - 1e-6) for start, _ in calls)


class TestTokenBucket:
    @given(
        st.integers(1, 6000),
        st.lists(st.tuples(st.floats(0, 5), st.integers(1, 150)), min_size=1, max_size=60),
    )
    def test_no_minute_holds_more_than_it_may(self, per_minute: int, calls: list[tuple[float, int]]) -> None:
        bucket, now, made = TokenBucket(per_minute), 0.0, list[tuple[float, float]]()
        # Calls larger than half of the limit cannot be kept within it: such a call alone may be too much.
        most = max(1, per_minute // 2)
        largest = min(most, max(cost for _, cost in calls))
        bucket.take(now - 1000, largest)  # from its first call on it knows how large calls are
        for pause_s, cost in calls:
            now = bucket.start(now + pause_s, min(cost, most))
            bucket.take(now, min(cost, most))
            made.append((now, min(cost, most)))
        assert most_in_a_minute(made) <= per_minute + 1e-6

    @pytest.mark.parametrize("per_minute", [1, 30, 60, 600, 6000])
    def test_it_lets_nearly_all_through_that_it_may(self, per_minute: int) -> None:
        bucket, now, made = TokenBucket(per_minute), 0.0, list[tuple[float, float]]()
        while now < 180:
            now = bucket.start(now, 1)
            bucket.take(now, 1)
            made.append((now, 1))
        in_two_minutes = sum(60 <= at < 180 for at, _ in made)
        assert 0.97 * 2 * per_minute <= in_two_minutes <= 2 * per_minute

    def test_half_of_a_seconds_share_may_start_at_once(self) -> None:
        bucket = TokenBucket(600)
        for _ in range(5):
            assert bucket.start(0.0, 1) == 0.0
            bucket.take(0.0, 1)
        assert bucket.start(0.0, 1) == pytest.approx(0.1, rel=0.02)

    def test_a_call_larger_than_a_seconds_share_starts_and_the_next_ones_pay(self) -> None:
        bucket = TokenBucket(600)
        assert bucket.start(0.0, 100) == 0.0
        bucket.take(0.0, 100)
        assert bucket.start(0.0, 1) > 9

    def test_those_ahead_count(self) -> None:
        bucket = TokenBucket(60)
        assert [bucket.start(5.0, 1, ahead) for ahead in (0, 1, 2)] == [5.0, 6.0, 7.0]

    @pytest.mark.parametrize("number", [0, -1, float("nan"), float("inf"), True, "600"])
    def test_wrong_numbers_are_named(self, number: float) -> None:
        with pytest.raises(ConfigurationError, match="requests_per_minute must be a number above 0"):
            RateLimit(number)


class TestRateLimit:
    def test_both_numbers_hold(self) -> None:
        clock = ScriptedClock()
        limit = RateLimit(60, 600, clock=clock)
        assert limit.try_take(pairs=10) == 0.0
        assert limit.try_take(pairs=1) == pytest.approx(1.0)
        clock.pass_(2.0)
        assert limit.try_take(pairs=100) == 0.0
        clock.pass_(1.0)
        assert limit.try_take(pairs=1) > 8, "the pairs are in debt"

    def test_without_numbers_it_lets_all_through(self) -> None:
        limit = RateLimit(clock=ScriptedClock())
        assert [limit.try_take(1000) for _ in range(100)] == [0.0] * 100

    def test_a_pause_holds_all_and_is_never_shortened(self) -> None:
        clock = ScriptedClock()
        limit = RateLimit(clock=clock)
        limit.pause_until(clock() + 3)
        limit.pause(1)
        assert (limit.try_take(1), limit.wait_s(1)) == (3.0, 3.0)
        clock.pass_(3)
        assert limit.try_take(1) == 0.0

    def test_a_caller_knows_when_its_turn_comes(self) -> None:
        limit = RateLimit(60, clock=ScriptedClock())
        assert limit.wait_s(1, requests_ahead=5, pairs_ahead=100) == pytest.approx(5.0)

    def test_a_call_of_many_pairs_is_several_requests(self) -> None:
        clock = ScriptedClock()
        limit = RateLimit(600, max_pairs_per_call=32, clock=clock)
        assert limit.try_take(160) == 0.0
        assert limit.try_take(1) == pytest.approx(0.1, rel=0.02)

    def test_it_says_its_numbers(self) -> None:
        assert repr(RateLimit(600, 60)) == "<RateLimit 600 requests a minute and 60 pairs a minute>"
        assert repr(RateLimit()) == "<RateLimit without numbers>"


def test_a_refusal_pauses_and_teaches_a_rate() -> None:
    clock = ScriptedClock()
    limit = RateLimit(clock=clock)
    for _ in range(41):
        assert limit.try_take(pairs=8) == 0.0
        clock.now += 0.025
    limit.refused(pause_s=1.0)
    assert limit.wait_s(pairs=8) == pytest.approx(1.0)
    clock.now += 1.0
    assert limit.try_take(pairs=8) == 0.0
    assert limit.try_take(pairs=8) == pytest.approx(1 / 19.8, rel=0.05)
    assert limit.wait_s(pairs=8, requests_ahead=1) == pytest.approx(2 / 19.8, rel=0.05)
