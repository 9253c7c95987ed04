"""The report of ``benchmarks.scale``: tables, targets, and the model for a hundred million entries."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import plots, scale_model, workload
from benchmarks.experiment import ExperimentResult, Target
from benchmarks.scale_model import Growth, Measured
from benchmarks.timing import Quantile, ratio, summary

AT_MOST = 3.0
WITHIN = 0.1
FAR = 100_000_000
SHARDS = (16, 32, 64, 128)
EXACT_SHARES = (0.15, 0.5)
"""Shares of exact repetitions: that of a web log once 10,000 of its queries are known, and of a busy FAQ."""

Parts = Mapping[str, Any]


def result(parts: Parts, sizes: Sequence[int]) -> ExperimentResult:
    """The report of the stages that are there; ``sizes`` are those of the server that was filled."""
    steps = [parts[str(size)] for size in sizes]
    measured = [Measured(step["entries"], *_server_ms(step)) for step in steps]
    small, large = steps[0], steps[-1]
    predicted = Growth.of(*measured[-3:-1]).at(measured[-1].entries)
    return ExperimentResult(
        name="scale",
        question="What do a million entries cost on one server, and a hundred million on a cluster?",
        method=(
            "One server with the search module's one thread, default parameters (M 16, ef_construction 100), "
            f"entries of 384 dims float16 and {workload.DOCUMENTS} scores, written by two processes through the "
            "library's own write path. The first 126,976 vectors are those of real queries, the others are made, see "
            "below. At each size: exact hits, near hits (cosine 0.97) and misses, alone and beside a process that "
            "writes 100 new entries a second, which are removed after 8 s, as by expiry. search is one KNN with the "
            "scores of what it found. Client, writers and server share two cores. Recall: the first found is as near "
            "as the nearest by comparing with all; near is for those with one at 0.8 or more."
        ),
        parameters={"sizes": list(sizes), "shards": 3, "churn_per_s": 100, "churn_life_s": 8},
        machine=parts.get("machine", {}),
        rows=list(_rows(steps)),
        targets=list(_targets(small, large)),
        notes=list(_notes(parts)),
        more={
            "Loading, memory and recall": [_loaded(step) for step in steps],
            "What single commands take of the server": [
                {"entries": step["entries"], **{f"{name}_ms": ms for name, ms in step["server_ms"].items()}}
                for step in steps
            ],
            f"{large['entries']:,} entries, predicted from {steps[-3]['entries']:,} and {steps[-2]['entries']:,}": [
                dict(row) for row in scale_model.deviation(predicted, measured[-1])
            ],
            **_far(steps, measured),
            **({"Three shards against one server, on two cores": parts["shards"]["rows"]} if "shards" in parts else {}),
            **(
                {"Similarity to the nearest and the tenth, real and made": parts["vectors"]}
                if "vectors" in parts
                else {}
            ),
        },
    )


def _server_ms(step: Parts) -> tuple[float, float, float, float]:
    of = step["server_ms"]
    return of["search"], of["insert"], of["delete"], of["read"]


def _seconds(step: Parts, circumstance: str, kind: str) -> NDArray[np.float64]:
    return np.array(step[circumstance][kind]) / 1000


def _rows(steps: Sequence[Parts]) -> Iterator[dict[str, Any]]:
    for step in steps:
        for circumstance in ("alone", "beside"):
            for kind in step[circumstance]:
                found = summary(_seconds(step, circumstance, kind))
                beside = "writes and expiry" if circumstance == "beside" else "nothing"
                yield {"entries": step["entries"], "what": kind, "beside": beside, **found}


def _loaded(step: Parts) -> dict[str, Any]:
    return {
        "entries": step["entries"],
        "load_s": step["load_s"],
        "load_ms_each": step["load_ms_each"],
        "used_memory": step["memory"]["used_memory"],
        "said_by_size": step["memory"]["said"],
        "off": step["memory"]["off"],
        "rss_per_used": step["memory"]["rss_per_used"],
        "recall": step["recall"]["all"],
        "recall_near": step["recall"]["near"],
        "near_probes": step["recall"]["near_probes"],
        "removed_per_s": step["removed_entries_per_s"],
    }


def _targets(small: Parts, large: Parts) -> Iterator[Target]:
    for kind in ("exact", "semantic", "miss"):
        grown = ratio(_seconds(large, "alone", kind), _seconds(small, "alone", kind))
        yield Target(f"{kind}: p50 at {large['entries']:,} / at {small['entries']:,}", grown, at_most=AT_MOST)
    off = abs(large["memory"]["off"])
    yield Target("semcache size: deviation from used_memory, largest size", Quantile(off, off, off), at_most=WITHIN)


def _far(steps: Sequence[Parts], measured: Sequence[Measured]) -> dict[str, list[dict[str, Any]]]:
    growth = Growth.of(*measured[-2:])
    searches = _seconds(steps[-1], "alone", "search")
    spread = searches / np.median(searches)
    client_ms = float(np.median(_seconds(steps[-1], "alone", "semantic"))) * 1000 - measured[-1].search_ms
    return {
        f"{FAR:,} entries on a cluster, {exact:.0%} exact hits (a model)": [
            scale_model.cluster(growth, spread, client_ms, FAR, shards, exact=exact) for shards in SHARDS
        ]
        for exact in EXACT_SHARES
    }


def _notes(parts: Parts) -> Iterator[str]:
    yield (
        f"The model assumes a round trip of {scale_model.NETWORK_MS:g} ms, servers that are busy for "
        f"{scale_model.BUSY:.0%} of the time at most, a processor core of this machine's speed for each shard, "
        f"{scale_model.PRICE:g} dollars per GiB and month, no replicas, and entries that expire as fast as they come. "
        "Every shard carries out every search, so more shards make a search shorter and hold more entries, but give "
        "only little more searches per second; exact hits and writes are shared out."
    )
    if "saving" in parts:
        saved = parts["saving"]
        yield (
            f"A snapshot (BGSAVE) of the largest size took {saved['seconds']:.0f} s beside "
            f"{saved['searches_per_s']:,.0f} searches and {saved['writes_per_s']:.0f} writes a second; "
            f"{saved['copied'] / 2**20:,.0f} MiB were there twice meanwhile, {saved['copied_share']:.0%} of what was "
            "used."
        )
    if "restart" in parts:
        again = parts["restart"]
        yield (
            f"A server that is started with a snapshot of {again['entries']:,} entries "
            f"({again['bytes_each']:,.0f} bytes each) answers after {again['seconds']:.1f} s, "
            f"{1000 * again['seconds'] / again['entries']:.2f} ms for each: snapshots hold no graph, so every vector "
            "is inserted again before the server answers anything."
        )
    yield (
        "The packaged search module is built without worker threads (WORKERS is an unknown option), so one thread of "
        "the server loads and searches."
    )


def plot(found: ExperimentResult, path: Path) -> None:
    """p50 by number of entries, alone and beside writes and expiry."""
    series: dict[str, list[tuple[float, float]]] = {}
    for row in found.rows:
        beside = "" if row["beside"] == "nothing" else ", beside writes"
        series.setdefault(f"{row['what']}{beside}", []).append((row["entries"], row["p50_ms"]))
    plots.growth(series, path, title="Look-ups by number of entries, p50", x="entries", y="ms", log_y=False)
