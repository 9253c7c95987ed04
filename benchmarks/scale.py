"""What do a million real-sized entries cost on one server, and a hundred million on a cluster?

Each stage keeps its figures, so that one can be repeated: ``python -m benchmarks.scale --stage shards``; ``--stage
report`` writes the report from what is kept.
"""

import argparse
import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import numpy as np
import redis

from benchmarks import experiment, library, machine, scale_load, scale_report, scale_vectors, server, vectors, workload
from benchmarks.awake import awake
from benchmarks.cluster import servers_over_tcp
from benchmarks.scale_load import FOLDER
from benchmarks.timing import ratio, summary, timed
from benchmarks.workload import Workload
from semcache import RedisSemanticCache
from semcache.commands.bench.measuring import Budget, Seconds, take_turns
from semcache.entries.entry import NewScores
from semcache.redis.memory import Contents, footprint

SIZES, QUICK_SIZES = (10_000, 100_000, 1_000_000), (1_000, 2_000, 4_000)
BUDGET, QUICK_BUDGET = Budget(samples=3000, limit_s=12), Budget(samples=60, limit_s=2)
RATE, LIFE_S = 100.0, 8.0
"""Entries per second that come and go while look-ups are measured, and how long each of them lives."""
RECALL_PROBES = 1600
SIMILAR = 0.8
"""From here on verified reuse is worth its look-up (the default of reuse.reuse_threshold)."""
_MAY_MISS = 0.1
"""What is missed is measured here, as recall, so that timing must not end with it."""
_PATIENCE_S = 60.0
_WRITTEN = 200


def fill(sizes: tuple[int, ...], budget: Budget) -> Iterator[tuple[str, Any]]:
    """Fill one server step by step, and measure at each step."""
    file = scale_load.vectors_file(sizes[-1])
    with ExitStack() as stack:
        url = stack.enter_context(server.started())
        cache = stack.enter_context(library.opened(url))
        client = server.client(url)
        done = 0
        for size in sizes:
            load_s = scale_load.fill(url, file, done, size)
            loaded = {"load_s": load_s, "load_ms_each": 1000 * load_s / (size - done)}
            done = size
            yield str(size), {"entries": size, **loaded, **_measured(url, client, cache, file, size, budget)}
            if size == sizes[0]:
                yield "restart", _restarted(client, size)
        yield "saving", _saved(url, client, cache, file, budget)
        yield "machine", dict(machine.describe(url))


def _work(file: Path, size: int) -> Workload:
    stored = np.load(file, mmap_mode="r")[:size]
    texts = [scale_load.text_of(entry) for entry in range(size)]
    return workload.aimed_at(Workload(FOLDER, size, stored, texts, {}, {}, {}), range(size))


