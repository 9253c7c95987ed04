"""How long does a look-up take, against the scan-based cache, the peers and the bare commands?"""

from collections.abc import Iterator
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from typing import Any

import redis

from benchmarks import baseline, experiment, library, limits, machine, plots, server, workload
from benchmarks.experiment import ExperimentResult, Target
from benchmarks.peers.process import KINDS, Peer
from benchmarks.timing import ratio, summary, timed
from benchmarks.workload import Workload
from semcache import RedisSemanticCache
from semcache.commands.bench.measuring import Budget, Seconds, Side, take_turns

SIZES = (1_000, 10_000, 50_000, 100_000)
QUICK_SIZES = (300, 1_000)
SCANNED_UP_TO = 10_000
"""A scan of 10,000 entries takes seconds. With more entries it grows in proportion, which need not be measured."""
BUDGET = Budget(samples=1000, limit_s=20)
QUICK_BUDGET = Budget(samples=100, limit_s=2)

LOOKUP, NEIGHBOURS, GET, RAW, SCAN, REDISVL = (
    "semcache lookup",
    "semcache neighbours",
    "limit: GET",
    "limit: FT.SEARCH + MGET",
    "scan-based cache",
    "RedisVL SemanticCache",
)
# How many times faster than RedisVL's SemanticCache a semantic look-up should be, by number of entries.
_AGAINST_REDISVL = {1_000: 1, 10_000: 2, 50_000: 10, 100_000: 20}

Timings = dict[tuple[int, str, str], Seconds]
"""Durations by size, kind and side."""


def measure(quick: bool) -> ExperimentResult:
    """Measure the look-up latency of all sides, by kind and number of entries."""
    sizes, budget = (QUICK_SIZES, QUICK_BUDGET) if quick else (SIZES, BUDGET)
    timings: Timings = {}
    notes: list[str] = []
    with ExitStack() as stack:
        url = stack.enter_context(server.started())
        cache = stack.enter_context(library.opened(url))
        peers = [stack.enter_context(Peer(kind, url)) for kind in KINDS if kind.is_installed]
        done = 0
        for size in sizes:
            work = _loaded(url, cache, peers, size, done)
            done = size
            for kind in workload.KINDS:
                ours = library.LookUp(cache, work, kind)
                sides = {LOOKUP: timed(ours), **dict(_sides(url, cache, work, kind, peers))}
                found = take_turns(sides, budget)
                timings |= {(size, kind, side): seconds for side, seconds in found.items()}
                notes.append(f"answers of semcache, {kind} {size:,}: {ours.found()} as expected")
        notes += list(_notes_on(peers))
        described = machine.describe(url)
    return ExperimentResult(
        name="lookup",
        question="How long does a look-up take?",
        method=(
            "Every side holds the same entries (real queries, all-MiniLM-L6-v2) on the same server, over a unix "
            "socket, and gets the same probes with their vectors; threshold 0.95 for all. exact: a stored query. "
            "semantic: a vector at cosine 0.97 to a stored one. miss: a real query whose nearest entry is below 0.9. "
            "semcache returns the scores of 50 documents, decoded; peers return their stored answer. Blocks of "
            "look-ups alternate A B B A. GPTCache (vectors in FAISS, rows in SQLite) and hnswlib use no server."
        ),
        parameters={
            "sizes": sizes,
            "documents": workload.DOCUMENTS,
            "budget": budget,
            "threshold": workload.THRESHOLD,
        },
        machine=described,
        rows=[
            {"entries": size, "kind": kind, "side": side, **summary(seconds)}
            for (size, kind, side), seconds in timings.items()
        ],
        targets=list(chain.from_iterable(_targets_at(size, timings) for size in sizes)),
        notes=notes,
        seed=workload.SEED,
    )


def _loaded(url: str, cache: RedisSemanticCache, peers: list[Peer], size: int, done: int) -> Workload:
    """Bring every side to ``size`` entries."""
    work = workload.build(size)
    library.load(cache, work, done, size)
    if size <= SCANNED_UP_TO:
        baseline.load(_scanned(url), work, done, size)
    for peer in peers:
        if not peer.failure:
            peer.load(work)
    return work


