"""Which requests wait for a busy model, how much they merge, and how much time a rung may use."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from semcache.batching.admission import (
    Load,
    ServiceRate,
    is_too_busy,
    merging_time_s,
    pairs_within,
    remaining_s,
    time_for_this_rung,
)

durations = st.floats(0, 1000)


class TestTooBusy:
    @given(durations, st.none() | durations, st.integers(0, 10_000), st.integers(0, 5))
    def test_an_idle_model_never_is(self, wait_s: float, rate: float | None, pairs: int, abandoned: int) -> None:
        """Otherwise one slow call would be believed for ever, and the primary locked out for good."""
        assert not is_too_busy(Load(False, abandoned, wait_s, rate), pairs, 0.0)

    @pytest.mark.parametrize(
        ("load", "pairs", "too_busy"),
        [
            (Load(True, 0, 1.0, 0.01), 60, False),
            (Load(True, 0, 1.0, 0.01), 61, True),
            (Load(True, 0, 1.6, None), 100, False),  # nothing is known of service: the wait alone
            (Load(True, 0, 1.7, None), 1, True),
            (Load(True, 1, 0.0, 0.001), 1, True),  # a caller gave up on the call that runs
        ],
    )
    def test_by_wait_and_service_together(self, load: Load, pairs: int, too_busy: bool) -> None:
        assert is_too_busy(load, pairs, 1.6) is too_busy


class TestServiceRate:
    def test_nothing_is_known_at_first(self) -> None:
        assert ServiceRate().per_pair_s is None

    def test_large_calls_weigh_more_than_small_ones(self) -> None:
        rate = ServiceRate()
        rate.record(100, 1.0)
        rate.record(1, 0.1)
        assert rate.per_pair_s == pytest.approx(1.0 / 91, rel=0.1)

    def test_follows_a_model_that_became_slow(self) -> None:
        rate = ServiceRate()
        for service_s in [1.0] * 50 + [10.0] * 20:
            rate.record(100, service_s)
        assert rate.per_pair_s == pytest.approx(0.1, rel=0.15)


@pytest.mark.parametrize(
    ("seconds", "per_pair_s", "pairs"),
    [(0.4, None, 128), (0.4, 0.0, 128), (0.4, 0.001, 128), (0.4, 0.01, 40), (0.4, 5.0, 1)],
)
def test_pairs_within_a_time(seconds: float, per_pair_s: float | None, pairs: int) -> None:
    assert pairs_within(seconds, per_pair_s, 128) == pairs


@pytest.mark.parametrize(
    ("admission_factor", "seconds"), [(0.8, 0.4), (0.5, 1.0), (0.95, 0.1), (1.0, 0.1), (0.01, 1.98)]
)
def test_merging_gets_what_admission_leaves_of_the_threshold(admission_factor: float, seconds: float) -> None:
    assert merging_time_s(2.0, admission_factor) == pytest.approx(seconds)


def test_an_overdue_call_is_expected_to_go_on() -> None:
    assert remaining_s(2.0, 0.5) == 1.5
    assert remaining_s(2.0, 2.0) == 0.0
    assert remaining_s(2.0, 60.0) == 58.0


class TestTimeForThisRung:
    @given(st.floats(0.001, 1000), st.none() | st.floats(0.001, 1000))
    def test_leaves_the_next_rung_some_and_this_one_at_least_half(self, left_s: float, next_s: float | None) -> None:
        mine = time_for_this_rung(left_s, next_s)
        assert left_s / 2 <= mine < left_s

    @pytest.mark.parametrize(("next_s", "mine"), [(None, 0.75), (0.1, 0.8), (0.0, 1.0), (5.0, 0.5)])
    def test_by_what_the_next_rung_needs(self, next_s: float | None, mine: float) -> None:
        assert time_for_this_rung(1.0, next_s) == pytest.approx(mine)
