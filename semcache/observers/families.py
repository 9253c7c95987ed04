"""Metrics of prometheus_client with their time series at hand, bounded in number."""

from typing import Any
from weakref import WeakKeyDictionary

from semcache.causes import message_of
from semcache.errors import ConfigurationError
from semcache.observers.labels import OTHER
from semcache.observers.metrics import BUILD_INFO, METRICS, PIPELINE_LABELS, Metric

_MOST_VALUES = 32
"""Values of one label that no list names, such as names of rerankers: a ladder has a few, and each is a time series."""

# By registry, since several observers keep their time series in the same metrics.
_registered: WeakKeyDictionary[Any, dict[str, Any]] = WeakKeyDictionary()


class Family:
    """The time series of one metric for one pipeline. Safe to use from several threads."""

    def __init__(self, metric: Metric, parent: Any, fixed: tuple[str, ...]) -> None:
        self._parent = parent
        self._fixed = fixed
        self._known = [{row[place] for row in metric.values} or None for place in range(len(metric.labels))]
        # Not locked: setting an item is atomic, and prometheus_client gives two threads the same series.
        self._series: dict[tuple[str, ...], Any] = {}
        for row in metric.values or (() if metric.labels else ((),)):
            self._series[row] = parent.labels(*fixed, *row)

    def of(self, *values: str) -> Any:
        """The time series of these values of the metric's own labels."""
        # A look-up in a dictionary, which is what an exact hit pays; ``labels`` of prometheus_client takes a lock.
        found = self._series.get(values)
        return self._another(values) if found is None else found

    def _another(self, values: tuple[str, ...]) -> Any:
        bounded = tuple(self._bounded(place, value) for place, value in enumerate(values))
        found = self._series.get(bounded)
        if found is None:
            found = self._series[bounded] = self._parent.labels(*self._fixed, *bounded)
        return found

    def _bounded(self, place: int, value: str) -> str:
        known = self._known[place]
        if known is None:
            used = {row[place] for row in tuple(self._series)}
            return value if value in used or len(used) < _MOST_VALUES else OTHER
        return value if value in known else OTHER


def families(client: Any, registry: Any, namespace: str, pipeline: str) -> dict[str, Family]:
    """The metrics of ``registry`` for one pipeline, by name. Raises ConfigurationError if it has others of these names.

    ``client`` is the module prometheus_client.
    """
    metrics = _registered.get(registry)
    if metrics is None:
        try:
            metrics = {metric.name: _made(client, registry, metric) for metric in METRICS}
        except ValueError as error:
            raise ConfigurationError(
                f"this registry has other metrics of semcache's names ({message_of(error)}); give semcache a "
                "CollectorRegistry of its own"
            ) from error
        _registered[registry] = metrics
    return {
        metric.name: Family(metric, metrics[metric.name], () if metric is BUILD_INFO else (namespace, pipeline))
        for metric in METRICS
    }


def _made(client: Any, registry: Any, metric: Metric) -> Any:
    names = metric.labels if metric is BUILD_INFO else (*PIPELINE_LABELS, *metric.labels)
    if metric.kind == "counter":
        return client.Counter(metric.name, metric.meaning, names, registry=registry)
    if metric.kind == "gauge":
        return client.Gauge(metric.name, metric.meaning, names, registry=registry, multiprocess_mode=metric.mode)
    return client.Histogram(metric.name, metric.meaning, names, registry=registry, buckets=metric.buckets)
