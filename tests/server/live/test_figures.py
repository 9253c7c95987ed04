"""The figures of all processes of a server, added up."""

import json
from dataclasses import replace
from typing import Any

import pytest

from semcache.events import BreakerChanged, CacheUnavailable, Reranked
from semcache.server.live.figures import figures
from semcache.server.live.recorder import Recorder
from semcache.server.live.ring import WINDOWS
from tests.scripted import ScriptedClock

WINDOW = WINDOWS["15m"]


def stats(*, requests: int = 2, asked: int = 10, state: str = "closed", seen: int = 0) -> dict[str, Any]:
    """The answer of ``get_stats`` of a pipeline, with these numbers in it."""
    return {
        "cache": {
            "requests": requests,
            "cache_hits": requests - 1,
            "cache_misses": 1,
            "by_status": {"exact": requests - 1, "fresh": 1},
            "by_reason": {},
            "pairs_asked": asked,
            "pairs_reused": 30,
            "pairs_skipped": 10,
            "outages": 1,
            "saved_s": 1.5,
            "last_error": {"cache": None, "embedder": None, "reranker": {}},
            "quality": {
                "trust_threshold": 0.97,
                "bands": {"0.97": {"n": seen, "loss": 0.001}},
                "pruning": {"mode": "measure", "n": seen},
            },
        },
        "reranker": {
            "degraded": state != "closed",
            "answers": {"model": requests},
            "rungs": [
                {
                    "reranker": "model",
                    "state": state,
                    "reason": "slow" if state == "open" else None,
                    "cause": None,
                    "p95_s": 0.5 if state == "open" else None,
                    "samples": 3,
                    "waiting_pairs": 4,
                    "abandoned": 0,
                }
            ],
        },
    }


def part(process: int, recorder: Recorder | None = None, **numbers: Any) -> dict[str, Any]:
    recorded = {} if recorder is None else recorder.dump(WINDOW)
    return {"process": process, "started": 100.0 - process, "stats": stats(**numbers), **recorded}


@pytest.fixture
def clock() -> ScriptedClock:
    return ScriptedClock()


@pytest.fixture
def recorders(clock: ScriptedClock) -> list[Recorder]:
    return [Recorder(clock), Recorder(clock)]


def answered(status: str, duration_s: float, drift: float | None = None) -> Reranked:
    return Reranked(status, None, "model", "", 3, 1, 2, 1, None, drift, duration_s)


def test_counts_of_all_processes_are_added() -> None:
    totals = figures([part(1), part(2, requests=5, asked=20)], WINDOW, 1000.0)["totals"]
    assert (totals["requests"], totals["cache_hits"], totals["pairs_asked"], totals["outages"]) == (7, 5, 30, 2)
    assert totals["saved_s"] == 3.0
    assert totals["by_status"] == {
        "exact": 5,
        "semantic": 0,
        "verified": 0,
        "partial": 0,
        "pruned": 0,
        "fresh": 2,
        "degraded": 0,
    }


def test_seconds_of_steps_and_similarities_are_told(clock: ScriptedClock, recorders: list[Recorder]) -> None:
    for recorder in recorders:
        recorder(replace(answered("fresh", 0.1), nearest=0.86, redis_s=0.002, embedding_s=0.01))
        recorder(replace(answered("fresh", 0.1), nearest=0.2, redis_s=0.002))
        recorder(answered("exact", 0.1))
    shown = figures([part(1, recorders[0]), part(2, recorders[1])], WINDOW, clock())
    assert (shown["steps"]["redis"]["n"], shown["steps"]["embedding"]["n"]) == (4, 2)
    assert shown["steps"]["redis"]["p50_s"] == pytest.approx(0.002, rel=0.07)
    nearest = shown["nearest"]
    assert (nearest["counts"][0], nearest["counts"][nearest["edges"].index(0.85) + 1], sum(nearest["counts"])) == (
        2,
        2,
        4,
    )


def test_curves_are_those_of_all_processes(clock: ScriptedClock, recorders: list[Recorder]) -> None:
    for recorder, duration_s, drift in zip(recorders, (0.01, 1.0), (-1.0, -3.0), strict=True):
        recorder(answered("exact", duration_s))
        recorder(answered("verified", duration_s, drift))
        recorder.sample_queue(5)
    parts = [part(process, recorder) for process, recorder in enumerate(recorders)]
    shown = figures(json.loads(json.dumps(parts)), WINDOW, clock())
    window = shown["window"]
    assert all(len(window[name]) == 180 for name in ("at", "asked", "avoided", "p95_s", "drift", "waiting"))
    assert window["at"][-1] <= clock() < window["at"][-1] + window["slot_s"]
    assert (window["by_status"]["exact"][-1], window["asked"][-1], window["avoided"][-1]) == (2, 4, 8)
    assert (window["waiting"][-1], window["drift"][-1]) == (10, -2.0)
    assert window["p50_s"][-1] == pytest.approx(0.01, rel=0.07)
    assert window["p95_s"][-1] == pytest.approx(1.0, rel=0.07)
    assert (window["p95_s"][0], window["drift"][0]) == (None, None)
    assert shown["latency"].keys() == {"exact", "verified", "all"}
    assert shown["latency"]["all"]["n"] == 4


