"""Does a migration to another embedder cost hits or requests, and what does the creation of an index cost others?"""

import multiprocessing
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np

from benchmarks import experiment, machine, migration_index, plots, server, workload
from benchmarks.experiment import ExperimentResult, Target
from benchmarks.migration_traffic import Seen, TextScores, Traffic, fill, requests
from benchmarks.timing import Quantile, summary
from semcache.cache import RedisSemanticCache
from semcache.cached import CachedReranker
from semcache.embedders.sentence_transformers import SentenceTransformerEmbedder
from semcache.settings import Settings

ENTRIES, QUICK_ENTRIES = 50_000, 1_000
RATE, QUICK_RATE = 40.0, 20.0
PHASE_S, QUICK_PHASE_S = 30.0, 3.0
ROLLING_S, QUICK_ROLLING_S = 10.0, 2.0
AT_LEAST = 0.9
_NAMESPACE = "migration"
_HITS = frozenset({"exact", "semantic", "verified", "partial"})
PHASES = ("before", "rolling out, moving", "moving", "moved", "cleaning", "after")


def former() -> SentenceTransformerEmbedder:
    """The embedder that entries are migrated from."""
    return SentenceTransformerEmbedder("all-MiniLM-L6-v2", "onnx")


def present() -> SentenceTransformerEmbedder:
    """The embedder that they are migrated to."""
    return SentenceTransformerEmbedder("BAAI/bge-small-en-v1.5", "onnx-int8")


def measure(quick: bool) -> ExperimentResult:
    """Migrate entries under traffic, and create indexes beside many keys."""
    entries = QUICK_ENTRIES if quick else ENTRIES
    with server.started() as url:
        seen, moved = _migrated(url, entries, quick)
        described = machine.describe(url)
    shares = _shares(seen, QUICK_RATE if quick else RATE)
    before = float(np.median([share for phase, share in shares if phase == "before"]))
    least = min(share for phase, share in shares if phase != "before") / before
    failed = float(sum(one.status == "failed" for one in seen))
    wrong = float(sum(not one.is_right for one in seen))
    created = migration_index.measured(quick)
    return ExperimentResult(
        name="migration",
        question="Does a migration to another embedder cost hits or requests, and an index's creation others' time?",
        method=(
            f"{entries:,} entries of real queries, 50 scores each, text stored, from all-MiniLM-L6-v2 (onnx) to "
            "bge-small-en-v1.5 (onnx-int8). One caller asks all the time, the same mix in every second: half of the "
            "requests repeat a stored query, three tenths put one in other words, a fifth are unknown. Every score is "
            "compared with the reranker's own; the reranker takes no time, so that all time is the cache's. The new "
            "settings are rolled out when the migration begins: for some seconds every other request still has the "
            "former ones. The migration runs in a process of its own at the lowest priority, on the same two cores. "
            "Hits are exact, semantic, verified and partial answers; times count from when a request was due."
        ),
        parameters={"entries": entries, "requests_per_s": QUICK_RATE if quick else RATE, **moved},
        machine=described,
        rows=list(_rows(seen)),
        targets=[
            Target("least share of hits in a second / that before", Quantile(least, least, least), at_least=AT_LEAST),
            Target("requests that failed", Quantile(failed, failed, failed), at_most=0),
            Target("requests with a wrong score", Quantile(wrong, wrong, wrong), at_most=0),
        ],
        more={
            "Share of hits per second, by phase": list(_by_phase(shares)),
            "Creation of an index beside other keys": created,
        },
        series={
            "share of hits": [
                {"second": at, "phase": phase, "share": share} for at, (phase, share) in enumerate(shares)
            ]
        },
        seed=workload.SEED,
    )


def opened(url: str, embedder: object, migrate_from: object) -> CachedReranker:
    """A reranker over the cache of the benchmark."""
    settings = Settings(
        cache={"namespace": _NAMESPACE, "store_queries": True}, reuse={"audit_rate": 0}, prune={"mode": "off"}
    )
    cache = RedisSemanticCache(url, embedder, ttl=None, migrate_from=migrate_from, settings=settings)
    return CachedReranker(TextScores(), cache)


