"""OpenTelemetryObserver: events as spans and metrics of OpenTelemetry. Needs the extra ``otel``.

Names follow the semantic conventions for generative AI, v0.1.0 (semantic-conventions-genai; status: development). They
have no operation for reranking, so spans and the metric ``gen_ai.client.operation.duration`` have one of their own,
``rerank``, with the attributes of a retrieval. What the conventions do not name begins with ``semcache.``.
"""

from collections.abc import Callable, Mapping
from dataclasses import fields
from importlib import metadata
from time import time_ns
from typing import TYPE_CHECKING, Any

from semcache.errors import MissingExtraError
from semcache.events import (
    BatchScored,
    BreakerChanged,
    CacheFailed,
    CacheUnavailable,
    Degraded,
    Event,
    Reranked,
    RungFailed,
    TrustRefused,
)
from semcache.observers.families import Family
from semcache.observers.metrics import BUILD_INFO, METRICS, PIPELINE_LABELS, PREFIX, Metric
from semcache.observers.recording import Recording
from semcache.settings import Settings, settings_of

if TYPE_CHECKING:
    from opentelemetry.metrics import Meter, MeterProvider
    from opentelemetry.trace import TracerProvider

PROVIDER = "semcache"
RERANK = "rerank"
"""The operation of a request."""
SCORE = "score"
"""The operation of a batch: a call of the model, for one request or several."""

# As the conventions advise for gen_ai.client.operation.duration.
_DURATIONS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
# Units of UCUM. What is counted stands in braces, in the singular and without a space, as the conventions have it.
_UNITS = {
    "": "1",
    "ratio": "1",
    "cosine": "1",
    "seconds": "s",
    "score units": "{score_unit}",
    "entries": "{entry}",
    "indexes": "{index}",
    "processes": "{process}",
}
# The name of an attribute, where it is not that of the label after "semcache.".
_ATTRIBUTES = {"error": "error.type"}
_TROUBLE = (CacheFailed, CacheUnavailable, RungFailed, Degraded, BreakerChanged, TrustRefused)

Attributes = dict[str, Any]


