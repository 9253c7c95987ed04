"""SummaryLog: a line about the requests of a while, without a thread."""

import logging
import os
from collections.abc import Sequence

import pytest

from semcache import OptimizedRerankerPipeline
from semcache.events import BreakerChanged, CacheFailed, CacheUnavailable, Event
from semcache.observers import SummaryLog
from semcache.settings import Settings
from tests.fakes import CountingReranker, WordEmbedder
from tests.observers.samples import ONE_OF_EACH, reranked
from tests.scripted import ScriptedClock


class Summed:
    """A SummaryLog of a minute on a scripted clock."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO, "semcache.summary")
        self.clock = ScriptedClock()
        self.observer = SummaryLog(60, "search", clock=self.clock)
        self._caplog = caplog

    def records_after(self, events: Sequence[Event], pause_s: float = 0) -> list[logging.LogRecord]:
        self._caplog.clear()
        for event in events:
            self.observer(event)
        self.clock.pass_(pause_s)
        return list(self._caplog.records)


@pytest.fixture
def summed(caplog: pytest.LogCaptureFixture) -> Summed:
    return Summed(caplog)


def test_the_line_has_shares_latency_pairs_breaker_and_drift(summed: Summed) -> None:
    requests = [
        *[reranked("exact", asked=0, reused=10, duration_s=0.001, saved_s=0.5)] * 6,
        *[reranked("verified", asked=4, reused=5, skipped=1, duration_s=0.1, drift=-0.5)] * 3,
    ]
    assert summed.records_after([*requests, BreakerChanged("closed", "open", "slow", 2.5)], pause_s=60) == []
    [record] = summed.records_after([reranked("degraded", asked=0, duration_s=2.0)])
    assert record.getMessage() == (
        "search: 9 requests in 60 s (exact 66.7%, verified 33.3%), p50 1 ms, p95 98.5 ms, pairs saved 86.7% of 90 "
        "(about 3 s), breaker open, drift -0.5 in 3, redis up, 0 cache failures"
    )
    assert record.levelname == "INFO" and record.name == "semcache.summary"


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.0, "0 s"), (0.004, "4 ms"), (0.98, "980 ms"), (1.5, "1.5 s"), (999.9, "1000 s"), (86400.0, "86400 s")],
)
def test_no_duration_is_a_power_of_ten(summed: Summed, seconds: float, shown: str) -> None:
    summed.records_after([reranked(saved_s=seconds)], pause_s=60)
    [record] = summed.records_after([reranked()])
    assert f"(about {shown})" in record.getMessage()


def test_each_figure_is_a_field(summed: Summed) -> None:
    summed.records_after([reranked("fresh"), CacheUnavailable("away")], pause_s=61)
    [record] = summed.records_after([reranked("exact")])
    fields = {name: value for name, value in vars(record).items() if name.startswith("semcache_")}
    assert fields["semcache_event"] == "Summary" and fields["semcache_pipeline"] == "search"
    assert fields["semcache_shares"] == {"fresh": 1.0}
    assert fields["semcache_p50_s"] == fields["semcache_p95_s"] == pytest.approx(0.5, rel=0.025)
    assert (fields["semcache_redis"], fields["semcache_drift"]) == ("away", None)


@pytest.mark.parametrize("durations", [[0.01] * 99 + [5.0], [0.001 * n for n in range(1, 1001)], [0.0], [3600.0]])
def test_quantiles_are_right_within_their_steps(summed: Summed, durations: list[float]) -> None:
    summed.records_after([reranked(duration_s=duration) for duration in durations], pause_s=60)
    [record] = summed.records_after([CacheFailed("Embed", "x")])
    for name, share in (("p50_s", 50), ("p95_s", 95)):
        exact = sorted(durations)[-(-share * len(durations) // 100) - 1]
        assert vars(record)[f"semcache_{name}"] == pytest.approx(exact, rel=0.03, abs=2e-6)


def test_a_while_without_requests_is_no_line(summed: Summed) -> None:
    for _ in range(2):
        assert summed.records_after([CacheFailed("Embed", "x")], pause_s=600) == []
    assert summed.records_after([reranked()], pause_s=60) == []
    [record] = summed.records_after([reranked()])
    assert vars(record)["semcache_period_s"] == 60


def test_each_line_counts_anew(summed: Summed) -> None:
    lines = []
    for _ in range(3):
        lines += summed.records_after([reranked()] * 5, pause_s=60)
    assert [vars(record)["semcache_requests"] for record in lines] == [5, 5]


def test_every_kind_of_event_is_taken(summed: Summed) -> None:
    summed.records_after(ONE_OF_EACH)
    assert repr(summed.observer) == "<SummaryLog of 'search' every 60 s>"


def test_a_forked_child_does_not_repeat_what_its_parent_counted(summed: Summed) -> None:
    summed.records_after([reranked()] * 5, pause_s=60)
    child = os.fork()
    if not child:
        os._exit(len(summed.records_after([reranked()])))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert len(summed.records_after([reranked()])) == 1


def test_the_setting_gives_a_pipeline_one(redis_url: str, namespace: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "semcache.summary")
    settings = Settings(cache={"namespace": namespace}, telemetry={"summary_s": 1e-9, "pipeline": "search"})
    with OptimizedRerankerPipeline(
        CountingReranker(), None, redis_url, embedding_model=WordEmbedder(), settings=settings
    ) as pipeline:
        for _ in range(2):
            pipeline.rerank("red", ["a red car", "the moon"])
    lines = [record.getMessage() for record in caplog.records if record.name == "semcache.summary"]
    assert len(lines) == 1 and lines[0].startswith("search: 1 requests in 0 s (fresh 100.0%)")
