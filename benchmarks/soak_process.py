"""Memory, descriptors and threads of another process, as Linux shows them."""

import os
from pathlib import Path
from typing import Any

_MIB = 1024 * 1024


def measured(pid: int) -> dict[str, Any]:
    """Memory in MiB, and numbers of descriptors and threads. Raises OSError when the process has ended.

    RSS is all of its memory, USS what would be free without it, and ``own`` what is no file. USS falls and rises when
    another program on the machine begins and ends to use the same libraries, so growth is judged by ``own``.
    """
    folder = Path("/proc") / str(pid)
    sizes = dict.fromkeys(("Rss", "Private_Clean", "Private_Dirty", "Anonymous"), 0)
    for line in (folder / "smaps_rollup").read_text().splitlines()[1:]:
        name, _, size = line.partition(":")
        if name in sizes:
            sizes[name] = int(size.split()[0]) * 1024
    return {
        "rss_mib": sizes["Rss"] / _MIB,
        "own_mib": sizes["Anonymous"] / _MIB,
        "uss_mib": (sizes["Private_Clean"] + sizes["Private_Dirty"]) / _MIB,
        "descriptors": len(os.listdir(folder / "fd")),  # noqa: PTH208 - names are enough, and this makes no paths
        "threads": len(os.listdir(folder / "task")),  # noqa: PTH208 - likewise
    }
