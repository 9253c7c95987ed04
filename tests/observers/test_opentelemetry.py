"""OpenTelemetryObserver, by the in-memory exporters of the real SDK."""

import asyncio
import re
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from semcache import OptimizedRerankerPipeline
from semcache.errors import MissingExtraError
from semcache.events import BatchScored, RungFailed
from semcache.observers import OpenTelemetryObserver
from semcache.observers.metrics import METRICS
from semcache.settings import Settings
from tests.fakes import CountingReranker, WordEmbedder
from tests.observers.samples import ONE_OF_EACH, reranked
from tests.rerank_service import RerankService

DOCUMENTS = [f"passage {n} about the moon" for n in range(6)]


class Traced:
    """Providers that keep everything, an observer to them, and a tracer for the caller's own spans."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.reader = InMemoryMetricReader()
        traces = TracerProvider()
        traces.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracer = traces.get_tracer("the application")
        meters = MeterProvider([self.reader])
        self.observer = OpenTelemetryObserver(
            namespace="docs", pipeline="search", tracer_provider=traces, meter_provider=meters
        )

    def spans(self, begin: str) -> list[ReadableSpan]:
        """The spans whose names begin so, oldest first; all are forgotten with that."""
        found = [span for span in self.exporter.get_finished_spans() if span.name.startswith(begin)]
        return sorted(found, key=lambda span: span.end_time or 0)

    def points(self) -> Mapping[str, Any]:
        """The data points of each metric."""
        data = self.reader.get_metrics_data()
        if data is None:
            return {}
        return {
            metric.name: (metric.unit, list(metric.data.data_points))
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }


@pytest.fixture
def traced() -> Traced:
    return Traced()


def below(span: ReadableSpan, parent: ReadableSpan) -> bool:
    assert span.context is not None and parent.context is not None
    return span.parent is not None and span.parent.span_id == parent.context.span_id


class TestSpans:
    def test_a_request_has_the_attributes_of_the_conventions(self, traced: Traced) -> None:
        traced.observer(reranked("verified", asked=4, reused=6, top_k=5, nearest=0.83, redis_s=0.002, drift=-1.5))
        [span] = traced.spans("rerank ce")
        assert dict(span.attributes or {}) == {
            "gen_ai.operation.name": "rerank",
            "gen_ai.provider.name": "semcache",
            "gen_ai.request.model": "ce",
            "gen_ai.data_source.id": "docs",
            "gen_ai.retrieval.top_k": 5,
            "semcache.pipeline": "search",
            "semcache.status": "verified",
            "semcache.documents": 10,
            "semcache.pairs.asked": 4,
            "semcache.pairs.reused": 6,
            "semcache.pairs.skipped": 0,
            "semcache.pairs.cheap": 0,
            "semcache.rounds": 1,
            "semcache.why": "",
            "semcache.nearest_similarity": 0.83,
            "semcache.redis_wait": 0.002,
            "semcache.drift": -1.5,
        }
        assert span.start_time is not None and span.end_time is not None
        assert (span.end_time - span.start_time) / 1e9 == pytest.approx(0.5, abs=1e-6)

    def test_neither_query_nor_tenant_is_told_unless_asked_for(self, traced: Traced) -> None:
        traced.observer(reranked(tenant="acme"))
        traced.observer(reranked(query="how far is the moon"))
        silent, asked = (dict(span.attributes or {}) for span in traced.spans("rerank"))
        assert "acme" not in silent.values() and "gen_ai.retrieval.query.text" not in silent
        assert asked["gen_ai.retrieval.query.text"] == "how far is the moon"

    def test_trouble_is_an_event_of_the_callers_span(self, traced: Traced) -> None:
        with traced.tracer.start_as_current_span("caller"):
            traced.observer(RungFailed("ce", "RuntimeError: out of memory"))
        [caller] = traced.spans("caller")
        [event] = caller.events
        assert event.name == "semcache.RungFailed"
        assert dict(event.attributes or {}) == {
            "semcache.reranker": "ce",
            "semcache.error": "RuntimeError: out of memory",
            "error.type": "RuntimeError",
        }

    def test_every_event_is_taken_also_without_a_span_around_it(self, traced: Traced) -> None:
        for event in ONE_OF_EACH:
            traced.observer(event)
        assert [span.name for span in traced.exporter.get_finished_spans()] == ["rerank ce"]


class TestNesting:
    @pytest.fixture
    def pipeline(self, traced: Traced, redis_url: str, namespace: str) -> Iterator[OptimizedRerankerPipeline]:
        settings = Settings(cache={"namespace": namespace}, telemetry={"capture_queries": True})
        with OptimizedRerankerPipeline(
            CountingReranker(), None, redis_url, embedding_model=WordEmbedder(), settings=settings,
            observers=[traced.observer],
        ) as pipeline:  # fmt: skip
            yield pipeline

    def test_in_a_thread(self, traced: Traced, pipeline: OptimizedRerankerPipeline) -> None:
        with traced.tracer.start_as_current_span("caller"):
            pipeline.rerank("how far is the moon", DOCUMENTS, 3)
        [caller], [request], [batch] = traced.spans("caller"), traced.spans("rerank"), traced.spans("score")
        assert below(request, caller) and below(batch, caller)
        assert dict(request.attributes or {})["gen_ai.retrieval.query.text"] == "how far is the moon"
        assert dict(batch.attributes or {})["semcache.batch.pairs"] == len(DOCUMENTS)

    def test_in_an_event_loop_each_task_has_its_own(self, traced: Traced, pipeline: OptimizedRerankerPipeline) -> None:
        async def ask(name: str) -> None:
            with traced.tracer.start_as_current_span(f"caller {name}"):
                await pipeline.arerank(f"{name} is the query", DOCUMENTS, 3)

        async def all_of_them() -> None:
            await asyncio.gather(*map(ask, ("one", "two", "three")))

        asyncio.run(all_of_them())
        callers = {span.name.split()[-1]: span for span in traced.spans("caller")}
        requests = traced.spans("rerank")
        assert len(requests) == 3
        for request in requests:
            query = str(dict(request.attributes or {})["gen_ai.retrieval.query.text"])
            assert below(request, callers[query.split(maxsplit=1)[0]])
        assert all(any(below(batch, caller) for caller in callers.values()) for batch in traced.spans("score"))

    def test_requests_of_rerank_many_are_below_their_caller(
        self, traced: Traced, pipeline: OptimizedRerankerPipeline
    ) -> None:
        with traced.tracer.start_as_current_span("caller"):
            pipeline.rerank_many(["red apples", "cold wind"], [DOCUMENTS] * 2, 3)
        [caller], requests, batches = traced.spans("caller"), traced.spans("rerank"), traced.spans("score")
        assert len(requests) == 2 and batches
        assert all(below(span, caller) for span in (*requests, *batches))

    def test_calls_of_a_service_are_below_their_caller(self, traced: Traced, redis_url: str, namespace: str) -> None:
        with RerankService("tei") as service:
            settings = Settings(
                cache={"namespace": namespace},
                rerankers=[{"kind": "http", "dialect": "tei", "url": service.url}, {"kind": "retrieval-order"}],
            )
            with OptimizedRerankerPipeline(
                redis_url=redis_url, embedding_model=WordEmbedder(), settings=settings, observers=[traced.observer]
            ) as pipeline:
                with traced.tracer.start_as_current_span("caller"):
                    pipeline.rerank("how far is the moon", DOCUMENTS, 3)
                [caller], [request], batches = traced.spans("caller"), traced.spans("rerank"), traced.spans("score")
        assert below(request, caller)
        assert batches and all(below(batch, caller) for batch in batches)


class TestMetrics:
    def test_every_metric_is_there_with_its_unit(self, traced: Traced) -> None:
        for event in ONE_OF_EACH:
            traced.observer(event)
        points = traced.points()
        assert len(points) == len(METRICS) + 1
        assert {"semcache.requests", "semcache.request_duration", "semcache.breaker_state"} <= points.keys()
        assert points["semcache.request_duration"][0] == points["gen_ai.client.operation.duration"][0] == "s"
        assert points["semcache.pairs"][0] == "{pair}" and points["semcache.prune_avoided"][0] == "1"

    def test_units_are_those_of_ucum(self, traced: Traced) -> None:
        for event in ONE_OF_EACH:
            traced.observer(event)
        units = {unit for unit, _ in traced.points().values()}
        # An annotation has no space, and names one of what is counted.
        assert {unit for unit in units if not re.fullmatch(r"1|s|\{[a-z_]*[^s]\}|\{process\}", unit)} == set()
        assert {"{score_unit}", "{entry}", "{index}", "{request}"} <= units

    def test_attributes_name_pipeline_and_namespace(self, traced: Traced) -> None:
        traced.observer(reranked("exact"))
        [point] = traced.points()["semcache.requests"][1]
        assert point.value == 1
        assert dict(point.attributes) == {
            "semcache.namespace": "docs",
            "semcache.pipeline": "search",
            "semcache.status": "exact",
            "semcache.reason": "",
        }

    def test_the_duration_is_as_the_conventions_have_it(self, traced: Traced) -> None:
        traced.observer(reranked("fresh"))
        [point] = traced.points()["gen_ai.client.operation.duration"][1]
        assert dict(point.attributes) == {
            "gen_ai.operation.name": "rerank",
            "gen_ai.provider.name": "semcache",
            "gen_ai.request.model": "ce",
        }
        assert point.sum == 0.5 and point.explicit_bounds[0] == 0.01

    def test_errors_have_their_type(self, traced: Traced) -> None:
        traced.observer(RungFailed("ce", "RuntimeError: no"))
        [point] = traced.points()["semcache.errors"][1]
        assert dict(point.attributes)["error.type"] == "RuntimeError"


def test_a_setting_gives_a_pipeline_one(redis_url: str, namespace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(cache={"namespace": namespace}, telemetry={"opentelemetry": True})
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with pytest.raises(MissingExtraError, match="otel"):
        OptimizedRerankerPipeline(
            CountingReranker(), None, redis_url, embedding_model=WordEmbedder(), settings=settings
        )


def test_names_come_from_the_settings() -> None:
    settings = Settings(cache={"namespace": "docs"}, telemetry={"pipeline": "search"})
    assert repr(OpenTelemetryObserver.from_settings(settings)) == "<OpenTelemetryObserver of 'search' in 'docs'>"


def test_without_providers_it_costs_nothing_and_breaks_nothing() -> None:
    observer = OpenTelemetryObserver()
    for event in (*ONE_OF_EACH, BatchScored("ce", 1, 1, 0.0, 0.1)):
        observer(event)


def test_without_the_library_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'redis-semcache\[otel\]'"):
        OpenTelemetryObserver()
