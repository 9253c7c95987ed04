"""Does it show, in status or in time, that another tenant asked the same?"""

import random
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from threading import Event, Thread
from time import perf_counter, sleep

import numpy as np
from numpy.typing import NDArray

from benchmarks import experiment, library, machine, server, workload
from benchmarks.data import SEED, queries
from benchmarks.experiment import ExperimentResult, Target
from benchmarks.timing import Quantile
from benchmarks.vectors import extended, real
from benchmarks.workload import HELD_OUT, documents
from semcache import AsyncBatchReranker, CachedReranker, RedisSemanticCache
from semcache.commands.bench.measuring import Seconds
from semcache.commands.bootstrap import bounds
from semcache.entries.entry import NewScores
from semcache.protocols import FloatArray, Pair

SIZE, QUICK_SIZE = 20_000, 2_000
TENANTS = 10
"""They hold the entries that are there anyway; the one who asks is one of them."""
PROBES, QUICK_PROBES = 4_000, 400
ROUNDS = 8
"""A look-up remembers nothing, so that the same may be asked again."""
IN_FLIGHT, QUICK_IN_FLIGHT = 400, 60
SERVICE_S = 0.02
"""How long the scripted reranker takes for a call, where two tenants ask at once."""
BOUND = 0.02
"""Of 32,000 times the AUC of pure chance is within 0.006 of one half in 19 of 20 runs, of 400 within 0.056."""
ASKER, OTHER = "tenant 0", "another tenant"


class Scripted:
    """Scores by the length of the text; ``entered`` is set when a call begins, which then takes ``service_s``."""

    name, listwise = "scripted", False

    def __init__(self) -> None:
        self.service_s = 0.0
        self.entered = Event()

    def score(self, pairs: Sequence[Pair]) -> FloatArray:
        self.entered.set()
        if self.service_s:
            sleep(self.service_s)
        return np.array([len(text) for _, text in pairs], dtype=np.float32)


