"""How many hits per second do concurrent callers get, against bare GETs?"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import redis.asyncio

from benchmarks import experiment, library, limits, machine, plots, server, workload
from benchmarks.experiment import ExperimentResult, Target
from benchmarks.timing import quantile
from benchmarks.workload import Workload
from semcache import RedisSemanticCache
from semcache.commands.bench.measuring import Seconds

SIZE = 10_000
QUICK_SIZE = 1_000
CALLERS = (1, 8, 32)
ROUNDS = 8
ROUND_S = 3.0
QUICK_ROUNDS, QUICK_ROUND_S = 2, 0.5
GET, HIT, SEMANTIC = "limit: GET", "semcache, exact hits", "semcache, semantic hits"

Round = Callable[[int, float], tuple[float, Seconds]]
"""(number of callers, duration in seconds) -> operations per second, and the duration of each operation."""


def measure(quick: bool) -> ExperimentResult:
    """Measure operations per second and latency by number of callers, as threads and as tasks of one event loop."""
    rounds, round_s = (QUICK_ROUNDS, QUICK_ROUND_S) if quick else (ROUNDS, ROUND_S)
    rates: dict[tuple[str, int, str], list[float]] = {}
    latencies: dict[tuple[str, int, str], list[Seconds]] = {}
    with ExitStack() as stack:
        url = stack.enter_context(server.started())
        cache = stack.enter_context(library.opened(url))
        work = workload.build(QUICK_SIZE if quick else SIZE)
        library.load(cache, work, 0, work.size)
        sides = dict(sides_of(url, cache, work))
        for callers in CALLERS:
            for at in range(rounds):
                for mode, side in list(sides)[:: 1 if at % 2 == 0 else -1]:
                    rate, seconds = sides[mode, side](callers, round_s)
                    rates.setdefault((mode, callers, side), []).append(rate)
                    latencies.setdefault((mode, callers, side), []).append(seconds)
        described = machine.describe(url)
    return ExperimentResult(
        name="throughput",
        question="How many hits per second do concurrent callers get?",
        method=(
            f"{rounds} rounds of {round_s:g} s per side, alternating A B B A. Threads share one client, tasks one "
            "event loop. GET reads the same bytes with redis-py. Callers, sides and server share the machine's cores."
        ),
        parameters={"entries": work.size, "documents": workload.DOCUMENTS, "rounds": rounds, "round_s": round_s},
        machine=described,
        rows=[_row(*key, np.array(rates[key]), np.concatenate(latencies[key])) for key in rates],
        targets=[_share(rates, "tasks", 32, 0.6)],
        seed=workload.SEED,
    )


def _row(mode: str, callers: int, side: str, rates: Seconds, seconds: Seconds) -> dict[str, Any]:
    rate = quantile(rates, 0.5)
    return {
        "mode": mode,
        "callers": callers,
        "side": side,
        "per_s": rate.value,
        "per_s_low": rate.low,
        "per_s_high": rate.high,
        "p50_ms": float(np.quantile(seconds, 0.5)) * 1000,
        "p99_ms": float(np.quantile(seconds, 0.99)) * 1000,
    }


def _share(rates: dict[tuple[str, int, str], list[float]], mode: str, callers: int, bound: float) -> Target:
    ours, theirs = np.array(rates[mode, callers, HIT]), np.array(rates[mode, callers, GET])
    share = quantile(ours / theirs, 0.5)  # of rounds that followed each other
    what = f"exact hits per second / GETs per second, {callers} {mode}"
    return Target(what, share, at_least=bound)


def sides_of(url: str, cache: RedisSemanticCache, work: Workload) -> Iterator[tuple[tuple[str, str], Round]]:
    """All sides by (mode, name)."""
    get = limits.get(server.client(url), work)
    yield ("threads", GET), _threads(get)
    yield ("threads", HIT), _threads(library.LookUp(cache, work, "exact"))
    yield ("threads", SEMANTIC), _threads(library.LookUp(cache, work, "semantic"))
    yield ("tasks", GET), _tasks(lambda: _raw(url, work))
    yield ("tasks", HIT), _tasks(lambda: _lookups(cache, work, "exact"))
    yield ("tasks", SEMANTIC), _tasks(lambda: _lookups(cache, work, "semantic"))


def _threads(call: Callable[[int], object]) -> Round:
    def one_round(callers: int, duration_s: float) -> tuple[float, Seconds]:
        durations: list[float] = []
        end = perf_counter() + duration_s
        started = perf_counter()
        with ThreadPoolExecutor(callers) as pool:
            for done in [pool.submit(_until, call, end, first * 1009, durations) for first in range(callers)]:
                done.result()
        return len(durations) / (perf_counter() - started), np.array(durations)

    return one_round


def _until(call: Callable[[int], object], end: float, at: int, durations: list[float]) -> None:
    while (started := perf_counter()) < end:
        call(at)
        durations.append(perf_counter() - started)
        at += 1


Opened = tuple[Callable[[int], Awaitable[object]], Callable[[], Awaitable[object]]]
"""An operation, and the function that closes its connections."""


def _raw(url: str, work: Workload) -> Opened:
    client = redis.asyncio.Redis.from_url(url, protocol=2)
    keys = limits.score_keys(work)
    return (lambda at: client.get(keys[at % len(keys)])), client.aclose


def _lookups(cache: RedisSemanticCache, work: Workload, kind: str) -> Opened:
    look_up = library.LookUp(cache, work, kind)
    return look_up.awaited, cache.backend.connection.aclose


def _tasks(opened: Callable[[], Opened]) -> Round:
    def one_round(callers: int, duration_s: float) -> tuple[float, Seconds]:
        return asyncio.run(_together(opened, callers, duration_s))

    return one_round


async def _together(opened: Callable[[], Opened], callers: int, duration_s: float) -> tuple[float, Seconds]:
    call, close = opened()
    durations: list[float] = []
    await asyncio.gather(*(call(at) for at in range(callers)))  # opens the connections
    started = perf_counter()
    end = started + duration_s
    await asyncio.gather(*(_auntil(call, end, first * 1009, durations) for first in range(callers)))
    rate = len(durations) / (perf_counter() - started)
    await close()
    return rate, np.array(durations)


async def _auntil(call: Callable[[int], Awaitable[object]], end: float, at: int, durations: list[float]) -> None:
    while (started := perf_counter()) < end:
        await call(at)
        durations.append(perf_counter() - started)
        at += 1


def plot(result: ExperimentResult, path: Path) -> None:
    """Operations per second by callers, one line per side."""
    series: dict[str, list[tuple[float, float]]] = {}
    for row in result.rows:
        series.setdefault(f"{row['mode']}: {row['side']}", []).append((row["callers"], row["per_s"]))
    plots.growth(series, path, title="Concurrent callers", x="callers", y="operations per second", log_y=False)


if __name__ == "__main__":
    experiment.main(measure, plot)
