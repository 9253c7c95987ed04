"""The knobs of what a pipeline tells of itself: its name in metrics, log lines and spans."""

from semcache.settings.knobs import Section, knob


class Telemetry(Section):
    """Contents of metrics, log lines and spans: the name of the pipeline, a summary, and texts of queries."""

    pipeline: str = knob(
        "default",
        "Name of the pipeline in metrics, log lines and spans: the label pipeline, beside namespace (cache.namespace). "
        "Letters, digits, dot, dash, underscore",
        reason="one pipeline per process and namespace is the common case; several need names, or one's breaker would "
        "be shown as the other's",
        pattern=r"^[A-Za-z0-9._-]+$",
    )
    summary_s: float | None = knob(
        None,
        "How often a line of the log sums up the requests since the last one: shares by status, latency, pairs "
        "saved, breaker, drift. It is written by the first request after that time, so an idle process writes "
        "none. none: never",
        unit="s",
        reason="most services have metrics; where the log is all there is, 60 is a line a minute",
        gt=0,
        le=86400,
    )
    opentelemetry: bool = knob(
        False,
        "Send spans and metrics to the providers of OpenTelemetry that the application, or opentelemetry-instrument, "
        "has set up. Needs the extra otel",
        reason="an application that passes an OpenTelemetryObserver itself would send everything twice",
    )
    capture_queries: bool = knob(
        False,
        "Put the text of queries into the spans of OpenTelemetry",
        reason="queries are personal data in many applications, and traces are kept where others read them",
    )