def _scanned(url: str) -> redis.Redis:
    """The scan-based cache has a database of its own, because it would scan the keys of all the others too."""
    return server.client(url, db=1)


def _sides(
    url: str, cache: RedisSemanticCache, work: Workload, kind: str, peers: list[Peer]
) -> Iterator[tuple[str, Side]]:
    client = server.client(url)
    if kind == "exact":
        yield GET, timed(limits.get(client, work))
        yield "limit: PING", timed(limits.ping(client))
    else:
        yield NEIGHBOURS, timed(library.neighbours(cache, work, kind))
        yield RAW, timed(limits.search_and_scores(client, work, kind))
        yield "limit: FT.SEARCH", timed(limits.search(client, work, kind))
        yield "limit: MGET", timed(limits.mget(client, work))
    if work.size <= SCANNED_UP_TO:
        yield SCAN, timed(_scan(url, work, kind))
    yield from ((peer.kind.name, peer.side(kind)) for peer in peers if not peer.failure)


def _scan(url: str, work: Workload, kind: str) -> Any:
    vectors = dict(zip(work.probe_texts[kind], work.probes[kind], strict=True))
    cache = baseline.ScanCache(_scanned(url), vectors.__getitem__)
    texts = work.probe_texts[kind]
    return lambda at: cache.get(texts[at % len(texts)], ())


def _notes_on(peers: list[Peer]) -> Iterator[str]:
    """Failures and shares of hits: a peer that misses what it should find is fast, and would look good."""
    yield from (f"{kind.name}: not installed, see README" for kind in KINDS if not kind.is_installed)
    yield from (f"{peer.kind.name}: {peer.failure}" for peer in peers if peer.failure)
    for peer in peers:
        shares = ", ".join(f"{kind} {size:,}: {share:.0%}" for (kind, size), share in peer.hits.items())
        yield f"hits of {peer.kind.name}: {shares}"


def _targets_at(size: int, timings: Timings) -> Iterator[Target]:
    of = {(kind, side): seconds for (n, kind, side), seconds in timings.items() if n == size}
    at = f"at {size:,} entries"
    if ("miss", SCAN) in of and size == SCANNED_UP_TO:
        yield Target(f"miss, scan-based cache / semcache, {at}", ratio(of["miss", SCAN], of["miss", LOOKUP]), 10_000)
    if ("semantic", REDISVL) in of:
        for side in (NEIGHBOURS, LOOKUP):
            yield Target(
                f"semantic look-up, RedisVL SemanticCache / {side}, {at}",
                ratio(of["semantic", REDISVL], of["semantic", side]),
                _AGAINST_REDISVL.get(size, 1),
            )
    yield Target(
        f"neighbours with scores, semcache / raw FT.SEARCH + MGET, {at}",
        ratio(of["semantic", NEIGHBOURS], of["semantic", RAW]),
        at_most=1.35,
    )
    yield Target(
        f"semantic look-up (with the exact read before), semcache / raw FT.SEARCH + MGET, {at}",
        ratio(of["semantic", LOOKUP], of["semantic", RAW]),
        at_most=1.35,
    )
    yield Target(
        f"exact hit of 50 documents, semcache / GET, {at}", ratio(of["exact", LOOKUP], of["exact", GET]), at_most=2
    )


def plot(result: ExperimentResult, path: Path) -> None:
    """Semantic look-ups by number of entries, one line per side."""
    series: dict[str, list[tuple[float, float]]] = {}
    for row in result.rows:
        if row["kind"] == "semantic":
            series.setdefault(row["side"], []).append((row["entries"], row["p50_ms"]))
    plots.growth(series, path, title="Semantic look-up, vector given", x="entries", y="p50, ms")


if __name__ == "__main__":
    experiment.main(measure, plot)
