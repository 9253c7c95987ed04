"""Do many processes over one cache compute the same several times, or lose each other's scores?"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from itertools import count
from time import perf_counter, process_time
from typing import Any

import numpy as np
import redis

from benchmarks import experiment, library, machine, server, workload
from benchmarks.experiment import ExperimentResult, Target
from benchmarks.timing import Quantile
from benchmarks.workers_jobs import DOCUMENTS, Asked, Model, Setup, ask, start, stop
from benchmarks.workload import Workload
from semcache import CachedReranker, EmbeddedRedis, RedisSemanticCache
from semcache.protocols import FloatArray
from semcache.redis.client.connection import RedisConnection
from semcache.settings import Settings
from tests.workers import jobs
from tests.workers.crew import Crew
from tests.workers.jobs import Appends

WORKERS = 8
APPENDS, QUICK_APPENDS = 100_000, 4_000
ENTRIES, QUICK_ENTRIES = 200, 20
ROUNDS, QUICK_ROUNDS = 20, 3
SLOW_ROUNDS = 5
SERVICE_S = 0.3
"""How long the scripted model takes for a call: as a cross-encoder does for fifty short passages on two cores."""
SLOW_S = 4.0
"""How long a large model on a processor takes for them."""
LEASE_S = 1.0
SIZE, QUICK_SIZE = 5_000, 500
BLOCKS, QUICK_BLOCKS = 40, 4
_PER_BLOCK = 100
MOST_COSTS = {"exact": 1.02, "semantic": 1.05, "miss": 1.1}
"""Processor time of client and server together, with a lease as a multiple of that without."""
MOST_COMPUTATIONS = 2
PATIENCE_S = 600.0
"""A process that takes longer has failed."""


def measure(quick: bool) -> ExperimentResult:
    """Let eight processes ask the same at once, kill one, add to the same entries, and time what a lease costs."""
    rounds = QUICK_ROUNDS if quick else ROUNDS
    with ExitStack() as stack:
        url = stack.enter_context(server.started())
        crew = stack.enter_context(closing(Crew(WORKERS, PATIENCE_S)))
        hot = [row for is_service in (False, True) for row in _hot(crew, url, rounds, is_service=is_service)]
        # Longer than a lease lives, and than others wait for one that is not renewed.
        slow = list(_hot(crew, url, 1 if quick else SLOW_ROUNDS, is_service=True, model_s=SLOW_S))
        killed = _killed(crew, url)
        shards = stack.enter_context(EmbeddedRedis(cluster=3))
        appends = [
            _appended(crew, where, at, quick) for where, at in (("one server", url), ("three shards", shards.url))
        ]
        costs = _costs(stack, url, quick)
        described = machine.describe(url)
    with_lease = [row for row in (*hot, *slow) if row["lease_s"]]
    return ExperimentResult(
        name="workers",
        question="Do many processes over one cache compute the same several times, or lose each other's scores?",
        method=(
            f"{WORKERS} processes on this machine ask the same new query with {len(DOCUMENTS)} passages at once, "
            f"{rounds} times, with a model that takes {SERVICE_S} s: of the processor ('local', so that processes "
            f"hold each other up), or as a service; and one that takes {SLOW_S:g} s, more than a lease lives. Killed: "
            "the process that computes dies by SIGKILL while the others wait. Appends: the processes add one to three "
            "scores of their own, and one that all of them add, to the same entries, as fast as they can, while small "
            "blocks are made one; then every score is read back. Costs: processor time of whole requests over entries "
            "with real vectors, of the process that asks and of the server's main thread, with a model that takes no "
            "time; blocks alternate A B B A."
        ),
        parameters={"workers": WORKERS, "rounds": rounds, "model_s": SERVICE_S, "lease_s": LEASE_S},
        machine=described,
        rows=[*hot, *slow],
        targets=[
            Target(
                f"{row['model']}, {row['model_s']:g} s: most computations of a query, with a lease",
                Quantile(row["most_computations"], row["most_computations"], row["most_computations"]),
                at_most=MOST_COMPUTATIONS,
            )
            for row in with_lease
        ]
        + [
            Target(f"{row['where']}: scores lost", Quantile(row["lost"], row["lost"], row["lost"]), at_most=0)
            for row in appends
        ]
        + [
            Target(f"{kind}: processor time with / without a lease", _ratio(costs, kind), at_most=bound)
            for kind, bound in MOST_COSTS.items()
        ],
        more={
            "A process that is killed while it computes": [killed],
            "Scores added by all processes to the same entries": appends,
            "What a lease costs a request": costs,
        },
        seed=workload.SEED,
    )


def _ratio(costs: Sequence[Mapping[str, Any]], kind: str) -> Quantile:
    spent = {row["lease_s"]: row["client_us"] + row["server_us"] for row in costs if row["kind"] == kind}
    value = spent[LEASE_S] / spent[0.0]
    return Quantile(value, value, value)


def _hot(
    crew: Crew, url: str, rounds: int, *, is_service: bool, model_s: float = SERVICE_S
) -> Iterator[dict[str, Any]]:
    """All processes ask the same new query at once, without a lease and with one."""
    for lease_s in (0.0, LEASE_S):
        setup = Setup(url, f"hot-{is_service:d}-{model_s:g}-{lease_s:g}", model_s, is_service, lease_s)
        crew.do(start, [(setup,)] * WORKERS)
        asked: list[list[Asked]] = []
        last: list[float] = []
        for number in range(rounds):
            # Their letters differ in sum, so the embedder puts none near another: verifying takes several rounds.
            began = perf_counter()
            asked.append(crew.do(ask, [(setup, f"hot{chr(ord('a') + number)}")] * WORKERS))
            last.append(perf_counter() - began)
        crew.do(stop, [(setup,)] * WORKERS)
        computations = np.array([sum(one.calls for one in of_round) for of_round in asked])
        yield {
            "model": "service" if is_service else "local",
            "model_s": model_s,
            "lease_s": lease_s,
            "most_computations": int(computations.max()),
            "mean_computations": float(computations.mean()),
            "last_answer_p50_s": float(np.median(last)),
            "last_answer_max_s": max(last),
            "statuses": _counted(one.status for of_round in asked for one in of_round),
            "waits": _counted(one.waited for of_round in asked for one in of_round if one.waited),
        }


def _counted(words: Iterator[str]) -> str:
    return ", ".join(f"{count} {word}" for word, count in Counter(words).most_common())


def _killed(crew: Crew, url: str) -> dict[str, Any]:
    """The process that computes is killed; how long the others take then, and how often they compute."""
    setup = Setup(url, "killed", SERVICE_S, True, LEASE_S)
    slow = setup._replace(seconds=60.0)
    first, *others = crew.workers
    first.begin(start, slow)
    first.result()
    for worker in others:
        worker.begin(start, setup)
    for worker in others:
        worker.result()
    first.begin(ask, slow, "a query of the one that dies")
    with RedisConnection(url, timeout_s=5) as connection:
        while not connection.client.keys("semcache:killed:*:c:*"):
            pass
    began = perf_counter()
    for worker in others:
        worker.begin(ask, setup, "a query of the one that dies")
    crew.replace(first)
    asked = [worker.result() for worker in others]
    took_s = perf_counter() - began
    for worker in others:
        worker.begin(stop, setup)
    for worker in others:
        worker.result()
    return {
        "lease_s": LEASE_S,
        "model_s": SERVICE_S,
        "computations of the others": sum(one.calls for one in asked),
        "last_answer_s": took_s,
        "waits": _counted(one.waited for one in asked if one.waited),
    }


def _appended(crew: Crew, where: str, url: str, quick: bool) -> dict[str, Any]:
    """Scores that all processes add to the same entries at once, and how many of them are lost."""
    writes = (QUICK_APPENDS if quick else APPENDS) // WORKERS
    what = Appends(url, "appends", writes, QUICK_ENTRIES if quick else ENTRIES)
    began = perf_counter()
    failures = [one for of_worker in crew.do(jobs.append, [(what, at) for at in range(WORKERS)]) for one in of_worker]
    took_s = perf_counter() - began
    expected: dict[str, dict[bytes, float]] = {}
    for number in range(writes):
        for worker in range(WORKERS):
            expected.setdefault(jobs.entry_of(what, number), {}).update(jobs.written(worker, number))
    lost = 0
    with RedisConnection(url, timeout_s=10) as connection:
        store = jobs.store_of(connection, what)
        for query, scores in expected.items():
            known = dict(store.read_exact("", query) or {})
            lost += sum(known.get(document) != score for document, score in scores.items())
    return {
        "where": where,
        "appends": writes * WORKERS,
        "entries": what.entries,
        "scores": sum(map(len, expected.values())),
        "lost": lost,
        "failures": len(failures),
        "appends_per_s": writes * WORKERS / took_s,
    }


class _Given:
    """Vectors by text; other texts have one of their own."""

    name, dims = "given by text", 384

    def __init__(self) -> None:
        self.vectors: dict[str, FloatArray] = {}

    def embed(self, texts: Sequence[str]) -> FloatArray:
        return np.array([self._of(text) for text in texts], dtype=np.float32)

    def _of(self, text: str) -> FloatArray:
        # What follows a line break makes a query another one.
        known = self.vectors.get(text.partition("\n")[0])
        if known is not None:
            return known
        drawn = np.random.default_rng(list(text.encode())).standard_normal(self.dims)
        return (drawn / np.linalg.norm(drawn)).astype(np.float32)


def _costs(stack: ExitStack, url: str, quick: bool) -> list[dict[str, Any]]:
    """What whole requests cost with a lease and without, where the model takes no time."""
    size, blocks = (QUICK_SIZE, QUICK_BLOCKS) if quick else (SIZE, BLOCKS)
    work = workload.build(size)
    sides: dict[float, _Requests] = {}
    for lease_s in (0.0, LEASE_S):
        embedder = _Given()
        settings = Settings(
            redis={"budget_s": 5.0},
            cache={"namespace": f"costs-{lease_s:g}", "lease_s": lease_s},
            reuse={"audit_rate": 0.0, "guard": "off", "trust_threshold": workload.THRESHOLD},
            prune={"mode": "off"},
        )
        cache = stack.enter_context(RedisSemanticCache(url, embedder, ttl=None, settings=settings))
        reranker = CachedReranker(Model(0.0, is_service=True), cache)
        library.load(reranker.cache, work, 0, size)
        sides[lease_s] = _Requests(reranker, embedder, work)
    client = server.client(url)
    rows: list[dict[str, Any]] = []
    for kind, lease_s, spent in _in_turns(sides, client, blocks):
        others = sides[lease_s].unexpected()
        assert sum(others.values()) <= _MISSED * _PER_BLOCK * blocks, f"{kind}, {lease_s}: {others}"
        rows.append({"kind": kind, "lease_s": lease_s, "requests": _PER_BLOCK * blocks, **spent})
    return rows


def _in_turns(
    sides: Mapping[float, "_Requests"], client: redis.Redis, blocks: int
) -> Iterator[tuple[str, float, dict[str, float]]]:
    """Processor time per request in microseconds, medians of blocks that alternate A B B A: of client and server."""
    for kind in _EXPECTED:
        spent: dict[float, list[tuple[float, float]]] = {lease_s: [] for lease_s in sides}
        for block in range(blocks):
            for lease_s in sorted(sides, reverse=bool(block % 2)):
                ours, theirs = process_time(), _server_s(client)
                for at in range(block * _PER_BLOCK, (block + 1) * _PER_BLOCK):
                    sides[lease_s].ask(kind, at)
                spent[lease_s].append((process_time() - ours, _server_s(client) - theirs))
        for lease_s, seconds in spent.items():
            ours, theirs = (float(1e6 * part / _PER_BLOCK) for part in np.median(seconds, axis=0))
            yield kind, lease_s, {"client_us": ours, "server_us": theirs}


def _server_s(client: redis.Redis) -> float:
    """The processor time that the server's main thread has used so far."""
    used = client.info("cpu")
    return float(used["used_cpu_user_main_thread"]) + float(used["used_cpu_sys_main_thread"])


