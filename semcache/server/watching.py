"""Metrics of a server of one process or of several, if prometheus_client is installed."""

import os
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
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

    if folder := os.environ.get(MULTIPROCESS):
        _forget_the_dead(folder)
        registry = prometheus_client.CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return prometheus_client.generate_latest(registry or prometheus_client.REGISTRY), (
        prometheus_client.CONTENT_TYPE_LATEST
    )


def _forget_the_dead(folder: str) -> None:
    """Remove the gauges of processes that have ended, so that they are not counted among those that live.

    What they counted stays. Done here, since a process that is killed can do nothing, and the supervisor of uvicorn and
    others tells of no end.
    """
    from prometheus_client.multiprocess import mark_process_dead

    for pid in {file.stem.rpartition("_")[2] for file in Path(folder).glob("gauge_live*.db")}:
        if pid.isdigit() and not _is_alive(int(pid)):
            # Another worker that answers the same question at this moment may have removed them.
            with suppress(FileNotFoundError):
                mark_process_dead(pid, folder)  # type: ignore[no-untyped-call]


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it is another user's, and lives
        return True
    return True
