"""How does the time of a look-up grow with the number of entries, up to a million?"""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from time import perf_counter

import numpy as np

from benchmarks import experiment, library, limits, machine, plots, server, vectors, workload
from benchmarks.experiment import ExperimentResult, Target
from benchmarks.timing import Quantile, ratio, summary, timed
from benchmarks.workload import Workload
from semcache import RedisSemanticCache
from semcache.commands.bench.measuring import Budget, Seconds, take_turns

SIZES = (1_000, 10_000, 100_000, 1_000_000)
QUICK_SIZES = (1_000, 3_000)
BUDGET = Budget(samples=2000, limit_s=30)
QUICK_BUDGET = Budget(samples=100, limit_s=2)
BASE = 10_000
SIMILAR = 0.8
"""Recall is measured on probes whose nearest entry is at least this similar. Others are no hits in any case."""


def measure(quick: bool) -> ExperimentResult:
    """Measure look-up latency and recall of semcache from 1,000 to 1,000,000 entries."""
    timings: dict[tuple[int, str], Seconds] = {}
    recalls: dict[int, tuple[float, int]] = {}
    loading: dict[int, float] = {}
    with ExitStack() as stack:
        url = stack.enter_context(server.started())
        cache = stack.enter_context(library.opened(url))
        done = 0
        for size in QUICK_SIZES if quick else SIZES:
            work = workload.build(size)
            started = perf_counter()
            library.load(cache, work, done, size)
            loading[size] = (perf_counter() - started) / (size - done) * 1000
            done = size
            for kind in workload.KINDS:
                timings |= _timed(url, cache, work, kind, QUICK_BUDGET if quick else BUDGET)
            recalls[size] = recall(cache, work)
        described = machine.describe(url)
    return ExperimentResult(
        name="growth",
        question="How does a look-up grow with the number of entries?",
        method=(
            "One server, filled step by step; at each step exact hits, semantic hits (cosine 0.97) and misses, "
            "vectors given. Beyond 341,720 real queries entries are made by turning a real vector towards another "
            "real one, to a cosine of 0.75 to 0.95. Recall: share of held-out real queries with an entry of cosine "
            "0.8 or more whose nearest entry (by comparing with all) is among the first found."
        ),
        parameters={
            "sizes": sorted(recalls),
            "budget": QUICK_BUDGET if quick else BUDGET,
            "documents": workload.DOCUMENTS,
        },
        machine=described,
        rows=[
            {
                "entries": size,
                "side": side,
                **summary(seconds),
                "recall": recalls[size][0],
                "recall_probes": recalls[size][1],
                "insert_ms": loading[size],
            }
            for (size, side), seconds in timings.items()
        ],
        targets=list(_targets(timings, recalls)),
        seed=workload.SEED,
    )


def _timed(
    url: str, cache: RedisSemanticCache, work: Workload, kind: str, budget: Budget
) -> dict[tuple[int, str], Seconds]:
    client = server.client(url)
    sides = {f"semcache lookup, {kind}": timed(library.LookUp(cache, work, kind))}
    if kind == "semantic":
        sides["semcache neighbours"] = timed(library.neighbours(cache, work, kind))
        sides["limit: FT.SEARCH + MGET"] = timed(limits.search_and_scores(client, work, kind))
    return {(work.size, side): seconds for side, seconds in take_turns(sides, budget).items()}


def recall(cache: RedisSemanticCache, work: Workload) -> tuple[float, int]:
    """The share of probes whose nearest entry was found, and the number of probes that are near enough to count."""
    probes = vectors.real(workload.HELD_OUT)[-2000:].astype(np.float32)
    _, cosine = vectors.nearest(probes, work.vectors)
    asked = np.flatnonzero(cosine >= SIMILAR)
    hits = []
    for at in asked:
        found = cache.neighbours(probes[at])
        # As near as the nearest entry, since equal vectors are equally good. 0.001 is the rounding of float16 vectors
        # and of sums in another order.
        hits.append(bool(found) and found[0].similarity >= float(cosine[at]) - 0.001)
    return (sum(hits) / len(hits) if hits else float("nan")), len(hits)


def _targets(timings: dict[tuple[int, str], Seconds], recalls: dict[int, tuple[float, int]]) -> Iterator[Target]:
    largest, base = max(recalls), BASE if BASE in recalls else min(recalls)
    for kind in ("semantic", "miss", "exact"):
        side = f"semcache lookup, {kind}"
        grown = ratio(timings[largest, side], timings[base, side])
        yield Target(f"look-up ({kind}) at {largest:,} entries / at {base:,}", grown, at_most=3)
    for size, (share, count) in recalls.items():
        spread = 1.96 * (share * (1 - share) / count) ** 0.5 if count else 0.0
        yield Target(
            f"recall of the nearest entry at 0.8 or more, {size:,} entries",
            Quantile(share, share - spread, min(1.0, share + spread)),
            at_least=0.99,
        )


def plot(result: ExperimentResult, path: Path) -> None:
    """p50 by number of entries."""
    series: dict[str, list[tuple[float, float]]] = {}
    for row in result.rows:
        series.setdefault(row["side"], []).append((row["entries"], row["p50_ms"]))
    plots.growth(series, path, title="Look-up, vector given", x="entries", y="p50, ms", log_y=False)


if __name__ == "__main__":
    experiment.main(measure, plot)