def measure(quick: bool) -> ExperimentResult:
    """Time requests of one tenant for queries that another tenant asked, and for queries that no tenant asked."""
    size, count = (QUICK_SIZE, QUICK_PROBES) if quick else (SIZE, PROBES)
    rows, targets = [], []
    rng = random.Random(SEED)
    model = Scripted()
    with ExitStack() as stack:
        url = stack.enter_context(server.started())
        cache = stack.enter_context(library.opened(url))
        batched = stack.enter_context(AsyncBatchReranker(model))
        reranker = CachedReranker(batched, cache)
        vectors = real(HELD_OUT)
        is_asked = [rng.random() < 0.5 for _ in range(HELD_OUT)]
        _fill(reranker.cache, size, [at for at in range(HELD_OUT) if is_asked[at]])
        order = [at for _ in range(ROUNDS) for at in rng.sample(range(HELD_OUT), count)]
        ask = partial(_look_up, reranker.cache, vectors)
        rows.append(_compared("a look-up", order, is_asked, ask))
        count = QUICK_IN_FLIGHT if quick else IN_FLIGHT
        rows.append(_in_flight("in flight", reranker, model, OTHER, count, rng))
        control = _in_flight("in flight, by the same tenant", reranker, model, ASKER, count // 4, rng)
        described = machine.describe(url)
    for row in rows:
        auc = Quantile(row["auc"], row["low"], row["high"])
        bound = BOUND if row["n"] > 10_000 else 4 * BOUND
        targets.append(Target(f"{row['what']}: AUC", auc, at_most=0.5 + bound))
        targets.append(Target(f"{row['what']}: AUC", auc, at_least=0.5 - bound))
        targets.append(Target(f"{row['what']}: other statuses", Quantile(row["other_statuses"], 0, 0), at_most=0))
    return ExperimentResult(
        name="isolation",
        question="Does it show that another tenant asked the same?",
        method=(
            "A tenant asks real queries that it never asked. Of each a coin says whether another tenant asked exactly "
            "this query before, about the same passages. AUC: the share of pairs, one query of either kind, of which "
            "the one that was asked before takes longer; 0.5 says that time tells nothing. Interval by bootstrap. In "
            "flight: another tenant's request is in the reranker, one call at a time, while the tenant asks the same "
            "or something else; by the same tenant, equal requests share a call, and the time tells it. "
            "other_statuses: queries that were asked before and were answered by another status than the others."
        ),
        parameters={"entries": size, "tenants": TENANTS, "service_s in flight": SERVICE_S},
        machine=described,
        rows=[*rows, control],
        targets=targets,
        seed=SEED,
    )


def _fill(cache: RedisSemanticCache, size: int, asked: Sequence[int]) -> None:
    """Entries of many tenants, and those of the other tenant: queries that the asking tenant will ask."""
    stored, held_out = extended(HELD_OUT, HELD_OUT + size, SEED), real(HELD_OUT)
    for tenant in range(TENANTS):
        mine = range(tenant, size, TENANTS)
        _remember(cache, f"tenant {tenant}", [_entry(HELD_OUT + at, stored[at]) for at in mine])
    _remember(cache, OTHER, [_entry(at, held_out[at]) for at in asked])


def _entry(at: int, vector: NDArray[np.float16]) -> NewScores:
    return NewScores(queries()[at], vector.astype(np.float32), workload.packed(at))


def _remember(cache: RedisSemanticCache, tenant: str, entries: Sequence[NewScores]) -> None:
    for first in range(0, len(entries), 200):
        assert all(cache.store.remember_many(tenant, entries[first : first + 200]))


def _look_up(cache: RedisSemanticCache, vectors: NDArray[np.float16], at: int) -> object:
    return cache.lookup(queries()[at], documents(at), vector=vectors[at].astype(np.float32), tenant=ASKER).status


def _compared(
    name: str, probes: Sequence[int], is_asked: Sequence[bool], ask: Callable[[int], object]
) -> dict[str, float | str]:
    times: dict[bool, list[float]] = {True: [], False: []}
    statuses: dict[bool, Counter[str]] = {True: Counter(), False: Counter()}
    for at in probes:
        started = perf_counter()
        status = ask(at)
        times[is_asked[at]].append(perf_counter() - started)
        statuses[is_asked[at]][str(status)] += 1
    return _row(name, times, statuses)


def _row(name: str, times: dict[bool, list[float]], statuses: dict[bool, Counter[str]]) -> dict[str, float | str]:
    asked, new = np.array(times[True]), np.array(times[False])
    value, low, high = auc(asked, new)
    return {
        "what": name,
        "n": len(asked) + len(new),
        "auc": value,
        "low": low,
        "high": high,
        "asked_p50_ms": float(np.median(asked)) * 1000,
        "new_p50_ms": float(np.median(new)) * 1000,
        "other_statuses": sum(count for status, count in statuses[True].items() if not statuses[False][status]),
    }


def _in_flight(
    name: str, reranker: CachedReranker, model: Scripted, other: str, count: int, rng: random.Random
) -> dict[str, float | str]:
    """While the other tenant's call is under way, the same or something else is asked."""
    times: dict[bool, list[float]] = {True: [], False: []}
    statuses: dict[bool, Counter[str]] = {True: Counter(), False: Counter()}
    model.service_s = SERVICE_S
    texts = ["a passage", "another passage", "a third passage"]
    for number in range(count):
        is_same = rng.random() < 0.5
        query = f"{name} {number}"
        model.entered.clear()
        first = Thread(target=_ask, args=(reranker, query if is_same else f"{query} else", texts, other))
        first.start()
        model.entered.wait()
        started = perf_counter()
        status = _ask(reranker, query, texts, ASKER)
        times[is_same].append(perf_counter() - started)
        statuses[is_same][status] += 1
        first.join()
    return _row(name, times, statuses)


def _ask(reranker: CachedReranker, query: str, texts: list[str], tenant: str) -> str:
    return str(reranker.rerank(query, texts, 3, tenant=tenant).status)


def auc(one: Seconds, other: Seconds) -> tuple[float, float, float]:
    """The probability that a value of ``one`` is larger than one of ``other``, with its 95 % interval by bootstrap."""
    rng = np.random.default_rng(SEED)
    drawn = [_auc(rng.choice(one, len(one)), rng.choice(other, len(other))) for _ in range(500)]
    return (_auc(one, other), *bounds(np.array(drawn)))


def _auc(one: Seconds, other: Seconds) -> float:
    ordered = np.sort(other)
    below, up_to = np.searchsorted(ordered, one, "left"), np.searchsorted(ordered, one, "right")
    return float((below + up_to).mean() / 2 / len(other))


if __name__ == "__main__":
    experiment.main(measure)
