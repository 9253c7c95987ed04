"""PrometheusObserver: every event ends up in a metric, whose names and labels Prometheus takes."""

import gc
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Counter, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parsed_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parsed

from semcache.degradation.transitions import TRANSITIONS
from semcache.errors import ConfigurationError, MissingExtraError
from semcache.events import BatchScored, BreakerChanged, CacheRecovered, CacheUnavailable, PipelineOpened, RungFailed
from semcache.guards.cues import Kind
from semcache.observers import PrometheusObserver, labels
from semcache.observers.families import Family
from semcache.observers.metrics import METRICS, metric_table
from semcache.settings import Settings
from tests.observers.samples import ONE_OF_EACH, reranked

HERE = {"namespace": "default", "pipeline": "default"}


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def observer(registry: CollectorRegistry) -> PrometheusObserver:
    return PrometheusObserver(registry)


def value(registry: CollectorRegistry, metric: str, **own: str) -> float | None:
    return registry.get_sample_value(metric, HERE | own)


def test_every_event_changes_a_metric(registry: CollectorRegistry, observer: PrometheusObserver) -> None:
    for event in ONE_OF_EACH:
        before = generate_latest(registry)
        observer(event)
        assert generate_latest(registry) != before, type(event).__name__


@pytest.mark.parametrize(
    ("metric", "own", "expected"),
    [
        ("requests_total", {"status": "verified", "reason": ""}, 1),
        ("request_duration_seconds_sum", {"status": "verified"}, 0.5),
        ("redis_wait_seconds_sum", {"status": "verified"}, 0.002),
        ("lease_wait_seconds_sum", {"outcome": "answered"}, 0.25),
        ("embedding_duration_seconds_sum", {}, 0.004),
        ("saved_seconds_total", {}, 0.25),
        ("pairs_total", {"source": "asked"}, 4),
        ("pairs_total", {"source": "reused"}, 5),
        ("pairs_total", {"source": "skipped"}, 1),
        ("pairs_total", {"source": "cheap"}, 6),
        ("nearest_similarity_bucket", {"status": "verified", "le": "0.8"}, 0),
        ("nearest_similarity_bucket", {"status": "verified", "le": "0.85"}, 1),
        ("drift_sum", {"sign": "negative"}, 1.5),
        ("drift_bucket", {"sign": "negative", "le": "1.0"}, 0),
        ("drift_bucket", {"sign": "negative", "le": "2.0"}, 1),
        ("drift_count", {"sign": "positive"}, 0),
        ("cache_failures_total", {"step": "FindNeighbours"}, 1),
        ("errors_total", {"part": "redis", "error": "TimeoutError"}, 1),
        ("errors_total", {"part": "reranker", "error": "RuntimeError"}, 1),
        ("redis_outages_total", {}, 1),
        ("redis_outage_seconds_sum", {}, 3),
        ("redis_up", {}, 1),
        ("entries", {}, 1200),
        ("shard_outages_total", {"node": "h:2"}, 1),
        ("shard_outage_seconds_sum", {"node": "h:2"}, 2),
        ("shards_left_out_total", {"node": "h:2"}, 1),
        ("topology_changes_total", {}, 1),
        ("primary_changes_total", {}, 1),
        ("index_creations_total", {}, 1),
        ("neighbours_skipped_total", {}, 2),
        ("entries_damaged_total", {"part": "scores", "fault": "check"}, 1),
        ("trust_refused_total", {"difference": "negation"}, 1),
        ("rung_failures_total", {"reranker": "ce"}, 1),
        ("rung_outage_seconds_sum", {"reranker": "ce"}, 7.5),
        ("degraded_total", {"reason": "open", "reranker": "embedding"}, 1),
        ("breaker_state", {"state": "open"}, 1),
        ("breaker_state", {"state": "closed"}, 0),
        ("breaker_transitions_total", {"old": "closed", "new": "open", "reason": "slow"}, 1),
        ("batch_pairs_sum", {"reranker": "ce"}, 30),
        ("batch_wait_seconds_sum", {"reranker": "ce"}, 0.01),
        ("batch_service_seconds_sum", {"reranker": "ce"}, 0.4),
        ("queue_pairs", {"reranker": "ce"}, 12),
        ("trust_changes_total", {"direction": "tightened"}, 1),
        ("prune_changes_total", {"direction": "tightened"}, 1),
        ("prune_confidence", {"scope": "default/ce"}, 1.5),
        ("prune_avoided_ratio", {"scope": "default/ce"}, 0.38),
        ("prune_loss_ratio", {"scope": "default/ce"}, 0.0004),
        ("prune_loss_high_ratio", {"scope": "default/ce"}, 0.006),
        ("audits_dropped_total", {"reason": "busy"}, 1),
        ("repaired_pairs_total", {}, 30),
    ],
)
def test_metric(
    registry: CollectorRegistry, observer: PrometheusObserver, metric: str, own: dict[str, str], expected: float
) -> None:
    for event in ONE_OF_EACH:
        observer(event)
    assert value(registry, f"semcache_{metric}", **own) == expected


