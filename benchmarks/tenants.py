"""What does a tenant's filter cost, by the tenant's share of the index?"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import redis

from benchmarks import experiment, library, machine, plots, server, workload
from benchmarks.experiment import ExperimentResult, Target
from benchmarks.timing import ratio, summary, timed
from benchmarks.workload import Workload
from semcache.commands.bench.measuring import Budget, Seconds, take_turns
from semcache.entries.fingerprint import tenant_tag

SIZE = 100_000
QUICK_SIZE = 3_000
SHARES = {"10 %": 0.1, "1 %": 0.01, "0.01 %": 0.0001}
"""Tenants that share one index with all others, and their shares of it. "100 %" has an index to itself."""
BUDGET = Budget(samples=1000, limit_s=20)
QUICK_BUDGET = Budget(samples=100, limit_s=2)
POLICIES = {"BATCHES": "HYBRID_POLICY BATCHES", "ADHOC_BF": "HYBRID_POLICY ADHOC_BF", "server's choice": ""}
NONE = "no tenant"
_ALONE = "alone"


def measure(quick: bool) -> ExperimentResult:
    """Measure semantic look-ups of tenants of several shares, and the same search with each policy of the server."""
    timings: dict[tuple[str, str], Seconds] = {}
    notes: list[str] = []
    with ExitStack() as stack:
        url = stack.enter_context(server.started())
        cache = stack.enter_context(library.opened(url))
        alone = stack.enter_context(library.opened(url, namespace=_ALONE))
        work = workload.build(QUICK_SIZE if quick else SIZE)
        tenants = _tenants(work.size)
        for opened, tenant in ((cache, ""), (cache, "10 %"), (alone, "100 %")):
            # Made before anything is stored, since the server would otherwise scan all keys to fill a new index.
            opened.neighbours(work.probes["miss"][0], tenant=tenant)
        library.load(cache, work, 0, work.size)
        library.load(alone, work, 0, work.size, tenant="100 %")
        for tenant, entries in tenants.items():
            library.load(cache, work, entries.start, entries.stop, tenant)
        budget = QUICK_BUDGET if quick else BUDGET
        for kind in ("semantic", "miss"):
            look_ups = {NONE: library.LookUp(cache, work, kind), "100 %": library.LookUp(alone, work, kind, "100 %")}
            for tenant in SHARES:
                look_ups[tenant] = library.LookUp(cache, workload.aimed_at(work, tenants[tenant]), kind, tenant)
            timings |= _in_turn(kind, look_ups, budget)
            notes += [f"{kind}, {name}: {look_up.found()} as expected" for name, look_up in look_ups.items()]
        timings |= _in_turn("FT.SEARCH alone", dict(_policies(server.client(url), work, tenants)), budget)
        described = machine.describe(url)
    return ExperimentResult(
        name="tenants",
        question="What does a tenant's filter cost?",
        method=(
            "One index without tenants, one where tenants of 10 %, 1 % and 0.01 % share with one of all the rest, and"
            " one with a single tenant, each with the same number of entries. Semantic look-ups at cosine 0.97 and "
            "misses, vectors given, sides alternating. Then KNN 4 alone with each HYBRID_POLICY."
        ),
        parameters={"entries": work.size, "budget": budget},
        machine=described,
        rows=[{"what": kind, "side": side, **summary(seconds)} for (kind, side), seconds in timings.items()],
        targets=list(_targets(timings)),
        notes=notes,
        seed=workload.SEED,
    )


def _in_turn(kind: str, calls: Mapping[str, Callable[[int], object]], budget: Budget) -> dict[tuple[str, str], Seconds]:
    found = take_turns({name: timed(call) for name, call in calls.items()}, budget)
    return {(kind, name): seconds for name, seconds in found.items()}


def _tenants(size: int) -> dict[str, range]:
    """The entries of each tenant in the index that they share: first those of the small tenants, then the rest."""
    slices, start = {}, 0
    for name, share in SHARES.items():
        count = max(4, round(size * share))
        slices[name] = range(start, start + count)
        start += count
    return {**slices, "the rest": range(start, size)}


def _policies(
    client: redis.Redis, work: Workload, tenants: Mapping[str, range]
) -> Iterator[tuple[str, Callable[[int], object]]]:
    for tenant in SHARES:
        probes = workload.aimed_at(work, tenants[tenant]).probes["semantic"].astype(np.float16)
        for policy, clause in POLICIES.items():
            yield f"{tenant}, {policy}", _filtered(client, tenant, clause, [probe.tobytes() for probe in probes])


def _filtered(client: redis.Redis, tenant: str, clause: str, blobs: list[bytes]) -> Callable[[int], object]:
    """FT.SEARCH KNN 4 within a tenant, with one of the server's policies for filters."""
    query = f"(@tenant:{{{tenant_tag(tenant)}}})=>[KNN 4 @embedding $vector {clause} AS distance]"
    rest = ("RETURN", 1, "distance", "SORTBY", "distance", "ASC", "DIALECT", 2, "LIMIT", 0, 4, "PARAMS", 2, "vector")
    index = library.KEYS.named.index
    return lambda at: client.execute_command("FT.SEARCH", index, query, *rest, blobs[at % len(blobs)])


def _targets(timings: Mapping[tuple[str, str], Seconds]) -> Iterator[Target]:
    for kind in ("semantic", "miss"):
        for tenant in ("100 %", *SHARES):
            cost = ratio(timings[kind, tenant], timings[kind, NONE])
            yield Target(f"{kind} look-up of a tenant of {tenant} / without tenants", cost, at_most=2)


def plot(result: ExperimentResult, path: Path) -> None:
    """p50 of every side."""
    values = {f"{row['what']}: {row['side']}": row["p50_ms"] for row in result.rows}
    title = f"Look-ups with a tenant's filter, {result.parameters['entries']:,} entries"
    plots.bars(values, path, title=title, x="p50, ms", log_x=True)


if __name__ == "__main__":
    experiment.main(measure, plot)
