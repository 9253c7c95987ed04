"""Does anything grow, fail or go wrong while everything else does? A soak of mixed traffic, churn and random faults."""

import argparse
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from random import Random
from threading import Event, Lock, Thread
from time import monotonic
from typing import Any

import redis

from benchmarks.experiment import ExperimentResult, Target, report
from benchmarks.machine import describe
from benchmarks.soak_faults import FAULTS, Victim
from benchmarks.soak_figures import (
    SETTLED_WITHIN,
    by_status,
    floor_growth,
    growth,
    settled_minute,
    type_growth,
)
from benchmarks.soak_plot import plot
from benchmarks.soak_process import measured
from benchmarks.timing import Quantile
from semcache import EmbeddedRedis
from tests.redis.proxy import Proxy

_SAMPLE_S = 1.0
_LASTS_S = (1.0, 5.0)
_HEALTHY_S = (5.0, 9.0)
"""Seconds that a fault lasts, and from one to the next: enough to recover, and all kinds twice in five minutes."""
_FIRST_FAULT_S = 30.0
_SEED = 12
_METHOD = """\
A client process sends requests to a private Redis behind a proxy, from threads, tasks, batches, and event loops that
come and go; all queries are real ones, embedded by the packaged model. It repeats and rewords 150 of them, asks others
only once, with 20 candidates each, and answers each by a scripted reranker, whose scores follow the query's vector, so
that every answer can be checked: exact, fresh, partial, verified and pruned answers must have this query's scores,
semantic ones those of a query so near, and all must be the caller's own documents. A further thread asks the packaged
cross-encoder (int8). Entries live 45 seconds. Pipelines and rerankers are made, closed and dropped, tenants come and
are forgotten, requests are cancelled, and the reranker raises, is slow and hangs. Meanwhile the server and its replies
are hurt in {kinds} ways, for 1 to 5 seconds each, in random order. This process only watches: memory, descriptors and
threads each second by /proc; the client says each five seconds what it saw. Growth is that of medians of a minute
and of the last two. Own memory is what is no file; RSS has files, too, and USS those that no other program on the
machine uses at the time. The caches with bounds (words of the guard, digests of documents) and onnxruntime's
buffers are filled at the start. What matters is memory, failures and wrong answers, so it may run on a busy machine;
its latencies then say little."""


@dataclass(slots=True)
class _Log:
    """What was seen, each item with its seconds since the start."""

    started: float = field(default_factory=monotonic)
    samples: list[dict[str, Any]] = field(default_factory=list)
    reports: list[dict[str, Any]] = field(default_factory=list)
    faults: list[dict[str, Any]] = field(default_factory=list)
    lock: Lock = field(default_factory=Lock)

    def now(self) -> float:
        return round(monotonic() - self.started, 2)


def soak(minutes: float, *, traced: bool = False) -> ExperimentResult:
    """Run for so many minutes."""
    log, ended = _Log(), Event()
    with EmbeddedRedis() as server, Proxy(server.url).running() as proxy, _client(proxy.url, traced) as client:
        victim = Victim(server, proxy, Random(_SEED))
        machine = describe(server.url)
        log.started = monotonic()
        threads = [
            Thread(target=_read, args=(client, log)),
            Thread(target=_watch, args=(client.pid, server.url, log, ended)),
            Thread(target=_hurt, args=(victim, log, ended)),
        ]
        for thread in threads:
            thread.start()
        ended.wait(minutes * 60)
        ended.set()
        threads[1].join()
        threads[2].join()
        assert client.stdin is not None
        client.stdin.close()
        status = client.wait(180)
        threads[0].join()
        if status or not any(report.get("is_last") for report in log.reports):
            raise RuntimeError(f"the client ended early, with status {status}: its figures are of a part of the run")
    return _result(minutes, log, machine)