def series(registry: CollectorRegistry) -> set[tuple[str, tuple[tuple[str, str], ...]]]:
    return {(s.name, tuple(sorted(s.labels.items()))) for family in registry.collect() for s in family.samples}


def test_all_series_of_known_labels_are_there_from_the_start(
    registry: CollectorRegistry, observer: PrometheusObserver
) -> None:
    observer(PipelineOpened(("ce", "embedding", "retrieval-order"), "words", "default"))
    before = series(registry)
    for event in ONE_OF_EACH:
        observer(event)
    new = {name for name, _ in series(registry) - before}
    # Names of nodes, of options and of scopes are known when they occur.
    assert {re.sub("_(total|created|bucket|sum|count)$", "", name) for name in new} == {
        metric.name.removesuffix("_total") for metric in METRICS if {"node", "option", "scope"} & set(metric.labels)
    }


def test_a_value_that_is_not_listed_is_counted_as_other(
    registry: CollectorRegistry, observer: PrometheusObserver
) -> None:
    observer(reranked("verified", reason="a reason of tomorrow"))
    observer(RungFailed("ce", "UnlistedError: no"))
    assert value(registry, "semcache_requests_total", status="verified", reason=labels.OTHER) == 1
    assert value(registry, "semcache_errors_total", part="reranker", error=labels.OTHER) == 1


def test_a_pipeline_has_about_a_thousand_series(registry: CollectorRegistry, observer: PrometheusObserver) -> None:
    observer(PipelineOpened(("ce", "learned", "retrieval-order"), "words", "default"))
    assert 900 < len(series(registry)) < 1100, "docs/monitoring.md says so"


def test_a_label_without_a_list_has_a_bounded_number_of_values(
    registry: CollectorRegistry, observer: PrometheusObserver
) -> None:
    for number in range(100):
        observer(RungFailed(f"reranker {number}", "ValueError"))
    names = {dict(own)["reranker"] for name, own in series(registry) if name == "semcache_rung_failures_total"}
    assert len(names) == 33 and labels.OTHER in names
    assert value(registry, "semcache_rung_failures_total", reranker=labels.OTHER) == 68


class TestThePipeline:
    def test_two_of_a_process_stand_side_by_side(self, registry: CollectorRegistry) -> None:
        one, other = (PrometheusObserver(registry, pipeline=name) for name in ("one", "other"))
        one(BreakerChanged("closed", "open", "slow", 2.5))
        one(CacheUnavailable("away"))
        other(reranked("exact"))
        is_open = {"namespace": "default", "state": "open"}
        for pipeline, opened in (("one", 1), ("other", 0)):
            assert registry.get_sample_value("semcache_breaker_state", is_open | {"pipeline": pipeline}) == opened
            assert registry.get_sample_value("semcache_redis_up", HERE | {"pipeline": pipeline}) == 1 - opened
        exact = HERE | {"status": "exact", "reason": ""}
        assert registry.get_sample_value("semcache_requests_total", exact | {"pipeline": "one"}) == 0

    def test_two_of_one_name_are_a_clear_error(self, registry: CollectorRegistry, observer: PrometheusObserver) -> None:
        with pytest.raises(ConfigurationError, match=r"'default' of namespace 'default'.*telemetry\.pipeline"):
            PrometheusObserver(registry)

    def test_a_name_is_free_again_when_its_observer_is_gone(self, registry: CollectorRegistry) -> None:
        PrometheusObserver(registry)(reranked("exact"))
        gc.collect()
        PrometheusObserver(registry)(reranked("exact"))
        assert value(registry, "semcache_requests_total", status="exact", reason="") == 2

    def test_its_names_come_from_the_settings(self, registry: CollectorRegistry) -> None:
        settings = Settings(cache={"namespace": "docs"}, telemetry={"pipeline": "search"})
        observer = PrometheusObserver.from_settings(settings, registry)
        assert repr(observer) == "<PrometheusObserver of 'search' in 'docs'>"
        names = {"namespace": "docs", "pipeline": "search"}
        assert registry.get_sample_value("semcache_redis_up", names) == 1


