"""OutageLog: one warning when something is away, one when it is back, for every outage anew."""

import logging
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from math import inf

import pytest

from semcache.events import (
    BreakerChanged,
    CacheFailed,
    CacheRecovered,
    CacheUnavailable,
    Event,
    IdentityChanged,
    OptionIgnored,
    RungFailed,
    RungRecovered,
    TrustChanged,
)
from semcache.observers import OutageLog
from semcache.observers.outages import QUIET_S
from tests.observers.samples import ONE_OF_EACH, reranked
from tests.scripted import ScriptedClock

AWAY = CacheUnavailable("Redis at h:1 cannot be reached")
LATE = CacheFailed("ReadExact", "StoreUnavailableError: Redis at h:1 cannot be reached")
FULL = CacheFailed("Remember", "TransientStoreError: Redis at h:1 is full")
OPENED = BreakerChanged("closed", "open", "slow", 2.5)
HALF_OPEN = BreakerChanged("open", "half-open", "open time over", None)
REOPENED = BreakerChanged("half-open", "open", "probe slow", None)
CLOSED = BreakerChanged("half-open", "closed", "probes fast", None)


class Log:
    """An OutageLog on a scripted clock, and the lines that it has logged since they were last taken."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self.clock = ScriptedClock()
        self.observe = OutageLog("ce", clock=self.clock)
        self._caplog = caplog

    def of(self, *events: Event) -> list[str]:
        self._caplog.clear()
        for event in events:
            self.observe(event)
        return [record.getMessage() for record in self._caplog.records]


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Log:
    return Log(caplog)


@pytest.mark.parametrize(
    ("away", "back"),
    [
        ([LATE, AWAY, LATE, CacheFailed("Learn", "StoreLeftAloneError: open")], CacheRecovered(3.0)),
        ([RungFailed("ce", "RuntimeError: gone")] * 3, RungRecovered("ce", 3.0)),
        ([OPENED, HALF_OPEN, REOPENED, HALF_OPEN], CLOSED),
        ([BreakerChanged("closed", "forced-open", "forced", None)], BreakerChanged("open", "closed", "reset", None)),
        ([TrustChanged("d/ce", 0.97, 0.99, "cost")] * 2, TrustChanged("d/ce", 0.99, 0.97, "good again")),
    ],
)
def test_every_outage_is_a_line_at_its_begin_and_one_at_its_end(log: Log, away: list[Event], back: Event) -> None:
    for _ in range(3):
        assert len(log.of(*away)) == 1
        assert len(log.of(back)) == 1
        assert log.of(back) == []


def test_the_lines_read_well(log: Log) -> None:
    assert log.of(AWAY, CacheRecovered(3.21), RungFailed("ce", "MemoryError"), RungRecovered("ce", 7.5)) == [
        "Redis is away, and requests go on without the cache: Redis at h:1 cannot be reached",
        "Redis is back after 3.2 s",
        "reranker ce failed: MemoryError",
        "reranker ce answers again after 7.5 s",
    ]
    assert log.of(OPENED, CLOSED, OptionIgnored("protocol", "2 holds")) == [
        "the circuit breaker of ce is open (slow, p95 2.5 s): others answer",
        "the circuit breaker of ce is closed (probes fast)",
        "option protocol of the Redis url is ignored: 2 holds",
    ]
    assert log.of(TrustChanged("d", 0.97, inf, "cost"), CacheFailed("Embed", "ValueError")) == [
        "trust withdrawn in scores of d (cost): near queries are served unasked never, before from similarity 0.97 on",
        "queries cannot be embedded, so near ones are not found: ValueError",
    ]


@pytest.mark.parametrize("failure", [FULL, CacheFailed("Embed", "ValueError: no"), RungFailed("ce", "MemoryError")])
def test_what_has_no_recovery_of_its_own_is_over_after_a_quiet_minute(log: Log, failure: Event) -> None:
    for _ in range(3):
        assert len(log.of(failure, failure)) == 1
        log.clock.pass_(QUIET_S - 1)
        assert log.of(failure) == []
        log.clock.pass_(QUIET_S)


def test_a_long_outage_of_redis_is_one_outage_however_quiet(log: Log) -> None:
    assert len(log.of(AWAY)) == 1
    log.clock.pass_(10 * QUIET_S)
    assert log.of(LATE) == []


def test_an_error_that_comes_after_the_recovery_does_not_keep_the_next_outage_silent(log: Log) -> None:
    for _ in range(3):
        assert len(log.of(AWAY, CacheRecovered(3.0), LATE)) == 2


def test_parts_are_away_by_themselves(log: Log) -> None:
    assert len(log.of(AWAY, FULL, RungFailed("one", "x"), RungFailed("two", "x"), OPENED)) == 5
    assert len(log.of(RungRecovered("one", 1.0))) == 1
    assert log.of(RungFailed("two", "x"), LATE) == []


def test_a_recovery_without_an_outage_is_no_line(log: Log) -> None:
    assert log.of(CacheRecovered(1.0), RungRecovered("ce", 1.0), CLOSED) == []


def test_trust_that_every_process_repeats_is_one_line(log: Log) -> None:
    same = TrustChanged("d/ce", 0.99, 0.99, "cost")
    assert len(log.of(TrustChanged("d/ce", 0.97, 0.99, "cost"), same, same)) == 1
    assert len(log.of(TrustChanged("d/other", 0.97, 0.99, "cost"))) == 1


def test_an_identity_is_a_line_for_every_piece_of_news(log: Log) -> None:
    private = [IdentityChanged("f", f"f~private-{n}", "uninformative", "f says nothing") for n in range(3)]
    other = [IdentityChanged("f", f"f~{n}", "different", "f answers otherwise") for n in (1, 2, 1)]
    assert log.of(*private) == ["f says nothing: now in the scope f~private-0 (uninformative)"]
    assert [line.partition(": ")[2] for line in log.of(*other)] == [
        "now in the scope f~1 (different)",
        "now in the scope f~2 (different)",
    ]


def test_ordinary_events_are_no_lines(log: Log) -> None:
    assert log.of(reranked("exact"), reranked("degraded", reason="open")) == []


@pytest.mark.parametrize("event", ONE_OF_EACH, ids=lambda event: type(event).__name__)
def test_every_event_can_be_observed(log: Log, event: Event) -> None:
    assert len(log.of(event)) <= 1


def test_threads_that_fail_together_make_one_line(log: Log, caplog: pytest.LogCaptureFixture) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(log.observe, [FULL] * 200))
    assert len(caplog.records) == 1


class TestTheLogger:
    def test_lines_are_warnings_of_the_library(self, caplog: pytest.LogCaptureFixture) -> None:
        OutageLog()(AWAY)
        [record] = caplog.records
        assert (record.name, record.levelname) == ("semcache", "WARNING")
        assert record.__dict__["semcache_event"] == "CacheUnavailable"

    def test_is_silenced_as_usual(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.ERROR, "semcache")
        OutageLog()(AWAY)
        assert not caplog.records

    def test_prints_nothing_in_an_application_without_logging(self) -> None:
        code = (
            "import semcache\nfrom semcache.observers import OutageLog\nfrom semcache.events import RungFailed\n"
            "OutageLog()(RungFailed('ce', 'MemoryError'))"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
        assert (done.stdout, done.stderr) == ("", "")
