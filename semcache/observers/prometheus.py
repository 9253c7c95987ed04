"""PrometheusObserver: events as Prometheus metrics. Needs the extra ``prometheus``."""

from threading import Lock
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from semcache.errors import ConfigurationError, MissingExtraError
from semcache.events import Event
from semcache.observers.families import families
from semcache.observers.recording import Recording
from semcache.runtime.forking import renew_in_child
from semcache.settings import Settings, settings_of

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

_in_use: "WeakValueDictionary[tuple[int, str, str], PrometheusObserver]" = WeakValueDictionary()
"""The observers that live, by registry, namespace and pipeline."""
_making = Lock()


class PrometheusObserver:
    """Metrics named ``semcache_*`` in ``registry`` (default: prometheus_client's own); every event changes one.

    One observer per pipeline. Its time series have the labels ``namespace`` and ``pipeline``, so that the gauges of
    several pipelines of a process stand side by side; ``semcache.observers.metrics`` lists all metrics. The values of
    labels are bounded, and all that are known beforehand are there from the start, as 0. A tenant is no label: there
    may be any number of tenants.

    Raises MissingExtraError without prometheus_client, and ConfigurationError when another observer that is in use has
    the same registry, namespace and pipeline, or the registry has other metrics of these names.

    Example:
        >>> observer = PrometheusObserver(namespace="docs", pipeline="search")
        >>> pipeline = OptimizedRerankerPipeline.from_settings(observers=[observer])
    """

    def __init__(
        self, registry: "CollectorRegistry | None" = None, *, namespace: str = "default", pipeline: str = "default"
    ) -> None:
        try:
            import prometheus_client
        except ImportError as error:
            raise MissingExtraError("prometheus_client", "prometheus") from error
        self._where = namespace, pipeline
        # Kept, so that no other registry can have its identity while this observer lives.
        self._registry = registry = registry or prometheus_client.REGISTRY
        # Two threads that open a pipeline each would register the metrics twice.
        with _making:
            key = (id(registry), *self._where)
            if key in _in_use:
                raise ConfigurationError(
                    f"pipeline {pipeline!r} of namespace {namespace!r} has a PrometheusObserver in this registry; give "
                    "each pipeline a name of its own (setting telemetry.pipeline)"
                )
            self._recording = Recording(families(prometheus_client, registry, namespace, pipeline))
            _in_use[key] = self
        self._is_forked = False
        renew_in_child(self)

    @classmethod
    def from_settings(
        cls, settings: Settings | None = None, registry: "CollectorRegistry | None" = None
    ) -> "PrometheusObserver":
        """An observer with the names that ``settings`` (None: of environment and YAML) have for the pipeline."""
        settings = settings_of(settings)
        return cls(registry, namespace=settings.cache.namespace, pipeline=settings.telemetry.pipeline)

    def __call__(self, event: Event, /) -> None:
        # No lock: prometheus_client locks each time series.
        if self._is_forked:
            self._is_forked = False
            self._recording.show_gauges()
        self._recording(event)

    def after_fork_in_child(self) -> None:
        """Show the gauges again with the next event: where each process has files of its own, they begin at 0."""
        self._is_forked = True

    def __repr__(self) -> str:
        namespace, pipeline = self._where
        return f"<PrometheusObserver of {pipeline!r} in {namespace!r}>"