_EXPECTED = {"exact": "exact", "semantic": "semantic", "miss": "fresh"}
_MISSED = 0.02
"""A graph may miss a near entry."""


class _Requests:
    """Requests of one kind after the other; counts answers with another status than they should have."""

    def __init__(self, reranker: CachedReranker, embedder: _Given, work: Workload) -> None:
        self._reranker = reranker
        self._work = work
        self._numbers = count()
        embedder.vectors |= dict(zip(work.probe_texts["semantic"], work.probes["semantic"], strict=True))
        self._others: Counter[str] = Counter()

    def ask(self, kind: str, at: int) -> None:
        """One request."""
        probes = "exact" if kind == "exact" else "semantic"
        number = self._work.number(probes, at)
        text = self._work.probe_texts[probes][number]
        documents = workload.documents(int(self._work.targets[probes][number]))
        if kind == "semantic":
            text = f"{text}\n{next(self._numbers)}"
        elif kind == "miss":
            text = f"a new query {next(self._numbers)}"
        status = self._reranker.rerank(text, documents, 10).status
        if status.value != _EXPECTED[kind]:
            self._others[status.value] += 1

    def unexpected(self) -> Counter[str]:
        """The other statuses since the last call."""
        others, self._others = self._others, Counter()
        return others


if __name__ == "__main__":
    experiment.main(measure)
