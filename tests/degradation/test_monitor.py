"""LatencyMonitor: nearest-rank p95 of a sliding window, and a decision that agrees with it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from semcache.degradation.monitor import LatencyMonitor, nearest_rank_p95
from semcache.errors import InvalidInputError
from semcache.settings import Monitor

latencies = st.floats(0, 10, allow_nan=False) | st.sampled_from([0.0, 1.0, 2.0, 2.0000001])


def filled(values: list[float], **options: object) -> LatencyMonitor:
    monitor = LatencyMonitor(**options)  # type: ignore[arg-type]
    for value in values:
        monitor.record(value)
    return monitor


class MonitorAgainstNumpy(RuleBasedStateMachine):
    """For all latencies: p95 is numpy's inverted_cdf of the window, and should_degrade is p95 > threshold."""

    @initialize(window=st.integers(1, 60), minimum=st.integers(1, 60))
    def start(self, window: int, minimum: int) -> None:
        self.monitor = LatencyMonitor(window, 2.0, minimum)
        self.window, self.minimum = window, min(minimum, window)
        self.kept: list[float] = []

    @rule(values=st.lists(latencies, min_size=1, max_size=30))
    def record(self, values: list[float]) -> None:
        for value in values:
            self.monitor.record(value)
        self.kept = (self.kept + values)[-self.window :]

    @rule()
    def clear(self) -> None:
        self.monitor.clear()
        self.kept = []

    @invariant()
    def agrees(self) -> None:
        assert self.monitor.samples == len(self.kept)
        assert self.monitor.latencies == tuple(self.kept)
        p95 = np.percentile(self.kept, 95, method="inverted_cdf") if self.kept else 0.0
        assert self.monitor.get_p95() == p95
        if len(self.kept) < self.minimum:
            assert self.monitor.p95_if_enough() is None
            assert not self.monitor.should_degrade()
        else:
            assert self.monitor.p95_if_enough() == p95
            assert self.monitor.should_degrade() == (p95 > 2.0)


MonitorAgainstNumpy.TestCase.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
TestMonitorAgainstNumpy = MonitorAgainstNumpy.TestCase


@given(st.lists(latencies, min_size=1, max_size=500))
def test_nearest_rank_is_the_inverted_cdf_for_any_number_of_samples(values: list[float]) -> None:
    assert nearest_rank_p95(values) == np.percentile(values, 95, method="inverted_cdf")


class TestDropIn:
    def test_works_positionally_and_by_keyword(self) -> None:
        for monitor in (LatencyMonitor(10, 0.5), LatencyMonitor(window_size=10, p95_threshold=0.5)):
            assert (monitor.window_size, monitor.p95_threshold) == (10, 0.5)

    @pytest.mark.parametrize(("latencies", "p95"), [([], 0.0), ([0.7], 0.7), ([3.0, 1.0], 3.0), ([1.0] * 19, 1.0)])
    def test_the_p95_of_few_samples_is_a_number(self, latencies: list[float], p95: float) -> None:
        monitor = filled(latencies)
        assert isinstance(monitor.get_p95(), float)
        assert (monitor.get_p95(), monitor.p95_if_enough()) == (p95, None)

    def test_defaults(self) -> None:
        monitor = filled([1.0] * 150)
        assert (monitor.samples, monitor.p95_threshold, monitor.min_samples) == (100, 2.0, 20)
        settings = Monitor()
        assert (settings.window_size, settings.p95_threshold_s, settings.min_samples) == (100, 2.0, 20)

    def test_a_window_smaller_than_the_minimum_is_judged_when_full(self) -> None:
        assert filled([3.0] * 9, window_size=10).p95_if_enough() is None
        assert filled([3.0] * 10, window_size=10).should_degrade()


@pytest.mark.parametrize(
    ("slow", "samples", "degrades"),
    [(0, 20, False), (1, 20, False), (2, 20, True), (5, 100, False), (6, 100, True), (3, 59, True), (2, 59, False)],
)
def test_more_than_one_in_twenty_slow_calls_degrade(slow: int, samples: int, degrades: bool) -> None:
    """The hundred-sample window turns at the sixth slow call, not the fifth: the old off-by-one."""
    assert filled([2.5] * slow + [0.1] * (samples - slow)).should_degrade() is degrades


def test_a_call_of_exactly_the_threshold_is_not_slow() -> None:
    assert not filled([2.0] * 50).should_degrade()


def test_latencies_that_left_the_window_no_longer_count() -> None:
    monitor = filled([9.0] * 100)
    assert monitor.should_degrade()
    for _ in range(95):
        monitor.record(0.1)
    assert not monitor.should_degrade()


def test_numpy_floats_are_latencies() -> None:
    assert filled([np.float32(0.5), np.float64(0.5), 1]).samples == 3  # type: ignore[list-item]


@pytest.mark.parametrize("latency", [-0.001, float("nan"), float("inf"), "1.0", None])
def test_values_that_are_no_latency_are_refused_and_not_recorded(latency: object) -> None:
    monitor = LatencyMonitor()
    with pytest.raises(InvalidInputError, match="latency must be a finite number"):
        monitor.record(latency)  # type: ignore[arg-type]
    assert monitor.samples == 0


@pytest.mark.parametrize(
    "options",
    [
        {"window_size": 0},
        {"window_size": -1},
        {"window_size": 1.5},
        {"window_size": True},
        {"min_samples": 0},
        {"p95_threshold": 0},
        {"p95_threshold": -2.0},
        {"p95_threshold": float("nan")},
        {"p95_threshold": "2"},
    ],
)
def test_bad_options_are_named(options: dict[str, object]) -> None:
    (name,) = options
    with pytest.raises(InvalidInputError, match=name):
        LatencyMonitor(**options)  # type: ignore[arg-type]


def test_repr_shows_the_state() -> None:
    assert repr(filled([3.0] * 20)) == "<LatencyMonitor p95=3.0 threshold=2.0 20/100 samples, 20 slow>"
