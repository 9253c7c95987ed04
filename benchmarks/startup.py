"""How long until the first answer? Import, opening and first requests, each in a new process."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

import numpy as np

from benchmarks import experiment, machine, plots, server
from benchmarks.experiment import ExperimentResult, Target
from benchmarks.timing import quantile, summary

RUNS, QUICK_RUNS = 9, 2

_OPENED = """
import os, sys
from semcache import RedisSemanticCache
from semcache.settings import Settings
backend = sys.argv[1]
cache = RedisSemanticCache(
    os.environ["SEMCACHE_BENCH_REDIS"],
    settings=Settings(embedder={"backend": backend}, redis={"timeout_s": 30, "connect_timeout_s": 30}),
)
"""
_EXACT = f"{_OPENED}cache.store.read_exact('', 'a query')\n"
_SEMANTIC = f"{_OPENED}assert cache.lookup('a query', ['a document']).status is None\n"

PROGRAMS: dict[str, Sequence[str]] = {
    "python, nothing else": ("pass",),
    "import semcache": ("import semcache",),
    "import every public name": ("from semcache import *",),
    "opened, and one exact read": (_EXACT, "torch"),
    "opened, embedded (torch), first look-up": (_SEMANTIC, "torch"),
    "opened, embedded (onnx), first look-up": (_SEMANTIC, "onnx"),
    "opened, embedded (onnx-int8), first look-up": (_SEMANTIC, "onnx-int8"),
}
"""Programs with their arguments. Each is run by an interpreter of its own."""


def measure(quick: bool) -> ExperimentResult:
    """Measure the time from the start of a process until each step is done."""
    runs = QUICK_RUNS if quick else RUNS
    taken: dict[str, list[float]] = {name: [] for name in PROGRAMS}
    with server.started() as url:
        for at in range(runs + 1):
            for name in list(PROGRAMS)[:: 1 if at % 2 == 0 else -1]:
                seconds = _run(PROGRAMS[name], url)
                if at:  # the first round fills the file cache and makes the ONNX graphs
                    taken[name].append(seconds)
        described = machine.describe(url)
    found = {name: np.array(seconds) for name, seconds in taken.items()}
    # So few runs have no p99.
    rows = [
        {"until": name} | {column: value for column, value in summary(seconds).items() if not column.startswith("p99")}
        for name, seconds in found.items()
    ]
    importing = found["import semcache"] - np.median(found["python, nothing else"])
    return ExperimentResult(
        name="startup",
        question="How long until the first answer?",
        method="Whole processes from start to end, files in the page cache, steps alternating A B B A.",
        parameters={"runs": runs},
        machine=described,
        rows=rows,
        targets=[Target("import semcache beyond python itself, s", quantile(importing, 0.5), at_most=0.5)],
    )


def _run(program: Sequence[str], url: str) -> float:
    environment = {**os.environ, "SEMCACHE_BENCH_REDIS": url}
    started = perf_counter()
    subprocess.run([sys.executable, "-c", *program], env=environment, check=True, stderr=subprocess.DEVNULL)
    return perf_counter() - started


def plot(result: ExperimentResult, path: Path) -> None:
    """p50 by step."""
    plots.bars({row["until"]: row["p50_ms"] for row in result.rows}, path, title="Start-up", x="p50, ms")


if __name__ == "__main__":
    experiment.main(measure, plot)