def test_a_breaker_that_is_open_in_one_process_says_why() -> None:
    [rung] = figures([part(1), part(2, state="open")], WINDOW, 1000.0)["rerankers"]
    assert rung["states"] == {"closed": 1, "open": 1}
    assert (rung["reason"], rung["p95_s"], rung["waiting_pairs"]) == ("slow", 0.5, 8)


def test_a_worker_that_was_started_with_other_rungs_is_shown_with_the_rest() -> None:
    first, second = part(1), part(2)
    second["stats"]["reranker"]["rungs"].append({**second["stats"]["reranker"]["rungs"][0], "reranker": "cheaper"})
    rungs = figures([first, second], WINDOW, 1000.0)["rerankers"]
    assert [(rung["reranker"], rung["states"]) for rung in rungs] == [
        ("model", {"closed": 2}),
        ("cheaper", {"closed": 1}),
    ]


def test_what_happened_is_told_with_a_remedy_the_newest_first(clock: ScriptedClock, recorders: list[Recorder]) -> None:
    first, second = recorders
    first(CacheUnavailable("refused"))
    clock.pass_(5)
    second(BreakerChanged("closed", "open", "slow", 3.0, "model"))
    shown = figures([part(1, first), part(2, second)], WINDOW, clock())
    assert [event["event"] for event in shown["happened"]] == ["BreakerChanged", "CacheUnavailable"]
    assert all(event["remedy"] for event in shown["happened"])
    clock.pass_(5)
    first(BreakerChanged("closed", "forced-open", "forced", None, "model"))
    assert "breaker reset" in figures([part(1, first)], WINDOW, clock())["happened"][0]["remedy"]
    assert [change["process"] for change in shown["breaker_changes"]] == [2]


def test_the_latest_error_of_each_part_is_that_of_all_processes() -> None:
    parts = [part(1), part(2)]
    for each, seconds_ago in zip(parts, (30.0, 4.0), strict=True):
        error = {"error": "StoreUnavailableError: refused", "step": "ReadExact", "seconds_ago": seconds_ago}
        each["stats"]["cache"]["last_error"] |= {"cache": error, "reranker": {"model": error | {"seconds_ago": 9.0}}}
    errors = figures(parts, WINDOW, 1000.0)["errors"]
    assert [(error["part"], error["name"], error["seconds_ago"]) for error in errors] == [
        ("cache", "", 4.0),
        ("reranker", "model", 9.0),
    ]
    assert "semcache doctor" in errors[0]["remedy"]


def test_of_several_looks_at_the_shared_state_the_one_that_saw_most_is_shown() -> None:
    shown = figures([part(1, seen=3), part(2, seen=9)], WINDOW, 1000.0)
    assert (shown["quality"]["bands"]["0.97"]["n"], shown["pruning"]["n"]) == (9, 9)
    assert "pruning" not in shown["quality"]


def test_without_a_recorder_there_are_counts_and_no_curves() -> None:
    shown = figures([part(1)], WINDOW, 1000.0)
    assert not shown["recorded"] and shown["totals"]["requests"] == 2
    assert set(shown["window"]["p95_s"]) == {None}


def test_each_point_of_a_curve_is_of_the_slots_before_it(clock: ScriptedClock, recorders: list[Recorder]) -> None:
    recorder, _ = recorders
    recorder(answered("verified", 0.01, 2.0))
    clock.pass_(WINDOW.slot_s)
    recorder(answered("fresh", 1.0))
    clock.pass_(WINDOW.slot_s * (WINDOW.smooth - 1))
    window = figures([part(1, recorder)], WINDOW, clock())["window"]
    assert window["p95_s"][-WINDOW.smooth :] == [window["p95_s"][-1]] * WINDOW.smooth
    assert window["p95_s"][-1] == pytest.approx(1.0, rel=0.07)
    # The verified answer has just left the slots of the last point.
    assert window["drift"][-WINDOW.smooth - 1 :] == [2.0] * WINDOW.smooth + [None]
    assert window["by_status"]["fresh"].count(1) == 1
