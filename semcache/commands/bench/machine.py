"""The machine that something was measured on."""

import os
import platform
from pathlib import Path


def describe_machine() -> dict[str, str | float | None]:
    """Python, system, processor, cores and load, as flat names and values.

    ``load_before`` is the mean number of running processes during the last minute. When it is more than a fraction of
    the cores, other processes disturb what is measured from now on.
    """
    # platform.processor() is empty on most Linux machines, where only /proc/cpuinfo names the model.
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return {
        "python": platform.python_version(),
        "system": platform.platform(),
        "cpu": next(models, platform.processor() or "unknown"),
        "cores": os.cpu_count(),
        "load_before": round(os.getloadavg()[0], 2),
    }
