"""Those who are told what happened: counts, log lines, Prometheus metrics, and the way events reach them."""

from semcache.observers.counters import Counters
from semcache.observers.dispatch import notify
from semcache.observers.logging import LoggingObserver
from semcache.observers.prometheus import PrometheusObserver

__all__ = ["Counters", "LoggingObserver", "PrometheusObserver", "notify"]
