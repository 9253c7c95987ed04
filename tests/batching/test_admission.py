"""Which requests wait for a busy model, how much they merge, and how much time a rung may use."""

from dataclasses import replace
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from semcache.batching.admission import (
    Load,
    is_too_busy,
    merging_time_s,
    pairs_within,
    queued_s,
    remaining_s,
    time_for_this_rung,
)
from semcache.batching.service_time import Cost

durations = st.floats(0, 1000)


class TestTooBusy:
    @given(st.booleans(), durations, st.builds(Cost, durations, durations, durations), st.integers(0, 10_000))
    def test_one_that_is_idle_or_of_which_only_old_things_are_known_never_is(
        self, busy: bool, wait_s: float, cost: Cost, pairs: int
    ) -> None:
        """Otherwise one slow call would be believed for ever, and the primary locked out for good."""
        old = replace(cost, evidence=0.0)
        assert not is_too_busy(Load(busy, 0, wait_s, old if busy else cost), pairs, 0.1)

    @pytest.mark.parametrize(
        ("load", "pairs", "too_busy"),
        [
            (Load(True, 0, 1.0, Cost(0.0, 0.01, 1e6)), 60, False),
            (Load(True, 0, 1.0, Cost(0.0, 0.01, 1e6)), 61, True),
            (Load(True, 0, 1.0, Cost(0.3, 0.0, 1e6)), 1000, False),  # a fixed cost is one whatever the number of pairs
            (Load(True, 0, 7.0, Cost(0.0, 0.01, 1.0)), 99, False),  # one call says little: it may have loaded the model
            (Load(True, 0, 7.0, Cost(0.0, 0.01, 1.0)), 101, True),  # and yet this is out of reach
            (Load(True, 0, 60.0, None), 100, False),  # the first call is under way: its evidence is waited for
            (Load(True, 1, 0.0, None), 1, True),  # a caller gave up on it
            (Load(True, 0, 0.0, Cost(0.0, 0.001), all_for_s=1.7), 1, True),  # it takes longer than would be waited
        ],
    )
    def test_by_wait_and_service_together(self, load: Load, pairs: int, too_busy: bool) -> None:
        assert is_too_busy(load, pairs, 1.6) is too_busy

    @pytest.mark.parametrize("load", [Load(True, 1, 0.0, None), Load(True, 3, 1e6, Cost(1.0, 1.0, 1e6))])
    def test_a_request_that_waits_as_long_as_it_takes_is_never_refused(self, load: Load) -> None:
        assert not is_too_busy(load, 10**6, inf)


@pytest.mark.parametrize(
    ("seconds", "cost", "pairs"),
    [
        (0.4, None, 128),
        (0.4, Cost(0.0, 0.0), 128),
        (0.4, Cost(0.0, 0.001), 128),
        (0.4, Cost(0.0, 0.01), 40),
        (0.4, Cost(0.2, 0.01), 20),
        (0.4, Cost(0.3, 0.0), 128),
        (0.4, Cost(0.0, 5.0), 1),
        (0.4, Cost(0.0, 0.03, usual_pairs=10, one_size=True), 20),  # is it a fixed cost? a larger call will tell
    ],
)
def test_pairs_within_a_time(seconds: float, cost: Cost | None, pairs: int) -> None:
    assert pairs_within(seconds, cost, 128) == pairs


@pytest.mark.parametrize(
    ("pairs", "requests", "seconds"), [(0, 0, 0.0), (10, 1, 0.4), (128, 10, 1.58), (129, 10, 1.89), (20, 11, 0.8)]
)
def test_what_waits_is_merged_as_far_as_limits_allow(pairs: int, requests: int, seconds: float) -> None:
    assert queued_s(pairs, requests, Cost(0.3, 0.01), 128, 10) == pytest.approx(seconds)
    assert queued_s(pairs, requests, None, 128, 10) == 0.0


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
