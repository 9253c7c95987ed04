"""Keeps the processors from going to sleep while something is timed.

A virtual machine's processor that sleeps is given to somebody else, and getting it back can take longer than a
look-up: waiting in which neither side of a comparison has any merit.
A process of the lowest class (SCHED_IDLE) on each processor yields at once to whatever else wants to run.
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
if group.exists():  # where sessions share the processor, the session has to yield, too
    group.write_text("19")
os.sched_setaffinity(0, {int(sys.argv[1])})
os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
parent = os.getppid()
while os.getppid() == parent:
    for _ in range(1_000_000):
        pass
"""


@contextmanager
def awake(told: dict[str, object]) -> Iterator[None]:
    """Keep all processors awake, where the system knows how.

    Adds to ``told`` how many, the load before, and what share of time others on the same host took from this machine.
    """
    told["load_before"] = round(os.getloadavg()[0], 2)
    processors = sorted(os.sched_getaffinity(0)) if hasattr(os, "SCHED_IDLE") else []
    spinning = [subprocess.Popen([sys.executable, "-c", _SPIN, str(number)]) for number in processors]
    before = _times()
    try:
        yield
    finally:
        for process in spinning:
            process.kill()
            process.wait()
    told["kept_awake"] = len(processors)
    passed = {name: value - before[name] for name, value in _times().items()}
    if passed:
        told["stolen_share"] = round(passed["steal"] / max(1, sum(passed.values())), 4)


def _times() -> Mapping[str, int]:
    """Ticks of all processors by what they did, as Linux counts them; nothing elsewhere."""
    stat = Path("/proc/stat")
    if not stat.exists():
        return {}
    names = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
    return dict(zip(names, map(int, stat.read_text().split()[1:9]), strict=True))
