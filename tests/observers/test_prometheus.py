"""PrometheusObserver: every event ends up in a metric."""

import sys

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from semcache.errors import ConfigurationError, MissingExtraError
from semcache.events import BreakerChanged
from semcache.observers import PrometheusObserver
from tests.observers.samples import ONE_OF_EACH, reranked


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


def test_every_event_changes_a_metric(registry: CollectorRegistry) -> None:
    observer = PrometheusObserver(registry)
    for event in ONE_OF_EACH:
        before = generate_latest(registry)
        observer(event)
        assert generate_latest(registry) != before, type(event).__name__


@pytest.mark.parametrize(
    ("metric", "labels", "value"),
    [
        ("semcache_requests_total", {"status": "verified", "reason": ""}, 1),
        ("semcache_request_seconds_sum", {"status": "verified"}, 0.5),
        ("semcache_pairs_total", {"source": "asked"}, 4),
        ("semcache_pairs_total", {"source": "reused"}, 5),
        ("semcache_pairs_total", {"source": "skipped"}, 1),
        ("semcache_pairs_total", {"source": "cheap"}, 6),
        ("semcache_similarity_bucket", {"le": "0.8"}, 0),
        ("semcache_similarity_bucket", {"le": "0.85"}, 1),
        ("semcache_drift_bucket", {"le": "-2.0"}, 0),
        ("semcache_drift_bucket", {"le": "-1.0"}, 1),
        ("semcache_cache_failures_total", {"step": "FindNeighbours"}, 1),
        ("semcache_cache_outages_total", {}, 1),
        ("semcache_outage_seconds_sum", {}, 3),
        ("semcache_shard_outages_total", {"node": "h:2"}, 1),
        ("semcache_shard_outage_seconds_sum", {"node": "h:2"}, 2),
        ("semcache_shards_left_out_total", {"node": "h:2"}, 1),
        ("semcache_topology_changes_total", {}, 1),
        ("semcache_primary_changes_total", {}, 1),
        ("semcache_indexes_created_total", {}, 1),
        ("semcache_neighbours_skipped_total", {}, 2),
        ("semcache_trust_refused_total", {"difference": "negation"}, 1),
        ("semcache_rung_failures_total", {"reranker": "ce"}, 1),
        ("semcache_degraded_total", {"reason": "open", "reranker": "embedding"}, 1),
        ("semcache_breaker_state", {"state": "open"}, 1),
        ("semcache_breaker_state", {"state": "closed"}, 0),
        ("semcache_breaker_moves_total", {"old": "closed", "new": "open", "reason": "slow"}, 1),
        ("semcache_batch_pairs_sum", {"reranker": "ce"}, 30),
        ("semcache_batch_waited_seconds_sum", {"reranker": "ce"}, 0.01),
        ("semcache_batch_service_seconds_sum", {"reranker": "ce"}, 0.4),
        ("semcache_trust_changes_total", {"direction": "tightened"}, 1),
        ("semcache_prune_changes_total", {"direction": "tightened"}, 1),
        ("semcache_prune_confidence", {"scope": "default/ce"}, 1.5),
        ("semcache_prune_avoided_share", {"scope": "default/ce"}, 0.38),
        ("semcache_prune_loss", {"scope": "default/ce"}, 0.0004),
        ("semcache_prune_loss_high", {"scope": "default/ce"}, 0.006),
        ("semcache_audits_dropped_total", {"reason": "busy"}, 1),
    ],
)
def test_metric(registry: CollectorRegistry, metric: str, labels: dict[str, str], value: float) -> None:
    observer = PrometheusObserver(registry)
    for event in ONE_OF_EACH:
        observer(event)
    assert registry.get_sample_value(metric, labels) == value


def test_the_breaker_starts_closed_and_is_in_one_state(registry: CollectorRegistry) -> None:
    observer = PrometheusObserver(registry)
    assert registry.get_sample_value("semcache_breaker_state", {"state": "closed"}) == 1
    observer(BreakerChanged("open", "half-open", "open time over", None))
    states = [
        s.value for metric in registry.collect() if metric.name == "semcache_breaker_state" for s in metric.samples
    ]
    assert sum(states) == 1


def test_a_request_without_a_neighbour_says_nothing_of_similarity(registry: CollectorRegistry) -> None:
    PrometheusObserver(registry)(reranked("fresh"))
    assert registry.get_sample_value("semcache_similarity_count") == 0
    assert registry.get_sample_value("semcache_drift_count") == 0


def test_tenants_are_no_labels(registry: CollectorRegistry) -> None:
    PrometheusObserver(registry)(reranked(tenant="acme"))
    assert b"acme" not in generate_latest(registry)


def test_two_on_one_registry_is_a_clear_error(registry: CollectorRegistry) -> None:
    PrometheusObserver(registry)
    with pytest.raises(ConfigurationError, match="share one PrometheusObserver"):
        PrometheusObserver(registry)


def test_without_the_library_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'redis-semcache\[prometheus\]'"):
        PrometheusObserver()