@contextmanager
def _client(url: str, traced: bool) -> Iterator["subprocess.Popen[str]"]:
    options = ["-X", "tracemalloc=12"] if traced else []
    client = subprocess.Popen(
        [sys.executable, *options, "-m", "benchmarks.soak_client", url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield client
    finally:
        client.kill()
        client.wait()


def _read(client: "subprocess.Popen[str]", log: _Log) -> None:
    assert client.stdout is not None
    for line in client.stdout:
        seen = json.loads(line)
        log.reports.append({"at_s": log.now(), **seen})
        for what in seen["described"]:
            print(f"{log.now():.0f} s: {what}", file=sys.stderr)


def _watch(pid: int, url: str, log: _Log, ended: Event) -> None:
    admin = redis.Redis.from_url(url, protocol=2, socket_timeout=0.2)
    while not ended.wait(_SAMPLE_S):
        sample = {"at_s": log.now(), **measured(pid)}
        with suppress(redis.RedisError):  # it is away just now
            info = admin.info()
            sample |= {
                "used_mib": info["used_memory"] / 2**20,
                "keys": info.get("db0", {}).get("keys", 0),
                "clients": info["connected_clients"],
            }
        log.samples.append(sample)


def _hurt(victim: Victim, log: _Log, ended: Event) -> None:
    ended.wait(_FIRST_FAULT_S)
    names: list[str] = []
    while not ended.is_set():
        if not names:
            names = list(FAULTS)
            victim.random.shuffle(names)
        name = names.pop()
        began = log.now()
        with FAULTS[name](victim):
            ended.wait(victim.random.uniform(*_LASTS_S))
        log.faults.append({"fault": name, "from_s": began, "to_s": log.now()})
        ended.wait(victim.random.uniform(*_HEALTHY_S))


def _result(minutes: float, log: _Log, machine: Mapping[str, Any]) -> ExperimentResult:
    counts = sum((Counter(report["counts"]) for report in log.reports), Counter[str]())
    answered = int(sum(figures["n"] for report in log.reports for figures in report["statuses"].values()))
    # A fourth of the run, so that three fourths of it show whether anything goes on growing.
    settling = int(minutes // 4)
    targets = [
        Target("failed requests", _exact(counts["failed"]), at_most=0),
        Target("wrong answers", _exact(counts["wrong"]), at_most=0),
        Target(
            f"growth of the client's own memory after the first {settling} minutes",
            growth(log.samples, "own_mib", settling),
            at_most=SETTLED_WITHIN,
        ),
        Target("growth of descriptors in that time", floor_growth(log.samples, "descriptors", settling), at_most=0),
        Target("growth of threads in that time", floor_growth(log.samples, "threads", settling), at_most=0),
    ]
    settled = {name: settled_minute(log.samples, name) for name in ("own_mib", "rss_mib")}
    return ExperimentResult(
        name="soak",
        question=__doc__.partition("\n")[0] if __doc__ else "",
        method=_METHOD.format(kinds=len(FAULTS)).replace("\n", " "),
        parameters={"minutes": minutes, "requests": answered, **_settled_words(settled)},
        machine=machine,
        rows=_sizes(log, minutes),
        targets=targets,
        more={
            "Requests by status": by_status(log.reports),
            "What else happened": [{"what": what, "times": times} for what, times in sorted(counts.items())],
            "Faults": _fault_rows(log),
            "What the client has allocated": _allocated(log),
            "Objects that grew most from the first count after a fourth of the run to the last": type_growth(
                [report["types"] for report in log.reports if "types" in report and report["at_s"] > settling * 60]
            ),
        },
        notes=[line for report in log.reports for line in report["described"]][:40],
        seed=_SEED,
        series={"samples": _short(log.samples), "reports": _short(log.reports), "faults": log.faults},
    )


def _allocated(log: _Log) -> list[dict[str, Any]]:
    """Every two minutes: in use and kept by malloc, and small objects of Python."""
    reports = [report for report in log.reports if "malloc_mib" in report]
    return [
        {"minute": round(report["at_s"] / 60, 1)}
        | {name: report[name] for name in ("malloc_mib", "malloc_free_mib", "python_blocks")}
        for report in reports[::24]
    ]


def _short(seen: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Without what is no series, and with two places."""
    left_out = ("types", "described", "counts")
    return [
        {
            name: round(value, 2) if isinstance(value, float) else value
            for name, value in each.items()
            if name not in left_out
        }
        for each in seen
    ]


def _exact(value: float) -> Quantile:
    return Quantile(value, value, value)


def _settled_words(settled: Mapping[str, int | None]) -> dict[str, str]:
    return {
        f"{name} settled": "not" if minute is None else f"after minute {minute}" for name, minute in settled.items()
    }


def _sizes(log: _Log, minutes: float) -> list[dict[str, Any]]:
    """Growth of memory from some minutes on to the end."""
    rows = []
    for minute in (0, 1, 2, 3, 5, 8, 10, 15):
        if minute + 1 < minutes:
            row: dict[str, Any] = {"after minute": minute}
            for name in ("own_mib", "uss_mib", "rss_mib", "used_mib"):
                found = growth(log.samples, name, minute)
                row |= {f"{name} grown by, %": found.value * 100, f"{name}_low": found.low * 100}
                row[f"{name}_high"] = found.high * 100
            rows.append(row)
    return rows


def _fault_rows(log: _Log) -> Sequence[dict[str, Any]]:
    times = Counter(fault["fault"] for fault in log.faults)
    lasted: Counter[str] = Counter()
    for fault in log.faults:
        lasted[fault["fault"]] += fault["to_s"] - fault["from_s"]
    return [{"fault": name, "times": times[name], "seconds": round(lasted[name], 1)} for name in FAULTS]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--trial", action="store_true", help="files go to benchmarks/.cache/trials")
    parser.add_argument("--traced", action="store_true", help="say at the end where memory grew (slow)")
    given = parser.parse_args()
    if given.minutes < 4:
        parser.error(f"--minutes is {given.minutes:g}; give 4 or more, since a fourth of the run is for settling")
    report(soak(given.minutes, traced=given.traced), plot, is_trial=given.trial or given.traced)
