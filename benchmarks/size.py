"""How many bytes does an entry take in Redis, which parts take them, and does ``semcache size`` say the same?"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import redis

from benchmarks import baseline, experiment, library, machine, plots, server, workload
from benchmarks.experiment import ExperimentResult, Target
from benchmarks.peers.process import KINDS, Peer
from benchmarks.timing import Quantile
from benchmarks.workload import Workload
from semcache import EmbeddedRedis
from semcache.redis.memory import Contents
from semcache.redis.memory_advice import advise
from tests.redis import memory as shapes

SIZES = (10_000, 100_000)
QUICK_SIZES = (1_000,)
SAMPLED = 1000
OTHER_SHAPES = (
    Contents(entries=20_000, dims=384, scores=50, vector_type="float32"),
    Contents(entries=20_000, dims=384, scores=10),
    Contents(entries=20_000, dims=384, scores=200, tenants=100),
    Contents(entries=20_000, dims=64, scores=50, m=32),
    Contents(entries=20_000, dims=768, scores=100, is_signed=True),
    Contents(entries=10_000, dims=1536, scores=50, vector_type="float32", listpack_value=64),
)
IN_SHARDS, SHARDS = Contents(entries=60_000, dims=384), 3
QUICK_SHAPES = (Contents(entries=2000, dims=64),)
WITHIN = 0.1
"""How far ``semcache size`` may be off."""
PEER = next(kind for kind in KINDS if kind.name.startswith("RedisVL"))
SEMCACHE, SCAN = "semcache", "scan-based cache"

Split = Mapping[str, float]
"""Bytes per entry by part; the parts add up to the growth of the server's used memory."""


def measure(quick: bool) -> ExperimentResult:
    """Measure bytes per entry of 50 scores and 384 dims, by side and number of entries, split into parts."""
    rows: list[dict[str, Any]] = []
    totals: dict[tuple[str, int], float] = {}
    compared = [_compared(shape, _used(shape)) for shape in (QUICK_SHAPES if quick else OTHER_SHAPES)]
    compared += [] if quick else [_compared(IN_SHARDS, _used_in_shards(IN_SHARDS), SHARDS)]
    for size in QUICK_SIZES if quick else SIZES:
        work = workload.build(size)
        for name, fill in (("semcache", _semcache), ("scan-based cache", _scan), (PEER.name, _redisvl)):
            with server.started() as url:
                client = server.client(url)
                split = fill(url, client, work)
                described = machine.describe(url)
                if name == SEMCACHE:
                    said = Contents(entries=size, dims=384, scores=workload.DOCUMENTS, expires=False, cue_bytes=0)
                    compared.append(_compared(said, client.info("memory")["used_memory"]))
            totals[name, size] = sum(split.values())
            rows += [{"entries": size, "side": name, "part": part, "bytes": value} for part, value in split.items()]
            rows.append({"entries": size, "side": name, "part": "all", "bytes": totals[name, size]})
    return ExperimentResult(
        name="size",
        question="How many bytes does an entry take in Redis, and what are they?",
        method=(
            f"Growth of used_memory per entry in a fresh server. Keys by MEMORY USAGE (mean of {SAMPLED}), the index "
            "by FT.INFO; the rest is what neither accounts for: the server's table of keys and the allocator. The "
            "scan-based cache holds a vector as JSON and its five best documents with text; RedisVL's SemanticCache "
            "the same 50 scores as JSON. The formula of semcache size is compared with used_memory of a whole server; "
            "its other shapes have random vectors."
        ),
        parameters={"sizes": QUICK_SIZES if quick else SIZES, "documents": workload.DOCUMENTS, "dims": 384},
        machine=described,
        rows=rows,
        targets=[*_targets(totals), _off(compared)],
        more={"What semcache size says": compared},
        seed=workload.SEED,
    )


def _targets(totals: Mapping[tuple[str, int], float]) -> Iterator[Target]:
    for name, size in totals:
        if name == SEMCACHE:
            share = totals[name, size] / totals[SCAN, size]
            what = f"bytes per entry, semcache / scan-based cache, {size:,} entries"
            yield Target(what, Quantile(share, share, share), at_most=0.25)


def _compared(shape: Contents, used: float, shards: int = 1) -> dict[str, Any]:
    said = advise(shape, shards).expected
    return {
        "shards": shards,
        "entries": shape.entries,
        "dims": shape.dims,
        "type": shape.vector_type,
        "scores": shape.scores,
        "m": shape.m,
        "tenants": shape.tenants,
        "signed": shape.is_signed,
        "hash_max_listpack_value": shape.listpack_value,
        "used_memory": used,
        "said": round(said),
        "off": round(said / used - 1, 4),
    }


