"""How long until the first answer? Import, opening and first requests, each in a new process."""

import os
import resource
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import numpy as np

from benchmarks import experiment, machine, plots, server
from benchmarks.experiment import ExperimentResult, Target
from benchmarks.timing import quantile, summary

RUNS, QUICK_RUNS = 9, 2

_HELP = "import sys; sys.argv = ['semcache', '--help']; from semcache.commands import main; main()"
_EXACT = """
import os
from semcache import RedisSemanticCache
from semcache.settings import Settings
settings = Settings(redis={"timeout_s": 30, "connect_timeout_s": 30})
RedisSemanticCache(os.environ["SEMCACHE_BENCH_REDIS"], settings=settings).store.read_exact("", "a query")
"""
_REQUEST = """
from semcache import OptimizedRerankerPipeline
passages = ["Berlin has 3.9 million inhabitants.", "Berlin is known for its museums."]
with OptimizedRerankerPipeline("cross-encoder/ms-marco-MiniLM-L-12-v2", None, "embedded") as pipeline:
    ranking = pipeline.rerank("How many people live in Berlin?", passages)
assert ranking.status == "fresh" and ranking.indices == (0, 1), ranking
"""


@dataclass(frozen=True, slots=True)
class Program:
    """Code for an interpreter of its own; ``is_first`` runs it with an empty cache directory for ONNX graphs."""

    code: str
    backend: str = "auto"
    is_first: bool = False


PROGRAMS = {
    "python, nothing else": Program("pass"),
    "import semcache": Program("import semcache"),
    "import every public name": Program("from semcache import *"),
    "semcache --help": Program(_HELP),
    "opened, and one exact read": Program(_EXACT),
    "first request, embedder by torch": Program(_REQUEST, "torch"),
    "first request, embedder by onnx": Program(_REQUEST, "onnx"),
    "first request, embedder by onnx, its graph made": Program(_REQUEST, "onnx", is_first=True),
    "first request, embedder by onnx-int8": Program(_REQUEST, "onnx-int8"),
}


def measure(quick: bool) -> ExperimentResult:
    """Measure the time from the start of a process to its end, when each step is done."""
    runs = QUICK_RUNS if quick else RUNS
    taken: dict[str, list[float]] = {name: [] for name in PROGRAMS}
    worked: dict[str, list[float]] = {name: [] for name in PROGRAMS}
    with server.started() as url, TemporaryDirectory() as bytecode:
        for at in range(runs + 1):
            for name in list(PROGRAMS)[:: 1 if at % 2 == 0 else -1]:
                before = _cpu_s()
                seconds = _run(PROGRAMS[name], url, bytecode)
                if at:  # the first round fills the file cache, compiles the modules and makes the ONNX graphs
                    taken[name].append(seconds)
                    worked[name].append(_cpu_s() - before)
        described = machine.describe(url)
    found = {name: np.array(seconds) for name, seconds in taken.items()}
    # So few runs have no p99.
    rows = [
        {"until": name}
        | {column: value for column, value in summary(seconds).items() if not column.startswith("p99")}
        | {"cpu_ms": float(np.median(worked[name]) * 1000)}
        for name, seconds in found.items()
    ]
    importing = found["import semcache"] - np.median(found["python, nothing else"])
    return ExperimentResult(
        name="startup",
        question="How long until the first answer?",
        method=(
            "Whole processes from start to end, files in the page cache, modules compiled, steps alternating A B B A. "
            "cpu_ms: processor time of the process and those that it started, p50. A request: a private Redis, the "
            "packaged embedder and cross-encoder, two passages."
        ),
        parameters={"runs": runs},
        machine=described,
        rows=rows,
        targets=[
            Target("import semcache beyond python itself, s", quantile(importing, 0.5), at_most=0.1),
            *(
                Target(f"{name}, s", quantile(found[name], 0.5), at_most=2)
                for name, program in PROGRAMS.items()
                if program.backend.startswith("onnx")
            ),
        ],
    )


def _cpu_s() -> float:
    """Processor time of all processes that ended so far and were waited for."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return ended.ru_utime + ended.ru_stime


def _run(program: Program, url: str, bytecode: str) -> float:
    environment = {
        **os.environ,
        "SEMCACHE_BENCH_REDIS": url,
        "SEMCACHE_EMBEDDER__BACKEND": program.backend,
        # As in an installation, whose modules pip has compiled, whatever this shell says.
        "PYTHONPYCACHEPREFIX": bytecode,
        "PYTHONDONTWRITEBYTECODE": "",
    }
    with TemporaryDirectory() as empty:
        if program.is_first:
            environment["XDG_CACHE_HOME"] = empty
        started = perf_counter()
        subprocess.run(
            [sys.executable, "-c", program.code],
            env=environment,
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        return perf_counter() - started


def plot(result: ExperimentResult, path: Path) -> None:
    """p50 by step."""
    plots.bars({row["until"]: row["p50_ms"] for row in result.rows}, path, title="Start-up", x="p50, ms")


if __name__ == "__main__":
    experiment.main(measure, plot)
