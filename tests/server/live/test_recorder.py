"""The observer keeps what the page shows, and no more than it may."""

import pickle
import tracemalloc
from math import inf

import pytest

from semcache.events import (
    BreakerChanged,
    CacheRecovered,
    CacheUnavailable,
    Event,
    IdentityChanged,
    PruningChanged,
    Reranked,
    RungFailed,
    RungRecovered,
    ShardRecovered,
    ShardUnavailable,
    TrustChanged,
)
from semcache.ranking import Status
from semcache.server.live.recorder import Recorder
from semcache.server.live.remedies import remedy_of
from semcache.server.live.ring import WINDOWS, bucket_of
from tests.observers.samples import ONE_OF_EACH
from tests.scripted import ScriptedClock


def reranked(status: str, duration_s: float = 0.01) -> Reranked:
    return Reranked(status, None, "model", "tenant-1", 3, 1, 2, 1, 0.9, 0.5, duration_s)


def test_it_takes_every_event() -> None:
    recorder = Recorder()
    for event in ONE_OF_EACH:
        recorder(event)
    told = recorder.dump(WINDOWS["15m"])
    assert told["breakers"] and told["happened"]


def test_requests_are_kept_for_every_window() -> None:
    recorder = Recorder(ScriptedClock())
    recorder(reranked("exact"))
    recorder.sample_queue(7)
    recorder.sample_queue(3)
    for name, each in WINDOWS.items():
        [slot] = recorder.dump(each)["slots"]
        assert slot["seconds"] == {"exact": [[bucket_of(0.01), 1]]}, name
        assert (slot["asked"], slot["avoided"], slot["waiting"]) == (1, 2, 7)


@pytest.mark.parametrize(
    ("bad", "good"),
    [
        (CacheUnavailable("gone"), CacheRecovered(2.0)),
        (ShardUnavailable("a:1", "gone"), ShardRecovered("a:1", 2.0)),
        (RungFailed("model", "OSError: x"), RungRecovered("model", 2.0)),
        (BreakerChanged("closed", "open", "slow", 3.0, "m"), BreakerChanged("open", "closed", "probes fast", 0.1, "m")),
        (TrustChanged("s", 0.97, inf, "cost too much"), TrustChanged("s", inf, 0.97, "cheap again")),
        (PruningChanged("s", 1.5, inf, "cost too much"), PruningChanged("s", inf, 1.5, "cheap again")),
        (IdentityChanged("m", "s", "failed", "no answer"), IdentityChanged("m", "s", "identified", "answers")),
    ],
)
def test_an_outage_and_its_end_are_told_apart(bad: Event, good: Event) -> None:
    recorder = Recorder()
    recorder(bad)
    recorder(good)
    happened = recorder.dump(WINDOWS["15m"])["happened"]
    assert [each["is_over"] for each in happened] == [False, True]
    assert [each["event"] for each in happened] == [type(bad).__name__, type(good).__name__]


def test_neither_texts_nor_tenants_are_kept() -> None:
    recorder = Recorder()
    recorder(reranked("fresh"))
    assert b"tenant-1" not in pickle.dumps(recorder.dump(WINDOWS["15m"]))


def test_a_day_of_all_statuses_takes_two_megabytes_and_not_more() -> None:
    clock = ScriptedClock()
    recorder = Recorder(clock)

    def a_day() -> None:
        for _ in range(360):
            for status in Status:
                recorder(reranked(status.value))
            recorder(BreakerChanged("closed", "open", "slow", 3.0, "m"))
            recorder(CacheUnavailable("gone"))
            clock.pass_(240)

    tracemalloc.start()
    try:
        a_day()
        once, _ = tracemalloc.get_traced_memory()
        a_day()
        twice, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert once < 2_500_000
    assert twice < once * 1.1


def test_every_error_has_a_remedy() -> None:
    assert "semcache doctor" in remedy_of("StoreUnavailableError: Connection refused")
    assert "SLOWLOG" in remedy_of("StoreTooSlowError: no answer within 0.05 s", "CacheFailed")
    assert remedy_of("ZeroDivisionError: division by zero") == "See the log of the server for what led to it."
    assert "quality_budget" in remedy_of("", "TrustChanged")
    slow, forced, failing, hung = (
        remedy_of("", "BreakerChanged", reason) for reason in ("slow", "forced", "errors", "hung")
    )
    assert "p95_threshold_s" in slow and "breaker reset" in forced and "latest error" in failing and "restart" in hung
