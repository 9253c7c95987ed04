"""Metrics of a server of one process or of several, if prometheus_client is installed."""

import os
from importlib.util import find_spec
from typing import TYPE_CHECKING

from semcache.server.refusals import RefusedError

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

MULTIPROCESS = "PROMETHEUS_MULTIPROC_DIR"
"""By this variable prometheus_client keeps metrics in files of a folder, and each process can show those of all."""


def has_prometheus() -> bool:
    """Whether prometheus_client is installed."""
    return find_spec("prometheus_client") is not None


def exposition(registry: "CollectorRegistry | None") -> tuple[bytes, str]:
    """The metrics of ``registry`` (None: prometheus_client's own) as Prometheus reads them, and their content type.

    Of several processes they are those of all of them. Raises RefusedError (404) without prometheus_client.
    """
    if not has_prometheus():
        raise RefusedError(404, "there are no metrics; run: pip install 'redis-semcache[prometheus]'")
    import prometheus_client
    from prometheus_client.multiprocess import MultiProcessCollector

    if os.environ.get(MULTIPROCESS):
        registry = prometheus_client.CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return prometheus_client.generate_latest(registry or prometheus_client.REGISTRY), (
        prometheus_client.CONTENT_TYPE_LATEST
    )