def _measured(
    url: str, client: redis.Redis, cache: RedisSemanticCache, file: Path, size: int, budget: Budget
) -> dict[str, Any]:
    work = _work(file, size)
    memory = _memory(client, size)
    alone = take_turns(_sides(cache, work), budget)
    server_ms = _server_ms(client, cache, work, budget)
    with scale_load.churn(url, file, size // 2, RATE, LIFE_S):
        _until_entries_go(client)
        before = _removed(client), monotonic()
        beside = take_turns(_sides(cache, work), budget)
        removed_per_s = (_removed(client) - before[0]) / (monotonic() - before[1])
    return {
        "alone": _kept(alone),
        "beside": _kept(beside),
        "removed_entries_per_s": removed_per_s,
        "server_ms": server_ms,
        "memory": memory,
        "recall": _recall(cache, work),
    }


def _sides(cache: RedisSemanticCache, work: Workload) -> dict[str, Any]:
    looked_up = {kind: timed(library.LookUp(cache, work, kind, may_miss=_MAY_MISS)) for kind in workload.KINDS}
    return {**looked_up, "search": timed(library.neighbours(cache, work, "semantic"))}


def _kept(timings: Mapping[str, Seconds]) -> dict[str, list[float]]:
    return {name: [round(float(second) * 1000, 5) for second in seconds] for name, seconds in timings.items()}


def _memory(client: redis.Redis, size: int) -> dict[str, float]:
    info = client.info("memory")
    said = footprint(Contents(entries=size, dims=vectors.DIMS, scores=workload.DOCUMENTS, cue_bytes=0)).total
    return {
        "used_memory": info["used_memory"],
        "said": round(said),
        "off": said / info["used_memory"] - 1,
        "used_memory_rss": info["used_memory_rss"],
        "rss_per_used": info["used_memory_rss"] / info["used_memory"],
    }


def _server_ms(client: redis.Redis, cache: RedisSemanticCache, work: Workload, budget: Budget) -> dict[str, float]:
    """What single commands take of the server's time, as it counts that itself."""
    client.config_resetstat()
    for kind in ("exact", "semantic"):
        look_up = library.LookUp(cache, work, kind, may_miss=_MAY_MISS)
        for at in range(budget.samples // 4):
            look_up(at)
    reads = _ms_of(client, search="ft.search", read="getrange")
    new = [
        NewScores(f"{work.texts[at]} anew", work.vectors[at - 1].astype(np.float32), workload.packed(at))
        for at in range(min(_WRITTEN, work.size))
    ]
    client.config_resetstat()
    for one in new:
        cache.store.remember_many("", [one], ttl_s=3600)
    for one in new:
        client.unlink(library.KEYS.vector("", one.query))
    writes = _ms_of(client, insert="evalsha", delete="unlink")
    client.unlink(*[library.KEYS.scores("", one.query) for one in new])
    return {**reads, **writes}


def _ms_of(client: redis.Redis, **commands: str) -> dict[str, float]:
    stats = {name.lower(): value["usec_per_call"] / 1000 for name, value in client.info("commandstats").items()}
    return {name: stats[f"cmdstat_{command}"] for name, command in commands.items()}


def _until_entries_go(client: redis.Redis) -> None:
    before, until = _removed(client), monotonic() + _PATIENCE_S
    while _removed(client) < before + RATE:
        assert monotonic() < until, "no entry is removed"
        sleep(0.5)


def _removed(client: redis.Redis) -> int:
    return int(client.info("commandstats").get("cmdstat_unlink", {"calls": 0})["calls"])


def _recall(cache: RedisSemanticCache, work: Workload) -> dict[str, float]:
    """The share of probes whose nearest entry is the first that is found; probes are drawn as the entries are."""
    real = min(work.size, scale_vectors.REAL - workload.HELD_OUT)
    of_real = round(RECALL_PROBES * real / work.size)
    probes = vectors.real(workload.HELD_OUT)[-of_real:].astype(np.float32)
    if of_real < RECALL_PROBES:
        made = scale_vectors.probes_like(work.vectors, real, RECALL_PROBES - of_real)
        probes = np.concatenate([probes, made])
    best = scale_vectors.ranked(probes, work.vectors, 1)[:, 0]
    found = np.array([near[0].similarity if (near := cache.neighbours(probe)) else -1.0 for probe in probes])
    # 0.001 is the rounding of float16 vectors, and of sums in another order.
    is_found, is_near = found >= best - 0.001, best >= SIMILAR
    return {
        "all": float(is_found.mean()),
        "near": float(is_found[is_near].mean()) if is_near.any() else float("nan"),
        "near_probes": int(is_near.sum()),
        "probes": len(probes),
    }


def _saved(url: str, client: redis.Redis, cache: RedisSemanticCache, file: Path, budget: Budget) -> dict[str, float]:
    """What a copy on disk costs while requests go on: memory that is there twice, and time."""
    work = _work(file, min(SIZES[0], len(np.load(file, mmap_mode="r"))))
    look_up = library.neighbours(cache, work, "semantic")
    with scale_load.churn(url, file, 0, RATE, LIFE_S):
        _until_entries_go(client)
        used, began = client.info("memory")["used_memory"], monotonic()
        client.bgsave()
        searches = 0
        while client.info("persistence")["rdb_bgsave_in_progress"]:
            for at in range(20):
                look_up(searches + at)
            searches += 20
        took_s = monotonic() - began
    info = client.info("persistence")
    assert info["rdb_last_bgsave_status"] == "ok", info
    copied = info["rdb_last_cow_size"]
    return {
        "seconds": took_s,
        "used_memory": used,
        "copied": copied,
        "copied_share": copied / used,
        "writes_per_s": RATE,
        "searches_per_s": searches / took_s,
    }


def _restarted(client: redis.Redis, size: int) -> dict[str, float]:
    """What it takes to start a server with what this one holds."""
    client.save()
    snapshot = Path(client.config_get("dir")["dir"]) / "dump.rdb"
    return {
        "entries": size,
        "bytes_each": snapshot.stat().st_size / size,
        "seconds": server.seconds_to_load(snapshot),
    }


def shards(size: int, budget: Budget) -> Iterator[tuple[str, Any]]:
    """The same entries on one server and on three shards, all over TCP on this machine."""
    file = scale_load.vectors_file(size)
    work = _work(file, size)
    with ExitStack() as stack:
        urls = dict(zip(("one server", "three shards"), servers_over_tcp(stack), strict=True))
        load_s = {name: scale_load.fill(url, file, 0, size) for name, url in urls.items()}
        caches = {name: stack.enter_context(library.opened(url)) for name, url in urls.items()}
        rows = []
        for kind in workload.KINDS:
            found = take_turns(
                {name: timed(library.LookUp(cache, work, kind, may_miss=_MAY_MISS)) for name, cache in caches.items()},
                budget,
            )
            grown = ratio(found["three shards"], found["one server"])
            for name, seconds in found.items():
                rows.append(
                    {
                        "kind": kind,
                        "side": name,
                        "load_s": load_s[name],
                        **summary(seconds),
                        "three_per_one": grown.value,
                    }
                )
        yield "shards", {"entries": size, "rows": rows}


def main() -> None:
    """Carry out the stages, and write the report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="small sizes; files go to benchmarks/.cache/trials")
    parser.add_argument("--stage", choices=("all", "vectors", "fill", "shards", "report"), default="all")
    options = parser.parse_args()
    sizes, budget = (QUICK_SIZES, QUICK_BUDGET) if options.quick else (SIZES, BUDGET)
    kept = FOLDER / ("quick.json" if options.quick else "parts.json")
    parts: dict[str, Any] = json.loads(kept.read_text()) if kept.exists() else {}
    stages = {
        "vectors": lambda: iter([("vectors", scale_vectors.check())]),
        "fill": lambda: fill(sizes, budget),
        "shards": lambda: shards(sizes[1], budget),
    }
    with awake() as circumstances:
        for name, stage in stages.items():
            if options.stage in ("all", name):
                for part, figures in stage():
                    parts[part] = figures
                    FOLDER.mkdir(parents=True, exist_ok=True)
                    kept.write_text(json.dumps(parts))
                    print(f"{part} is measured", flush=True)
    if options.stage != "report":
        parts["machine"] = {**parts.get("machine", {}), **circumstances}
        kept.write_text(json.dumps(parts))
    if all(str(size) in parts for size in sizes):
        result = scale_report.result(parts, sizes)
        experiment.report(replace(result, seed=workload.SEED), scale_report.plot, is_trial=options.quick)


if __name__ == "__main__":
    main()
