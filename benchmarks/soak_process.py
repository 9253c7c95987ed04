"""Memory, descriptors and threads of another process, as Linux shows them."""

import ctypes
import os
import sys
from pathlib import Path
from typing import Any

_MIB = 1024 * 1024


_MALLOC_FIELDS = (
    *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
    *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
)


class _MallocInfo(ctypes.Structure):
    """What glibc's mallinfo2 gives, of all arenas: https://man7.org/linux/man-pages/man3/mallinfo.3.html"""

    _fields_ = tuple((name, ctypes.c_size_t) for name in _MALLOC_FIELDS)


def allocated() -> dict[str, float]:
    """What this process has allocated: by malloc (libraries, arrays, large objects), and small objects of Python.

    ``malloc_mib`` is in use and ``malloc_free_mib`` kept for later, as the pieces are too scattered to give back.
    """
    found = {"python_blocks": float(sys.getallocatedblocks())}
    give = getattr(ctypes.CDLL(None), "mallinfo2", None)
    if give is not None:
        give.restype = _MallocInfo
        info = give()
        found |= {"malloc_mib": (info.uordblks + info.hblkhd) / _MIB, "malloc_free_mib": info.fordblks / _MIB}
    return found


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