def test_the_breaker_starts_closed_and_is_in_one_state(
    registry: CollectorRegistry, observer: PrometheusObserver
) -> None:
    assert value(registry, "semcache_breaker_state", state="closed") == 1
    observer(BreakerChanged("open", "half-open", "open time over", None))
    observer(BreakerChanged("closed", "open", "slow", None, "lower rung", is_primary=False))
    assert sum(value(registry, "semcache_breaker_state", state=state) or 0 for state in labels.STATES) == 1
    assert value(registry, "semcache_breaker_state", state="half-open") == 1


def test_redis_is_up_until_it_is_left_alone(registry: CollectorRegistry, observer: PrometheusObserver) -> None:
    seen = [value(registry, "semcache_redis_up")]
    for event in (CacheUnavailable("away"), CacheRecovered(1.0)):
        observer(event)
        seen.append(value(registry, "semcache_redis_up"))
    assert seen == [1, 0, 1]


def test_a_queue_that_is_empty_again_is_shown_as_empty(
    registry: CollectorRegistry, observer: PrometheusObserver
) -> None:
    observer(BatchScored("ce", 30, 3, 0.01, 0.4, queued=7))
    observer(BatchScored("ce", 7, 3, 0.01, 0.4))
    assert value(registry, "semcache_queue_pairs", reranker="ce") == 0


def test_a_request_that_looked_for_nothing_says_nothing_of_similarity(
    registry: CollectorRegistry, observer: PrometheusObserver
) -> None:
    observer(reranked("fresh"))
    observer(reranked("exact"))
    assert value(registry, "semcache_nearest_similarity_count", status="fresh") == 0
    assert value(registry, "semcache_nearest_similarity_count", status="exact") is None
    assert value(registry, "semcache_drift_count", sign="positive") == 0


def test_rounds_that_took_longer_than_one_do_not_lower_a_counter(
    registry: CollectorRegistry, observer: PrometheusObserver
) -> None:
    observer(reranked("verified", saved_s=-0.5))
    assert value(registry, "semcache_saved_seconds_total") == 0


def test_tenants_are_no_labels(registry: CollectorRegistry, observer: PrometheusObserver) -> None:
    observer(reranked(tenant="acme"))
    assert b"acme" not in generate_latest(registry)


def test_build_info_has_the_versions(registry: CollectorRegistry, observer: PrometheusObserver) -> None:
    [family] = [family for family in registry.collect() if family.name == "semcache_build_info"]
    [sample] = family.samples
    assert sample.value == 1 and sample.labels.keys() == {"version", "python", "redisvl"}
    assert all(re.match(r"\d+\.\d+", version) for version in sample.labels.values())


def test_other_metrics_of_these_names_are_a_clear_error(registry: CollectorRegistry) -> None:
    Counter("semcache_requests", "another program's", registry=registry)
    with pytest.raises(ConfigurationError, match="a CollectorRegistry of its own"):
        PrometheusObserver(registry)


def test_without_the_library_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'redis-semcache\[prometheus\]'"):
        PrometheusObserver()


class TestConventions:
    """What ``promtool check metrics`` asks of names, and that both formats can be read back."""

    @pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
    def test_names_follow_prometheus(self, metric: Any) -> None:
        name = metric.name
        assert re.fullmatch("semcache_[a-z][a-z_]*[a-z]", name)
        assert (metric.kind == "counter") is name.endswith("_total")
        assert not re.search("_(count|sum|bucket|info|created)(_total)?$", name) or name == "semcache_build_info"
        assert not re.search("(milli|micro|minutes|hours|percent|gauge|counter|histogram)", name)
        if metric.unit in ("seconds", "ratio"):
            assert name.removesuffix("_total").endswith(f"_{metric.unit}")
        assert not {"le", "quantile", "namespace", "pipeline", "tenant"} & set(metric.labels)
        assert all(re.fullmatch("[a-z]+", label) for label in metric.labels)
        assert all(len(row) == len(metric.labels) for row in metric.values)
        assert (metric.kind == "histogram") is bool(metric.buckets) and list(metric.buckets) == sorted(metric.buckets)

    def test_both_formats_can_be_read_back(self, registry: CollectorRegistry, observer: PrometheusObserver) -> None:
        for event in ONE_OF_EACH:
            observer(event)
        plain = list(parsed(generate_latest(registry).decode()))
        open_ = list(parsed_openmetrics(openmetrics.generate_latest(registry).decode()))
        names = {metric.name.removesuffix("_total") for metric in METRICS}
        assert {family.name.removesuffix("_total") for family in open_} == names
        # The plain format counts when a series was created as families of their own.
        assert {family.name.removesuffix("_total") for family in plain if not family.name.endswith("_created")} == names
        for family in plain:
            for sample in family.samples:
                assert family.name == "semcache_build_info" or sample.labels.keys() >= HERE.keys()