class OpenTelemetryObserver:
    """Spans of requests and batches, and the metrics of ``PrometheusObserver``, to the providers of OpenTelemetry.

    A request is a span ``rerank MODEL`` below the caller's current span, in threads, in event loops and in
    ``rerank_many``; a batch is a span ``score MODEL`` below the current span of the caller that waited longest for it.
    What goes wrong meanwhile is an event of the caller's span. Metrics are named as there, with ``semcache.`` in front
    and without their unit (``semcache.request_duration``, in s). No texts and no tenants are told; with the setting
    ``telemetry.capture_queries`` spans have the text of the query (``gen_ai.retrieval.query.text``).

    Providers that are not given are the global ones, which do nothing until the application sets some up. Raises
    MissingExtraError without opentelemetry-api.

    Example:
        >>> observer = OpenTelemetryObserver(namespace="docs", pipeline="search")
        >>> pipeline = OptimizedRerankerPipeline.from_settings(observers=[observer])
    """

    def __init__(
        self,
        *,
        namespace: str = "default",
        pipeline: str = "default",
        tracer_provider: "TracerProvider | None" = None,
        meter_provider: "MeterProvider | None" = None,
    ) -> None:
        try:
            from opentelemetry import metrics, trace
        except ImportError as error:
            raise MissingExtraError("opentelemetry-api", "otel") from error
        version = metadata.version("redis-semcache")
        self._trace = trace
        self._tracer = trace.get_tracer("semcache", version, tracer_provider)
        meter = metrics.get_meter("semcache", version, meter_provider)
        self._where = namespace, pipeline
        self._duration = meter.create_histogram(
            "gen_ai.client.operation.duration",
            "s",
            "GenAI operation duration.",
            explicit_bucket_boundaries_advisory=_DURATIONS,
        )
        self._recording = Recording({metric.name: self._family(meter, metric) for metric in METRICS})

    @classmethod
    def from_settings(cls, settings: Settings | None = None, **providers: Any) -> "OpenTelemetryObserver":
        """An observer with the names that ``settings`` (None: of environment and YAML) have for the pipeline."""
        settings = settings_of(settings)
        return cls(namespace=settings.cache.namespace, pipeline=settings.telemetry.pipeline, **providers)

    def __call__(self, event: Event, /) -> None:
        self._recording(event)
        if isinstance(event, Reranked):
            self._reranked(event)
        elif isinstance(event, BatchScored):
            self._batch_scored(event)
        elif isinstance(event, _TROUBLE):
            span = self._trace.get_current_span()
            if span.is_recording():
                span.add_event(f"{PREFIX.rstrip('_')}.{type(event).__name__}", _described(event))

    def _reranked(self, event: Reranked) -> None:
        attributes = self._operation(RERANK, event.reranker)
        self._duration.record(event.duration_s, attributes)
        taken: Attributes = {
            **attributes,
            "gen_ai.data_source.id": self._where[0],
            "gen_ai.retrieval.top_k": event.top_k,
            "semcache.pipeline": self._where[1],
            "semcache.status": str(event.status),
            "semcache.documents": event.documents,
            "semcache.pairs.asked": event.asked,
            "semcache.pairs.reused": event.reused,
            "semcache.pairs.skipped": event.skipped,
            "semcache.pairs.cheap": event.cheap_asked,
            "semcache.rounds": event.rounds,
            "semcache.why": event.why,
        }
        optional = {
            "semcache.reason": event.reason,
            "semcache.nearest_similarity": event.nearest,
            "semcache.similarity": event.similarity,
            "semcache.drift": event.drift,
            "semcache.redis_wait": event.redis_s,
            "semcache.embedding_duration": event.embedding_s,
            "semcache.saved": event.saved_s,
            "gen_ai.retrieval.query.text": event.query,
        }
        taken |= {name: value for name, value in optional.items() if value is not None}
        self._span(f"{RERANK} {event.reranker}", event.duration_s, taken)

    def _batch_scored(self, event: BatchScored) -> None:
        # Without a request's trace around it, a batch would be a trace of its own that tells nothing.
        if self._trace.get_current_span().get_span_context().is_valid:
            attributes = {
                **self._operation(SCORE, event.reranker),
                "semcache.pipeline": self._where[1],
                "semcache.batch.pairs": event.pairs,
                "semcache.batch.requests": event.requests,
                "semcache.batch.wait": event.waited_s,
                "semcache.queue_pairs": event.queued,
            }
            self._span(f"{SCORE} {event.reranker}", event.service_s, attributes)

    def _operation(self, name: str, model: str) -> Attributes:
        return {"gen_ai.operation.name": name, "gen_ai.provider.name": PROVIDER, "gen_ai.request.model": model}

    def _span(self, name: str, duration_s: float, attributes: Attributes) -> None:
        # Events tell of what is over. An exact hit takes less time than a span that is kept open would cost.
        end = time_ns()
        span = self._tracer.start_span(name, attributes=attributes, start_time=end - int(duration_s * 1e9))
        span.end(end_time=end)

    def _family(self, meter: "Meter", metric: Metric) -> Family:
        shared = () if metric is BUILD_INFO else PIPELINE_LABELS
        instrument = _Instrument(_add_of(meter, metric), (*shared, *metric.labels))
        return Family(metric, instrument, self._where if shared else ())

    def __repr__(self) -> str:
        namespace, pipeline = self._where
        return f"<OpenTelemetryObserver of {pipeline!r} in {namespace!r}>"


class _Instrument:
    """An instrument with the ``labels`` of a metric of prometheus_client."""

    def __init__(self, add: Callable[..., None], labels: tuple[str, ...]) -> None:
        self._add = add
        self._names = [_ATTRIBUTES.get(label, f"semcache.{label}") for label in labels]

    def labels(self, *values: str) -> "_Series":
        return _Series(self._add, dict(zip(self._names, values, strict=True)))


class _Series:
    """One series of an instrument."""

    def __init__(self, add: Callable[..., None], attributes: Mapping[str, str]) -> None:
        self._add = add
        self._attributes = attributes

    def inc(self, amount: float = 1) -> None:
        """Add to a counter, record in a histogram or set a gauge, whatever the instrument is."""
        self._add(amount, self._attributes)

    observe = set = inc


def _add_of(meter: "Meter", metric: Metric) -> Callable[..., None]:
    """The function that records a value in a new instrument for this metric."""
    name = metric.name.removeprefix(PREFIX).removesuffix("_total")
    name = f"semcache.{name.removesuffix(f'_{metric.unit}') if metric.unit in ('seconds', 'ratio') else name}"
    unit = _UNITS.get(metric.unit, f"{{{metric.unit.removesuffix('s')}}}")
    if metric.kind == "counter":
        return meter.create_counter(name, unit, metric.meaning).add
    if metric.kind == "gauge":
        return meter.create_gauge(name, unit, metric.meaning).set
    return meter.create_histogram(name, unit, metric.meaning, explicit_bucket_boundaries_advisory=metric.buckets).record


def _described(event: Event) -> Attributes:
    values = {field.name: getattr(event, field.name) for field in fields(event)}
    described = {f"semcache.{name}": value for name, value in values.items() if value not in (None, "")}
    if isinstance(event, CacheFailed | RungFailed):
        described["error.type"] = event.error_class
    return described
