"""Measures the ratios that matter in under a minute and shows them beside the committed ones."""

import argparse
import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from typing import Any

import numpy as np

from benchmarks import baseline, experiment, library, limits, machine, server, tables, throughput, workload
from benchmarks.awake import awake
from benchmarks.peers.process import KINDS, Peer
from benchmarks.timing import ratio, timed
from benchmarks.workload import Workload
from semcache.commands.bench.measuring import Budget, take_turns
from semcache.commands.files import write_json

FILE = experiment.RESULTS / "quick.json"
SIZE = 2_000
BUDGET = Budget(samples=400, limit_s=3)
TOLERANCE = 1.25
"""A ratio that is worse than the committed one by this factor is marked. Runs on a quiet machine differ by a tenth."""

Figures = dict[str, float]
"""Ratios by name. For all of them smaller is better."""


def measure() -> tuple[Figures, Mapping[str, Any]]:
    """Measure every figure as a ratio to something else in the same run; and describe the machine."""
    with ExitStack() as stack:
        url = stack.enter_context(server.started())
        cache = stack.enter_context(library.opened(url))
        work = workload.build(SIZE, probes=400)
        client = server.client(url)
        before = client.info("memory")["used_memory"]
        library.load(cache, work, 0, SIZE)
        entry_bytes = (client.info("memory")["used_memory"] - before) / SIZE
        figures = {
            **dict(_exact(cache, url, work)),
            **dict(_semantic(cache, url, work)),
            **_scanned(cache, url, work),
            **_concurrent(cache, url, work),
            "bytes per entry / 1,000": entry_bytes / 1000,
        }
        return figures, machine.describe(url)


def _exact(cache: Any, url: str, work: Workload) -> Iterator[tuple[str, float]]:
    client = server.client(url)
    sides = {"hit": timed(library.LookUp(cache, work, "exact")), "get": timed(limits.get(client, work))}
    found = take_turns(sides, BUDGET)
    yield "exact hit / GET", ratio(found["hit"], found["get"]).value


def _semantic(cache: Any, url: str, work: Workload) -> Iterator[tuple[str, float]]:
    client = server.client(url)
    with Peer(KINDS[0], url) as peer:
        peer.load(work)
        sides = {
            "hit": timed(library.LookUp(cache, work, "semantic")),
            "miss": timed(library.LookUp(cache, work, "miss")),
            "neighbours": timed(library.neighbours(cache, work, "semantic")),
            "raw": timed(limits.search_and_scores(client, work, "semantic")),
            "redisvl": peer.side("semantic"),
        }
        found = take_turns(sides, BUDGET)
    yield "neighbours / raw FT.SEARCH + MGET", ratio(found["neighbours"], found["raw"]).value
    yield "semantic hit / raw FT.SEARCH + MGET", ratio(found["hit"], found["raw"]).value
    yield "miss / raw FT.SEARCH + MGET", ratio(found["miss"], found["raw"]).value
    yield f"semantic hit / {KINDS[0].name}", ratio(found["hit"], found["redisvl"]).value


def _scanned(cache: Any, url: str, work: Workload) -> Figures:
    client = server.client(url, db=1)
    baseline.load(client, work, 0, SIZE)
    scan = baseline.ScanCache(client, lambda _: work.probes["miss"][0])
    sides = {"ours": timed(library.LookUp(cache, work, "miss")), "scan": timed(lambda _: scan.get("", ()))}
    found = take_turns(sides, Budget(samples=20, limit_s=4, warm_up=2))
    return {"miss / scan-based cache of 2,000": ratio(found["ours"], found["scan"]).value}


def _concurrent(cache: Any, url: str, work: Workload) -> Figures:
    sides = dict(throughput.sides_of(url, cache, work))
    rates: dict[str, list[float]] = {}
    for order in (throughput.GET, throughput.HIT), (throughput.HIT, throughput.GET):
        for side in order:
            rates.setdefault(side, []).append(sides["tasks", side](32, 1.5)[0])
    share = np.mean(rates[throughput.GET]) / np.mean(rates[throughput.HIT])
    return {"GETs / exact hits per second, 32 tasks": float(share)}


def _rows(figures: Figures, committed: Figures) -> Iterator[dict[str, Any]]:
    for name, value in figures.items():
        last = committed.get(name)
        verdict = "" if last is None else "WORSE" if value > last * TOLERANCE else "as before"
        yield {"figure (smaller is better)": name, "now": value, "committed": last, "verdict": verdict}


def main() -> None:
    """Print the table; ``--save`` replaces the committed values."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--save", action="store_true", help=f"write {FILE.name}")
    save = parser.parse_args().save
    with awake() as circumstances:
        figures, described = measure()
    committed = json.loads(FILE.read_text())["figures"] if FILE.exists() else {}
    tables.show("Ratios in this run", list(_rows(figures, committed)))
    if save:
        machine_found = {**described, **circumstances}
        write_json(FILE, {"figures": figures, "machine": machine_found, "seed": workload.SEED, "entries": SIZE})


if __name__ == "__main__":
    main()