class TestLists:
    """The lists of labels hold what the code says."""

    def test_transitions_are_those_of_the_breaker(self) -> None:
        of_breaker = {
            (old.value, new.value, signal.value) for (old, signal), new in TRANSITIONS.items() if old is not new
        }
        assert set(labels.TRANSITIONS) == of_breaker

    def test_every_kind_of_cue_is_a_difference(self) -> None:
        kinds = {name.lower() for name in vars(Kind) if name.isupper()}
        assert kinds <= set(labels.DIFFERENCES)

    def test_steps_and_reasons_are_those_in_the_code(self) -> None:
        code = "\n".join(path.read_text() for path in (Path(__file__).parents[2] / "semcache").rglob("*.py"))
        steps = set(re.findall(r'CacheFailed\(\s*"(\w+)"', code))
        assert steps and steps <= set(labels.STEPS)
        faults = set(re.findall(r'Damaged\("(\w+)"\)', code))
        assert faults and faults <= {fault for _, fault in labels.DAMAGES}
        assert set(re.findall(r'_drop\("(\w+)"\)', code)) <= set(labels.AUDITS_DROPPED)


def test_a_series_at_hand_is_found_without_prometheus() -> None:
    class Parent:
        asked = 0

        def labels(self, *values: str) -> tuple[str, ...]:
            self.asked += 1
            return values

    parent = Parent()
    family = Family(METRICS[0], parent, ("a", "b"))
    before = parent.asked
    assert family.of("exact", "") == ("a", "b", "exact", "")
    assert parent.asked == before
    assert family.of("new", "") == ("a", "b", labels.OTHER, "")
    assert family.of("new", "") == ("a", "b", labels.OTHER, "") and parent.asked == before + 1


def test_the_table_has_a_line_for_each_metric() -> None:
    lines = metric_table().splitlines()
    assert len(lines) == 2 + len(METRICS) and all(line.count("|") == 6 for line in lines)
    assert "| `semcache_requests_total` | counter | `status`, `reason` |" in metric_table()


_WORKER = """
import os, sys
from prometheus_client import CollectorRegistry
from semcache.events import BreakerChanged
from semcache.observers import PrometheusObserver
from tests.observers.samples import reranked
observer = PrometheusObserver(CollectorRegistry())
child = os.fork()
if child:
    os.waitpid(child, 0)
else:
    observer(reranked("exact"))
    os._exit(0)
observer(reranked("exact"))
observer(BreakerChanged("closed", "open", "slow", 2.5))
"""


def test_processes_share_a_folder_and_the_dead_are_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from semcache.server.watching import exposition

    environment = os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", _WORKER], env=environment, check=True, timeout=60)
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    assert list(tmp_path.glob("gauge_live*"))
    families = {family.name: family for family in parsed(exposition(None)[0].decode())}
    counted = {
        sample.labels["status"]: sample.value for sample in families["semcache_requests"].samples if sample.value
    }
    assert counted == {"exact": 2}
    # Both processes have ended, so neither is in any state.
    assert "semcache_breaker_state" not in families and not list(tmp_path.glob("gauge_live*"))


def test_a_forked_child_shows_its_gauges_with_its_first_event(tmp_path: Path) -> None:
    environment = os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    read = """
from prometheus_client.multiprocess import MultiProcessCollector
registry = CollectorRegistry(); MultiProcessCollector(registry)
here = dict(namespace="default", pipeline="default")
print(registry.get_sample_value("semcache_breaker_state", here | dict(state="closed")))
"""
    done = subprocess.run(
        [sys.executable, "-c", _WORKER.replace('observer(BreakerChanged("closed", "open", "slow", 2.5))', read)],
        env=environment, check=True, timeout=60, capture_output=True, text=True,
    )  # fmt: skip
    assert float(done.stdout) == 2


def test_a_sample_of_an_event_changes_with_its_fields() -> None:
    # So that the values above are those of this event and not defaults.
    sample = next(event for event in ONE_OF_EACH if isinstance(event, BatchScored))
    assert sample != replace(sample, queued=0)
