"""What was measured on: versions and processor."""

import os
import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

from semcache.redis.client.server_info import ServerInfo


def describe(info: ServerInfo) -> Mapping[str, str | float | None]:
    """Flat names and values; ``search_module`` is None when the server names none.

    ``load_before`` is the mean number of running processes of the last minute: above a fraction of the cores, others
    disturb what is measured from now on.
    """
    return {
        "semcache": version("redis-semcache"),
        "redis_server": info.version,
        "search_module": info.search_version,
        "python": platform.python_version(),
        "system": platform.platform(),
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "load_before": round(os.getloadavg()[0], 2),
    }


def _cpu() -> str:
    told = Path("/proc/cpuinfo")
    lines = told.read_text().splitlines() if told.is_file() else []
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.processor() or "unknown")
