"""Keeps the processors awake while something is timed.

The processor of a virtual machine that goes to sleep is given to other guests of the host. Getting it back can take
longer than a look-up, and that wait says nothing about either side of a comparison. So a process of the lowest class
(SCHED_IDLE) runs on each processor: it yields at once to whatever else is ready to run.
"""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

_SPIN = """
import os, pathlib, sys
os.setsid()
group = pathlib.Path("/proc/self/autogroup")
if group.exists():  # where sessions share the processor, the session has to yield too
    group.write_text("19")
os.sched_setaffinity(0, {int(sys.argv[1])})
os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
parent = os.getppid()
while os.getppid() == parent:
    for _ in range(1_000_000):
        pass
"""


@contextmanager
def awake() -> Iterator[dict[str, object]]:
    """Keep all processors awake during the block, where the system can.

    Yields a mapping for the description of the machine: ``load_before``, and at the end of the block how many
    processors were ``kept_awake`` and the ``stolen_share`` of time that other guests of the host took.
    """
    circumstances: dict[str, object] = {"load_before": round(os.getloadavg()[0], 2)}
    processors = sorted(os.sched_getaffinity(0)) if hasattr(os, "SCHED_IDLE") else []
    spinning = [subprocess.Popen([sys.executable, "-c", _SPIN, str(number)]) for number in processors]
    before = _ticks()
    try:
        yield circumstances
    finally:
        for process in spinning:
            process.kill()
            process.wait()
    circumstances["kept_awake"] = len(processors)
    passed = {name: ticks - before[name] for name, ticks in _ticks().items()}
    if passed:
        circumstances["stolen_share"] = round(passed["steal"] / max(1, sum(passed.values())), 4)


def _ticks() -> Mapping[str, int]:
    """Ticks of all processors by what they did, as Linux counts them. Empty on other systems."""
    stat = Path("/proc/stat")
    if not stat.exists():
        return {}
    names = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
    return dict(zip(names, map(int, stat.read_text().split()[1:9]), strict=True))