def _migrated(url: str, entries: int, quick: bool) -> tuple[list[Seen], dict[str, Any]]:
    rate, phase_s, rolling_s = (QUICK_RATE, QUICK_PHASE_S, QUICK_ROLLING_S) if quick else (RATE, PHASE_S, ROLLING_S)
    old, new = former(), present()
    asked = requests(entries, old, new, 60 if quick else 4000)
    first = next(asked)  # embeds the reworded queries, and loads both models
    with opened(url, old, None) as before, opened(url, new, old) as during, opened(url, new, None) as after:
        fill(before, entries)
        for reranker in (before, during):
            reranker.rerank(first.query, workload.documents(first.entry), 1)
        traffic = Traffic(asked, rate)
        traffic.run("before", [before], lambda passed: passed >= phase_s)
        with MigrationProcess(url, "run") as running:
            traffic.run("rolling out, moving", [before, during], lambda passed: passed >= rolling_s)
            traffic.run("moving", [during], lambda passed: not running.is_alive())
            moved_s = running.seconds()
        traffic.run("moved", [during], lambda passed: passed >= phase_s)
        with MigrationProcess(url, "clean") as cleaning:
            traffic.run("cleaning", [during], lambda passed: not cleaning.is_alive())
            cleaned_s = cleaning.seconds()
        traffic.run("after", [after], lambda passed: passed >= phase_s)
        (status, *_) = during.cache.migrator().status()
        state = asdict(status.state)
    return traffic.seen, {"moved_in_s": moved_s, "cleaned_in_s": cleaned_s, **state}


class MigrationProcess:
    """The migration in a process of its own at the lowest priority."""

    def __init__(self, url: str, action: str) -> None:
        self._process = multiprocessing.get_context("spawn").Process(target=_act, args=(url, action))

    def __enter__(self) -> "MigrationProcess":
        self._started = monotonic()
        self._process.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.join()
        if self._process.exitcode:
            raise RuntimeError(f"the migration ended with {self._process.exitcode}")

    def is_alive(self) -> bool:
        """Whether it is still at work."""
        return self._process.is_alive()

    def seconds(self) -> float:
        """Since it was started."""
        return round(monotonic() - self._started, 1)


def _act(url: str, action: str) -> None:
    with suppress(OSError):
        os.nice(10)
    with opened(url, present(), former()) as reranker:
        migrator = reranker.cache.migrator()
        if action == "run":
            migrator.run(lambda task, done, total: print(f"\r{task} {done:,}/{total:,}", end="", flush=True))
        else:
            migrator.clean()


def _shares(seen: Sequence[Seen], rate: float) -> list[tuple[str, float]]:
    """Phase and share of hits of each second; a second has the same mix as any other."""
    size = round(rate)
    blocks = [seen[start : start + size] for start in range(0, len(seen) - size + 1, size)]
    return [(block[0].phase, sum(one.status in _HITS for one in block) / size) for block in blocks]


def _by_phase(shares: Sequence[tuple[str, float]]) -> Iterator[Mapping[str, Any]]:
    for phase in PHASES:
        own = [share for name, share in shares if name == phase]
        if own:
            yield {"phase": phase, "seconds": len(own), "median": float(np.median(own)), "least": min(own)}


def _rows(seen: Sequence[Seen]) -> Iterator[Mapping[str, Any]]:
    for kind in ("exact", "near", "miss"):
        for phase in PHASES:
            own = [one for one in seen if (one.phase, one.kind) == (phase, kind)]
            if own:
                hits = sum(one.status in _HITS for one in own) / len(own)
                failed = sum(one.status == "failed" for one in own)
                times = summary(np.array([one.took_s for one in own]))
                yield {"kind": kind, "phase": phase, "hits": hits, "failed": failed, **times}


def plot(result: ExperimentResult, path: Path) -> None:
    """The share of hits, second by second."""
    series = result.series["share of hits"]
    points = {
        phase: [(row["second"], row["share"]) for row in series if row["phase"] == phase]
        for phase in PHASES
        if any(row["phase"] == phase for row in series)
    }
    plots.timeline(points, path, title=result.question, x="seconds", y="share of hits")


if __name__ == "__main__":
    experiment.main(measure, plot)