def _used(shape: Contents) -> float:
    """What a server uses that has these entries and no others."""
    with server.started() as url:
        client = server.client(url)
        client.config_set("hash-max-listpack-value", shape.listpack_value)
        with shapes.store_of(url, shape) as store:
            shapes.fill(store, shape)
            return float(client.info("memory")["used_memory"])


def _used_in_shards(shape: Contents) -> float:
    """What the fullest shard of a cluster uses that has these entries and no others."""
    with EmbeddedRedis(cluster=SHARDS) as cluster, shapes.store_of(cluster.url, shape) as store:
        shapes.fill(store, shape)
        with redis.RedisCluster.from_url(cluster.url) as client:
            found = client.info("memory", target_nodes=redis.RedisCluster.PRIMARIES)
        return float(max(node["used_memory"] for node in found.values()))


def _off(compared: list[dict[str, Any]]) -> Target:
    worst = max(abs(row["off"]) for row in compared)
    return Target("semcache size: largest deviation from used_memory", Quantile(worst, worst, worst), at_most=WITHIN)


def _semcache(url: str, client: redis.Redis, work: Workload) -> Split:
    with library.opened(url) as cache:
        cache.store.count()
        library.load(cache, work, 0, 1)  # the index and its first block are there before anything is counted
        grown = _growth(client, lambda: library.load(cache, work, 1, work.size)) / (work.size - 1)
    texts = work.texts[:SAMPLED]
    hashes = _mean(client, [library.KEYS.vector("", text) for text in texts])
    strings = _mean(client, [library.KEYS.scores("", text) for text in texts])
    graph, other = _index_bytes(client, library.KEYS.plain.index)
    parts = {
        "hash: vector and fields": hashes,
        "string: scores": strings,
        "graph: vector and links": graph / work.size,
        "index: documents and fields": other / work.size,
    }
    return {**parts, "rest": grown - sum(parts.values())}


def _scan(url: str, client: redis.Redis, work: Workload) -> Split:
    grown = _growth(client, lambda: baseline.load(client, work, 0, work.size)) / work.size
    strings = _mean(client, [baseline.key_of(text) for text in work.texts[:SAMPLED]])
    return {"string: JSON": strings, "rest": grown - strings}


def _redisvl(url: str, client: redis.Redis, work: Workload) -> Split:
    with Peer(PEER, url) as peer:
        grown = _growth(client, lambda: peer.load(work)) / work.size
    graph, other = _index_bytes(client, "peer-redisvl")
    hashes = _mean(client, [key for key, _ in zip(client.scan_iter("peer-redisvl:*"), range(SAMPLED), strict=False)])
    parts = {
        "hash: vector and fields": hashes,
        "graph: vector and links": graph / work.size,
        "index: documents and fields": other / work.size,
    }
    return {**parts, "rest": grown - sum(parts.values())}


def _growth(client: redis.Redis, fill: Callable[[], None]) -> float:
    before = client.info("memory")["used_memory"]
    fill()
    return float(client.info("memory")["used_memory"] - before)


def _mean(client: redis.Redis, keys: list[Any]) -> float:
    with client.pipeline(transaction=False) as pipeline:
        for key in keys:
            pipeline.execute_command("MEMORY", "USAGE", key, "SAMPLES", 0)
        used = pipeline.execute()
    return sum(used) / len(used)


_MB = 2**20


def _index_bytes(client: redis.Redis, name: str) -> tuple[float, float]:
    """Bytes of the vectors' index, and of everything else that FT.INFO lists."""
    reply = client.execute_command("FT.INFO", name)
    info = {key.decode(): value for key, value in zip(reply[::2], reply[1::2], strict=True)}
    graph = float(info["vector_index_sz_mb"]) * _MB
    others = (
        "inverted_sz_mb",
        "doc_table_size_mb",
        "key_table_size_mb",
        "sortable_values_size_mb",
        "tag_overhead_sz_mb",
    )
    return graph, sum(float(info.get(other, 0)) for other in others) * _MB


def plot(result: ExperimentResult, path: Path) -> None:
    """Parts of an entry, one bar per side, at the largest size."""
    largest = max(row["entries"] for row in result.rows)
    parts: dict[str, dict[str, float]] = {}
    for row in result.rows:
        if row["entries"] == largest and row["part"] != "all":
            parts.setdefault(row["side"], {})[row["part"]] = row["bytes"]
    plots.stacked(parts, path, title=f"Bytes per entry, {largest:,} entries", x="bytes")


if __name__ == "__main__":
    experiment.main(measure, plot)
