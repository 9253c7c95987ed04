"""The load lab's own logic: arrivals, figures of a run, and scripted primaries."""

import asyncio
from functools import partial

import numpy as np
import pytest

from benchmarks.load_arrivals import dispersion, poisson, scaled
from benchmarks.load_drive import run as run_scenario
from benchmarks.load_figures import FAILED, FALLBACK, PRIMARY, Run, calls_between, figures, recovery_s, wasted_share
from benchmarks.load_plot import timeline
from benchmarks.load_primaries import (
    Call,
    ScriptedError,
    ScriptedFallback,
    ScriptedPrimary,
    request_of,
    texts_of,
    true_scores,
)
from benchmarks.load_scenarios import CAPACITY, Incident, Scenario, Trouble, scenarios
from benchmarks.load_service import RateLimit
from benchmarks.load_sides import Parts, Threaded, Toggle


def scenario(**changes: object) -> Scenario:
    """50 requests in a tenth of a second."""
    return Scenario(**({"name": "a scenario", "load": 0.5, "count": 50, "scale": 0.001} | changes))  # type: ignore[arg-type]


def test_poisson_arrivals_have_the_rate_and_the_dispersion_of_poisson() -> None:
    times = poisson(20.0, 20_000, seed=3)
    assert len(times) / times[-1] == pytest.approx(20, rel=0.03)
    assert dispersion(times, 1.0) == pytest.approx(1, abs=0.15)


def test_a_scaled_trace_keeps_its_gaps_in_proportion() -> None:
    trace = np.cumsum([1.0, 1.0, 5.0, 1.0, 1.0, 5.0, 1.0, 1.0, 5.0])
    times = scaled(trace, rate=2.0, count=6, seed=0)
    assert len(times) == 6
    assert times[-1] == pytest.approx(6 / 2.0)
    gaps = np.diff(times)
    assert gaps.max() / gaps.min() == pytest.approx(5)


def test_a_trace_that_is_too_short_is_refused() -> None:
    with pytest.raises(ValueError, match="has 3 arrivals, 4 are needed"):
        scaled(np.arange(3.0), 1.0, 3, seed=0)


def test_requests_of_mean_size_take_the_stated_time_with_and_without_a_fixed_part() -> None:
    for fixed in (0.0, 0.016):
        made = scenario(fixed=fixed)
        assert made.fixed + 8 * made.per_pair_s == pytest.approx(1 / CAPACITY)
    assert np.mean(scenario(count=4000).sizes()) == pytest.approx(8, abs=0.2)


def test_every_scenario_ends_after_its_incident() -> None:
    for quick in (False, True):
        for made in scenarios(quick).values():
            if made.incident is not None:
                assert made.count / made.rate > made.incident.end + 5


class TestFigures:
    RUN = Run(
        arrived=[0.0, 1.0, 2.0, 3.0],
        answered=[0.5, 3.5, 2.1, 6.0],
        by=[PRIMARY, PRIMARY, FALLBACK, FAILED],
        calls=[
            Call(0.0, 0.5, {0: 4}, failed=False),
            Call(0.5, 3.5, {1: 2, 2: 4}, failed=False),
            Call(3.5, 4.0, {3: 4}, failed=True),
        ],
        switches=[(1.5, True), (6.0, False)],
    )

    def test_shares_and_switches(self) -> None:
        row = figures(self.RUN, None, threshold_s=2.0)
        assert row["by_primary_pct"] == 50
        assert row["late_pct"] == 50
        assert row["failed_pct"] == 25
        assert row["primary_in_time_pct"] + row["fallback_in_time_pct"] + row["late_or_failed_pct"] == 100
        assert row["switches_per_min"] == 20

    def test_an_incident_is_detected_by_the_first_switch_after_its_beginning(self) -> None:
        row = figures(self.RUN, Incident(Trouble.SLOW, 0.25, 2.0), threshold_s=2.0)
        assert row["detect_s"] == 1.25
        assert row["detect_calls"] == 0
        assert row["late_in_incident"] == 1

    def test_work_for_late_degraded_and_failed_answers_is_wasted(self) -> None:
        used = np.array([True, False, False, False])
        assert wasted_share(self.RUN.calls, used) == pytest.approx(3.5 / 4.0)
        assert wasted_share([Call(0, 2, {0: 1, 1: 3}, failed=False)], used) == pytest.approx(0.75)
        assert wasted_share([], used) == 0

    def test_calls_count_between_their_beginning_and_their_end(self) -> None:
        assert calls_between(self.RUN.calls, 0.5, 4.0) == 2
        assert calls_between(self.RUN.calls, 0.5, 3.9) == 1

    @pytest.mark.parametrize(
        ("good", "seconds"),
        [
            ([True] * 40, 0.0),
            ([False] * 5 + [True] * 35, 5.0),
            # Two bad ones of 20 are allowed, three are not.
            ([True, False, False] + [True] * 37, 0.0),
            ([True, False, False, False] + [True] * 36, 4.0),
            ([False] * 40, None),
            ([False] * 30 + [True] * 10, None),
        ],
    )
    def test_recovery_needs_18_of_20_good_answers(self, good: list[bool], seconds: float | None) -> None:
        arrived = [100.0 + at for at in range(40)]
        assert recovery_s(arrived, np.array(good), 100.0) == seconds


