"""LoggingObserver: levels by event, structured fields, nothing configured."""

import logging
from dataclasses import fields

import pytest

from semcache.events import BreakerChanged, CacheFailed, CacheRecovered, Event, IndexCreated, TrustChanged
from semcache.observers import LoggingObserver
from semcache.observers.outages import QUIET_S
from semcache.settings import Settings
from tests.observers.samples import ONE_OF_EACH, reranked
from tests.scripted import ScriptedClock


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """Everything that goes to the library's logger."""
    caplog.set_level(logging.DEBUG, "semcache")
    return caplog


@pytest.mark.parametrize(
    ("event", "level"),
    [
        (reranked(), "DEBUG"),
        (CacheFailed("Embed", "x"), "WARNING"),
        (CacheRecovered(1.0), "INFO"),
        (IndexCreated("i"), "INFO"),
        (BreakerChanged("closed", "open", "slow", 2.5), "WARNING"),
        (BreakerChanged("open", "half-open", "open time over", None), "INFO"),
        (BreakerChanged("half-open", "closed", "probes fast", None), "INFO"),
        (BreakerChanged("closed", "forced-open", "forced", None), "WARNING"),
        (TrustChanged("s", 0.97, 0.98, "loss"), "WARNING"),
        (TrustChanged("s", 0.98, 0.97, "evidence"), "INFO"),
    ],
)
def test_level(logged: pytest.LogCaptureFixture, event: Event, level: str) -> None:
    LoggingObserver()(event)
    assert [record.levelname for record in logged.records] == [level]


@pytest.mark.parametrize("event", ONE_OF_EACH, ids=lambda event: type(event).__name__)
def test_every_event_is_one_record_with_all_its_fields(logged: pytest.LogCaptureFixture, event: Event) -> None:
    LoggingObserver()(event)
    [record] = logged.records
    assert record.__dict__["semcache_event"] == type(event).__name__
    for field in fields(event):
        if field.name in ("query", "tenant"):
            continue
        assert getattr(record, f"semcache_{field.name}") == getattr(event, field.name)


def test_the_line_reads_well(logged: pytest.LogCaptureFixture) -> None:
    LoggingObserver()(BreakerChanged("half-open", "open", "probe slow", 2.51234, "a-model", 20, 3, 0, "3 s for 1 pair"))
    assert logged.records[0].getMessage() == (
        "BreakerChanged old=half-open new=open reason='probe slow' p95_s=2.512 reranker=a-model samples=20 slow=3 "
        "errors=0 cause='3 s for 1 pair' is_primary=True"
    )


def test_an_outage_warns_once_per_step_until_it_is_over(logged: pytest.LogCaptureFixture) -> None:
    observer = LoggingObserver()
    down = CacheFailed("ReadExact", "x")
    for event in (down, down, CacheFailed("Remember", "x"), down, CacheRecovered(2.0), down):
        observer(event)
    levels = [record.levelname for record in logged.records]
    assert levels == ["WARNING", "DEBUG", "WARNING", "DEBUG", "INFO", "WARNING"]


def test_an_outage_without_a_recovery_is_over_after_a_quiet_minute(logged: pytest.LogCaptureFixture) -> None:
    # As of a Redis that is full: its answers are errors, so that its circuit breaker stays closed.
    clock = ScriptedClock()
    observer = LoggingObserver(clock=clock)
    for _ in range(3):
        for _ in range(4):
            observer(CacheFailed("Remember", "TransientStoreError: Redis is full"))
            clock.pass_(1)
        clock.pass_(QUIET_S)
    assert [record.levelname for record in logged.records] == ["WARNING", *["DEBUG"] * 3] * 3


def test_another_logger_can_be_given(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "mine")
    LoggingObserver(logging.getLogger("mine"))(IndexCreated("i"))
    assert [record.name for record in caplog.records] == ["mine"]


def test_nothing_is_configured() -> None:
    logger = logging.getLogger("semcache")
    before = (list(logger.handlers), logger.level, logger.propagate)
    LoggingObserver()(IndexCreated("i"))
    assert (list(logger.handlers), logger.level, logger.propagate) == before


def test_what_is_below_the_level_is_not_even_built(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "semcache")
    LoggingObserver()(reranked())
    assert not caplog.records


def test_texts_with_spaces_are_quoted_and_none_is_left_out(logged: pytest.LogCaptureFixture) -> None:
    LoggingObserver()(reranked("degraded", reason="open", reranker="a b"))
    line = logged.records[0].getMessage()
    assert "reason=open" in line and "why=''" in line and "reranker='a b'" in line
    assert "similarity" not in line


def test_no_line_has_the_text_of_a_query_or_the_name_of_a_tenant(logged: pytest.LogCaptureFixture) -> None:
    event = reranked(query="my diagnosis", tenant="Clinic Dr. Foo")
    LoggingObserver()(event)
    for private in ("diagnosis", "Foo"):
        assert private not in str(logged.records[0].__dict__) + logged.text + repr(event)


def test_a_pipeline_has_its_name_in_its_lines(logged: pytest.LogCaptureFixture) -> None:
    LoggingObserver.from_settings(Settings(telemetry={"pipeline": "search"}))(IndexCreated("i"))
    [record] = logged.records
    assert record.__dict__["semcache_pipeline"] == "search"
    assert record.getMessage().endswith(" pipeline=search")
