"""How long does a write take, and how long a look-up while entries come and expire?"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from threading import Event, Thread
from time import perf_counter
from typing import Any

import numpy as np
import redis

from benchmarks import baseline, experiment, library, machine, plots, server, workload
from benchmarks.experiment import ExperimentResult
from benchmarks.timing import summary, timed
from benchmarks.workload import Workload
from semcache import RedisSemanticCache
from semcache.commands.bench.measuring import Budget, Seconds, take_turns

SIZE = 10_000
QUICK_SIZE = 1_000
BUDGET = Budget(samples=1000, limit_s=20)
QUICK_BUDGET = Budget(samples=100, limit_s=2)
CHURN_S = 60.0
QUICK_CHURN_S = 4.0
TTL_SHARE = 0.25
"""TTL during churn as a share of its duration, so that most entries that are written also expire."""
ADDED = 10
"""Documents that a partial hit adds to an entry."""


def measure(quick: bool) -> ExperimentResult:
    """Measure single writes, then look-ups while one thread writes without a pause and entries expire."""
    with ExitStack() as stack:
        url = stack.enter_context(server.started())
        cache = stack.enter_context(library.opened(url))
        base = QUICK_SIZE if quick else SIZE
        budget = QUICK_BUDGET if quick else BUDGET
        # Entries after the first ``base`` are written while measuring; warming up takes some of them.
        work = workload.build(2 * base + 4 * budget.samples)
        library.load(cache, work, 0, base)
        client = server.client(url)
        found = take_turns(
            {name: timed(call) for name, call in _writes(cache, client, server.client(url, db=1), work, base)}, budget
        )
        rows = [{"what": name, **summary(seconds)} for name, seconds in found.items()]
        rows += _churn(cache, work, base, QUICK_CHURN_S if quick else CHURN_S)
        described = machine.describe(url)
    return ExperimentResult(
        name="writes",
        question="What does a write cost, and what do look-ups cost meanwhile?",
        method=(
            f"Index of {base:,} entries, 50 scores per new entry, vectors given. Churn: one thread writes new entries "
            "without a pause, with a TTL of a quarter of the duration, another looks up; figures of the second half, "
            "when entries expire as fast as they come."
        ),
        parameters={"entries": base, "churn_s": QUICK_CHURN_S if quick else CHURN_S, "budget": budget},
        machine=described,
        rows=rows,
        seed=workload.SEED,
    )


def _writes(
    cache: RedisSemanticCache, client: redis.Redis, scanned: redis.Redis, work: Workload, base: int
) -> Iterator[tuple[str, Callable[[int], object]]]:
    fresh = iter(range(base, work.size))
    raw = iter(range(work.size))
    documents = [workload.documents(entry) for entry in range(100)]
    scores = workload.scores(0)

    def new(at: int) -> None:
        entry = next(fresh)
        vector = work.vectors[entry].astype(np.float32)
        assert cache.remember(work.texts[entry], documents[at % 100], scores, vector=vector)

    def more(at: int) -> None:
        text = work.texts[at % base]
        assert cache.remember(text, [f"{text} {at} {number}" for number in range(ADDED)], scores[:ADDED], vector=None)

    def plain(at: int) -> None:
        entry = next(raw)
        fields = {"embedding": work.vectors[entry].tobytes(), "created_at": 0}
        client.hset(library.KEYS.plain.vectors + b"{raw-%d}" % entry, mapping=fields)

    blob = b"\x01" + bytes(20 * workload.DOCUMENTS)
    scan = baseline.ScanCache(scanned, lambda text: work.vectors[0].astype(np.float32))
    results = baseline.results_of(0)
    yield "semcache remember, new entry", new
    yield f"semcache remember, {ADDED} more scores", more
    yield "limit: HSET of the indexed hash", plain
    yield "limit: SET of the same scores", lambda at: client.set(f"plain:{at}", blob)
    yield "scan-based cache set", lambda at: scan.set(work.texts[at], (), results)


def _churn(cache: RedisSemanticCache, work: Workload, base: int, duration_s: float) -> Iterator[dict[str, Any]]:
    """Look-ups alone, then beside a writer whose entries expire."""
    look_up = library.neighbours(cache, work, "semantic")
    yield {"what": "neighbours, no writer", **summary(_repeated(look_up, duration_s / 4))}
    stop, written = Event(), []
    writer = Thread(target=_write_until, args=(cache, work, base, duration_s * TTL_SHARE, stop, written))
    writer.start()
    _repeated(look_up, duration_s / 2)
    before, expired = len(written), _expired(cache)
    seconds = _repeated(look_up, duration_s / 2)
    rates = (len(written) - before) * 2 / duration_s, (_expired(cache) - expired) * 2 / duration_s
    stop.set()
    writer.join()
    yield {
        "what": "neighbours, beside a writer and expiry",
        **summary(seconds),
        "writes_per_s": rates[0],
        "expired_keys_per_s": rates[1],
    }
    yield {"what": "semcache remember, beside look-ups and expiry", **summary(np.array(written[before:]))}


def _repeated(call: Callable[[int], object], duration_s: float) -> Seconds:
    durations: list[float] = []
    end = perf_counter() + duration_s
    while (started := perf_counter()) < end:
        call(len(durations))
        durations.append(perf_counter() - started)
    return np.array(durations)


def _write_until(
    cache: RedisSemanticCache, work: Workload, base: int, ttl_s: float, stop: Event, written: list[float]
) -> None:
    rng = np.random.default_rng(workload.SEED)
    documents, scores = workload.documents(0), workload.scores(0)
    while not stop.is_set():
        entry = int(rng.integers(base, work.size))
        text = f"{work.texts[entry]} {len(written)}"
        vector = work.vectors[entry].astype(np.float32)
        started = perf_counter()
        cache.remember(text, documents, scores, vector=vector, ttl=ttl_s)
        written.append(perf_counter() - started)


def _expired(cache: RedisSemanticCache) -> int:
    return int(cache.backend.connection.client.info("stats")["expired_keys"])


def plot(result: ExperimentResult, path: Path) -> None:
    """p50 of every operation."""
    values = {row["what"]: row["p50_ms"] for row in result.rows}
    plots.bars(values, path, title="Writes, and look-ups beside them", x="p50, ms")


if __name__ == "__main__":
    experiment.main(measure, plot)