def test_a_timeline_leaves_out_steps_without_arrivals() -> None:
    run = Run([0.5, 1.5, 6.5], [1.0, 4.0, 7.0], [PRIMARY, PRIMARY, FALLBACK], [])
    line = timeline(run, step=2.0)
    assert line["at"] == [1.0, 7.0]
    assert line["good_pct"] == [50.0, 0.0]
    assert line["p95_s"] == pytest.approx([2.4, 0.5])


def test_a_rate_limit_lets_in_a_seconds_share_at_once_and_then_its_rate() -> None:
    limit = RateLimit(4)
    assert [limit.wait_s(0.0) for _ in range(5)] == [0, 0, 0, 0, 0.25]
    assert limit.wait_s(0.25) == 0
    assert limit.wait_s(0.25) == 0.25
    assert [limit.wait_s(9.0) for _ in range(5)] == [0, 0, 0, 0, 0.25]


class TestScripted:
    def test_texts_lead_back_to_their_request(self) -> None:
        query, texts = texts_of(17, 3)
        pairs = [(query, text) for text in texts]
        assert [request_of(pair) for pair in pairs] == [17, 17, 17]
        assert len(set(true_scores(pairs))) == 3

    def test_the_ledger_has_every_call_with_its_requests(self) -> None:
        primary = ScriptedPrimary(scenario(), iter(range(100)).__next__)
        primary.score([("query 1", "document 1 0"), ("query 1", "document 1 1"), ("query 2", "document 2 0")])
        assert [call.pairs for call in primary.calls] == [{1: 2, 2: 1}]

    def test_calls_fail_in_an_error_burst_only(self) -> None:
        now = [0.0]
        primary = ScriptedPrimary(scenario(incident=Incident(Trouble.ERRORS, 5.0, 6.0)), partial(_ticking, now))
        pair = ("query 0", "document 0 0")
        primary.score([pair])
        now[0] = 5.0
        with pytest.raises(ScriptedError):
            primary.score([pair])
        now[0] = 6.0
        primary.score([pair])
        assert [call.failed for call in primary.calls] == [False, True, False]

    def test_a_call_that_runs_into_a_freeze_ends_after_it(self) -> None:
        now = [4.99]
        primary = ScriptedPrimary(scenario(incident=Incident(Trouble.FREEZE, 5.0, 9.0)), partial(_ticking, now))
        primary.score([("query 0", f"document 0 {at}") for at in range(8)])
        assert primary.calls[0].ended >= 9.0


def _ticking(now: list[float]) -> float:
    """A clock that goes on by 10 ms each time it is read."""
    now[0] += 0.01
    return now[0]


def test_the_old_toggle_takes_the_fallback_while_its_window_is_slow() -> None:
    made = scenario(scale=0.0001)
    now = [0.0]
    step = [3.0]

    def clock() -> float:
        now[0] += step[0] / 4
        return now[0]

    toggle = Toggle(Parts(made, ScriptedPrimary(made, clock), ScriptedFallback(made), clock))
    pairs = [("query 0", "document 0 0")]
    assert toggle.rerank(pairs)[0] == PRIMARY
    assert toggle.rerank(pairs)[0] == FALLBACK
    # The fallback's latencies fill the window, until the primary is called again, however slow it still is.
    step[0] = 0.001
    answers = [toggle.rerank(pairs)[0] for _ in range(100)]
    assert PRIMARY in answers
    assert [keeps for _, keeps in toggle.switches] == [True, False]


def test_the_driver_records_every_answer() -> None:
    row, record = run_scenario(scenario(), "no protection")
    assert row["requests"] == 50
    assert row["by_primary_pct"] == 100
    assert all(answered > arrived for answered, arrived in zip(record.answered, record.arrived, strict=True))
    assert sum(sum(call.pairs.values()) for call in record.calls) == sum(scenario().sizes())


def test_a_side_without_protection_hands_on_the_error() -> None:
    made = scenario(incident=Incident(Trouble.ERRORS, 0.0, 1e9))
    clock = partial(_ticking, [0.0])
    side = Threaded(Parts(made, ScriptedPrimary(made, clock), ScriptedFallback(made), clock))
    with pytest.raises(ScriptedError):
        asyncio.run(side.answer("query 0", ["document 0 0"]))
