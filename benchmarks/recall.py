"""Which graph finds the nearest entry, and at what cost? The defaults of the index were chosen by this result."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import redis
from numpy.typing import NDArray

from benchmarks import experiment, machine, plots, server, vectors, workload
from benchmarks.experiment import ExperimentResult

SIZES = (10_000, 100_000)
QUICK_SIZES = (2_000,)
BANDS = ((0.97, 1.01), (0.9, 0.97), (0.8, 0.9))
EF_RUNTIME = (10, 20, 40, 80)
PROBES = 600
DELETED = 500
_PREFIX = "graph:"


@dataclass(frozen=True, slots=True)
class Graph:
    """The parameters that an HNSW index is built with."""

    vector_type: str
    m: int
    ef_construction: int

    @property
    def dtype(self) -> str:
        return {"FLOAT16": "<f2", "FLOAT32": "<f4"}[self.vector_type]


GRAPHS = (
    Graph("FLOAT16", 8, 64),
    Graph("FLOAT16", 16, 64),
    Graph("FLOAT16", 16, 100),
    Graph("FLOAT16", 16, 200),
    Graph("FLOAT16", 32, 200),
    Graph("FLOAT32", 16, 100),
    Graph("FLOAT32", 16, 200),
)


def measure(quick: bool) -> ExperimentResult:
    """Recall, search, insertion, deletion and memory by vector type, M, ef_construction and ef_runtime."""
    rows: list[dict[str, Any]] = []
    for size in QUICK_SIZES if quick else SIZES:
        stored = vectors.extended(workload.HELD_OUT, workload.HELD_OUT + size, workload.SEED)
        probes = _probes(stored)
        for graph in GRAPHS:
            with server.started() as url:
                client = server.client(url)
                rows += _measured(client, graph, stored, probes)
                described = machine.describe(url)
    return ExperimentResult(
        name="recall",
        question="Which graph finds the nearest entry, and at what cost?",
        method=(
            "Real query vectors; probes are stored vectors turned towards held-out ones to a cosine within each band."
            " Recall: the first result is as near as the nearest entry by comparing with all (0.001 allowed for the "
            "rounding of float16). Insertion by pipelined HSET, deletion by pipelined UNLINK, one server per graph."
        ),
        parameters={"sizes": QUICK_SIZES if quick else SIZES, "probes_per_band": PROBES},
        machine=described,
        rows=rows,
        seed=workload.SEED,
    )


Probes = dict[str, tuple[NDArray[np.float32], NDArray[np.float32]]]
"""By band: vectors, and the cosine of each to its true nearest entry."""


def _probes(stored: NDArray[np.float16]) -> Probes:
    rng = np.random.default_rng(workload.SEED)
    held_out = vectors.real(workload.HELD_OUT)
    found: Probes = {}
    for low, high in BANDS:
        chosen = stored[rng.choice(len(stored), PROBES)]
        towards = held_out[rng.integers(0, len(held_out), PROBES)]
        probes = vectors.turned(chosen, towards, rng.uniform(low, min(high, 0.999), PROBES))
        found[f"{low:g}"] = probes, vectors.nearest(probes, stored)[1]
    return found


def _measured(
    client: redis.Redis, graph: Graph, stored: NDArray[np.float16], probes: Probes
) -> Iterator[dict[str, Any]]:
    _create(client, graph)
    before = client.info("memory")["used_memory"]
    insert_ms = _insert(client, stored.astype(graph.dtype))
    size = (client.info("memory")["used_memory"] - before) / len(stored)
    searched = {ef: _search(client, graph, probes, ef) for ef in EF_RUNTIME}
    delete_ms = _delete(client, len(stored))
    for ef, (recalls, seconds) in searched.items():
        yield {
            "entries": len(stored),
            "type": graph.vector_type.lower(),
            "m": graph.m,
            "ef_construction": graph.ef_construction,
            "ef_runtime": ef,
            **{f"recall_{band}": share for band, share in recalls.items()},
            "search_p50_ms": float(np.median(seconds)) * 1000,
            "insert_ms": insert_ms,
            "delete_ms": delete_ms,
            "bytes_per_entry": size,
        }


def _create(client: redis.Redis, graph: Graph) -> None:
    attributes = ("TYPE", graph.vector_type, "DIM", vectors.DIMS, "DISTANCE_METRIC", "COSINE", "M", graph.m)
    attributes += ("EF_CONSTRUCTION", graph.ef_construction)
    schema = ("SCHEMA", "embedding", "VECTOR", "HNSW", len(attributes), *attributes)
    client.execute_command("FT.CREATE", "graph", "ON", "HASH", "PREFIX", 1, _PREFIX, *schema)


def _insert(client: redis.Redis, stored: NDArray[Any]) -> float:
    started = perf_counter()
    for first in range(0, len(stored), 200):
        with client.pipeline(transaction=False) as pipeline:
            for at in range(first, min(first + 200, len(stored))):
                pipeline.hset(f"{_PREFIX}{at}", "embedding", stored[at].tobytes())
            pipeline.execute()
    return (perf_counter() - started) / len(stored) * 1000


def _delete(client: redis.Redis, size: int) -> float:
    chosen = np.random.default_rng(workload.SEED).choice(size, min(DELETED, size // 4), replace=False)
    started = perf_counter()
    with client.pipeline(transaction=False) as pipeline:
        for at in chosen:
            pipeline.unlink(f"{_PREFIX}{at}")
        pipeline.execute()
    return (perf_counter() - started) / len(chosen) * 1000


def _search(client: redis.Redis, graph: Graph, probes: Probes, ef: int) -> tuple[dict[str, float], list[float]]:
    query = f"*=>[KNN 4 @embedding $vector EF_RUNTIME {ef} AS distance]"
    rest = ("RETURN", 1, "distance", "SORTBY", "distance", "ASC", "DIALECT", 2, "LIMIT", 0, 4, "PARAMS", 2, "vector")
    recalls: dict[str, float] = {}
    seconds: list[float] = []
    for band, (vectors_of_band, nearest) in probes.items():
        found = np.empty(len(vectors_of_band))
        for at, probe in enumerate(vectors_of_band):
            blob = probe.astype(graph.dtype).tobytes()
            started = perf_counter()
            reply = client.execute_command("FT.SEARCH", "graph", query, *rest, blob)
            seconds.append(perf_counter() - started)
            found[at] = 1 - float(reply[2][1])
        recalls[band] = float(np.mean(found >= nearest - 0.001))
    return recalls, seconds


def plot(result: ExperimentResult, path: Path) -> None:
    """Recall of the hardest band against the time of a search, one line per graph, at the largest size."""
    largest = max(row["entries"] for row in result.rows)
    series: dict[str, list[tuple[float, float]]] = {}
    for row in result.rows:
        if row["entries"] == largest:
            name = f"{row['type']} M {row['m']} efc {row['ef_construction']}"
            series.setdefault(name, []).append((row["search_p50_ms"], row["recall_0.8"]))
    title = f"Recall at 0.8-0.9 by ef_runtime, {largest:,} entries"
    plots.growth(series, path, title=title, x="search p50, ms", y="recall", log_y=False)


if __name__ == "__main__":
    experiment.main(measure, plot)
