"""What does a Redis Cluster cost a look-up, and how soon is the cache back when the cluster changes?"""

import asyncio
import os
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from math import floor
from time import monotonic, perf_counter, sleep, thread_time
from typing import Any

from benchmarks import experiment, library, machine, server, workload
from benchmarks.experiment import ExperimentResult, Target
from benchmarks.timing import Quantile, ratio, summary, timed
from benchmarks.workload import Workload
from semcache import EmbeddedRedis, RedisSemanticCache
from semcache.commands.bench.measuring import Budget, Seconds, take_turns
from semcache.redis.cluster.topology import Node, slot_of
from semcache.redis.damage import read_scores
from semcache.redis.search import knn_command
from semcache.redis.sizes import ef_for
from tests.redis.cluster.surgery import Cluster, Traffic

SIZE, QUICK_SIZE = 30_000, 600
BUDGET, QUICK_BUDGET = Budget(samples=2000, limit_s=30), Budget(samples=150, limit_s=3)
KINDS = ("exact", "semantic", "miss")
SHARDS = 3
AT_MOST = 1.6
BACK_WITHIN_S = 10.0
_K = 4
_AFTER_S, _QUICK_AFTER_S = 20.0, 8.0
"""How long traffic goes on after a change."""


def measure(quick: bool) -> ExperimentResult:
    """Measure look-ups on three shards against one server, and changes of a cluster under traffic."""
    size, budget = (QUICK_SIZE, QUICK_BUDGET) if quick else (SIZE, BUDGET)
    timings: dict[tuple[str, str], Seconds] = {}
    with ExitStack() as stack:
        urls = dict(zip(("one server", "three shards"), servers_over_tcp(stack), strict=True))
        caches = {name: stack.enter_context(library.opened(url)) for name, url in urls.items()}
        work = workload.build(size)
        for cache in caches.values():
            library.load(cache, work, 0, size)
        for kind in KINDS:
            sides = {name: timed(library.LookUp(cache, work, kind)) for name, cache in caches.items()}
            timings |= {(kind, side): seconds for side, seconds in take_turns(sides, budget).items()}
        profile = take_turns(_parts_of_look_ups(caches, work), budget)
        spent = [row for kind in KINDS for row in _spent(caches, work, kind, budget.samples)]
        described = machine.describe(urls["one server"])
    changes = list(_changes(_QUICK_AFTER_S if quick else _AFTER_S))
    return ExperimentResult(
        name="cluster",
        question="What does a Redis Cluster cost a look-up, and how soon is the cache back when it changes?",
        method=(
            f"The same {size:,} entries (real queries, all-MiniLM-L6-v2) on one server and on a cluster of {SHARDS} "
            "shards, both over TCP on this machine, so that the shards share its cores with each other and with the "
            "client: on machines of their own they would search at the same time. The same probes, blocks alternate "
            "A B B A. Changes: two threads and two tasks ask about 60 topics in ever new words, and every answer is "
            "compared with the right ranking, while slots move, a primary is killed, and a shard is lost without a "
            "replica. The nodes take a silent one for lost after 1 s."
        ),
        parameters={"entries": size, "shards": SHARDS, "budget": budget, "neighbours": _K},
        machine=described,
        rows=[{"kind": kind, "side": side, **summary(seconds)} for (kind, side), seconds in timings.items()],
        targets=[
            Target(
                f"{kind}: p50 on three shards / on one server",
                ratio(timings[kind, "three shards"], timings[kind, "one server"]),
                at_most=AT_MOST,
            )
            for kind in KINDS
        ]
        + _targets_of(changes),
        notes=[
            "Processor time of the client is that of the thread that asks, with the system's part of sending and "
            "receiving; that of the servers is what all nodes count themselves. Where both together are more than half "
            f"of what {os.cpu_count()} cores have in that time, nodes wait for a core, not for each other's replies.",
        ],
        more={
            "What a look-up spends": spent,
            "Where the time of a semantic look-up goes": [
                {"part": part, **{name: value for name, value in summary(seconds).items() if not name.endswith("99")}}
                for part, seconds in profile.items()
            ],
            "Changes under traffic": changes,
        },
        seed=workload.SEED,
    )


def _targets_of(changes: Sequence[dict[str, Any]]) -> list[Target]:
    """Changes of a cluster cost no request, no ranking, and hits for a while alone."""
    harmed = float(sum(row["failed"] + row["wrong"] for row in changes))
    back_s = float(max(row["back_s"] for row in changes if row["back_s"] is not None))
    return [
        Target("changes: requests that failed or were ranked wrongly", Quantile(harmed, harmed, harmed), at_most=0),
        Target(
            "changes: seconds until the share of hits is back", Quantile(back_s, back_s, back_s), at_most=BACK_WITHIN_S
        ),
    ]


def _spent(caches: Mapping[str, RedisSemanticCache], work: Workload, kind: str, count: int) -> Iterator[dict[str, Any]]:
    """Wall-clock and processor time per look-up, in milliseconds, of threads and of event loops."""
    for side, cache in caches.items():
        look_up = library.LookUp(cache, work, kind)

        def by_thread(look_up: library.LookUp = look_up) -> None:
            for at in range(count):
                look_up(at)

        async def by_loop(look_up: library.LookUp = look_up, cache: RedisSemanticCache = cache) -> None:
            for at in range(count):
                await look_up.awaited(at)
            await cache.backend.connection.aclose()

        for caller, run in (("thread", by_thread), ("event loop", lambda run=by_loop: asyncio.run(run()))):
            servers, client, began = _server_cpu_s(cache), thread_time(), perf_counter()
            run()
            spent = perf_counter() - began, thread_time() - client, _server_cpu_s(cache) - servers
            names = ("wall_ms", "client_cpu_ms", "servers_cpu_ms")
            yield {"kind": kind, "side": side, "caller": caller} | {
                name: 1000 * seconds / count for name, seconds in zip(names, spent, strict=True)
            }


def _server_cpu_s(cache: RedisSemanticCache) -> float:
    """Processor time of all nodes since they were started."""
    used = [node.client.info("cpu") for node in cache.backend.connection.nodes]
    return sum(float(one["used_cpu_sys"]) + float(one["used_cpu_user"]) for one in used)


def servers_over_tcp(stack: ExitStack) -> Iterator[str]:
    """The urls of one server and of a cluster, both over TCP on this machine."""
    one = stack.enter_context(server.started())
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server.client(one).config_set("port", port)
    yield f"redis://127.0.0.1:{port}"
    yield stack.enter_context(EmbeddedRedis(cluster=SHARDS)).url


def _parts_of_look_ups(caches: Any, work: Workload) -> dict[str, Any]:
    """The bare parts of a look-up by meaning on the cluster, as commands that were made beforehand."""
    cluster = caches["three shards"].backend.connection
    topology, nodes = cluster.topology, cluster.nodes
    index = library.KEYS.plain.index
    knn = knn_command(index, _K, "float16", work.vectors.shape[1], is_named=False, ef=ef_for(work.size), policy=None)
    searches = []
    for probe in work.probes["semantic"]:
        name, _, *rest = knn.near("", probe.astype("float16").tobytes())
        at = rest.index("RETURN")
        short = (*rest[:at], "RETURN", 1, "vector_distance", *rest[at + 2 + int(rest[at + 1]) :])
        searches.append([(name, topology.index_on(node, index), *short) for node in topology.tags])

    def search(count: int) -> Callable[[int], object]:
        def operation(at: int) -> object:
            several = searches[at % len(searches)][:count]
            sent = [node.begin([command], None) for node, command in zip(nodes, several, strict=False)]
            return [finish() for finish in sent]

        return operation

    def read(at: int) -> object:
        texts = [work.probe_texts["exact"][(at + offset) % len(work.probe_texts["exact"])] for offset in range(_K)]
        asked: dict[Node, list[Any]] = {}
        for text in texts:
            key = library.KEYS.scores("", text)
            asked.setdefault(topology.owners[slot_of(key)], []).append((key, library.KEYS.vector("", text)))
        sent = [
            node.begin([*(read_scores(scores) for scores, _ in keys), *(("HGETALL", hash_) for _, hash_ in keys)], None)
            for node, keys in ((nodes[list(topology.tags).index(owner)], keys) for owner, keys in asked.items())
        ]
        return [finish() for finish in sent]

    return {
        "whole look-up on three shards": timed(library.LookUp(caches["three shards"], work, "semantic")),
        "neighbours alone on three shards": timed(library.neighbours(caches["three shards"], work, "semantic")),
        "neighbours alone on one server": timed(library.neighbours(caches["one server"], work, "semantic")),
        "searches of all three shards at once, bare": timed(search(SHARDS)),
        "search of one shard, bare": timed(search(1)),
        "scores and hashes of four entries, bare": timed(read),
    }


def _changes(after_s: float) -> Iterator[dict[str, Any]]:
    with EmbeddedRedis(cluster=SHARDS, replicas=1) as cluster:
        surgery = Cluster(cluster)

        def move(traffic: Traffic) -> None:
            topology = traffic.reranker.cache.backend.connection.topology
            assert topology is not None
            source, target, *_ = topology.tags
            # A tenth of a shard, from its end, where the slot of the name of its index is.
            surgery.move(surgery.slots()[source][-550:], source, target)

        def kill(traffic: Traffic) -> None:
            surgery.wait_for_replicas()
            surgery.kill(surgery.first)

        def lose(traffic: Traffic) -> None:
            surgery.kill(surgery.without_replica())

        for name, change, comes_back in (
            ("550 slots move, that of an index among them", move, True),
            ("a primary is killed, its replica takes over", kill, True),
            ("a shard is lost without a replica", lose, False),
        ):
            with Traffic(surgery.url).running() as traffic:
                traffic.warm()
                sleep(3)
                began = monotonic()
                change(traffic)
                took_s = monotonic() - began
                sleep(after_s)
            yield _row(name, traffic, began, took_s, comes_back=comes_back)


def _row(name: str, traffic: Traffic, began: float, took_s: float, *, comes_back: bool) -> dict[str, Any]:
    hits: dict[int, list[bool]] = {}
    for at, status in traffic.served:
        hits.setdefault(floor(at - began), []).append(status in ("exact", "semantic"))
    # The last second is not whole.
    shares = {second: sum(found) / len(found) for second, found in sorted(hits.items())[:-1]}
    before = sum(shares[second] for second in (-2, -1)) / 2
    after = {second: share for second, share in shares.items() if second >= 0}
    return {
        "change": name,
        "requests": len(traffic.served),
        "failed": len(traffic.errors),
        "wrong": len(traffic.wrong),
        "change_took_s": round(took_s, 2),
        "hits_before": round(before, 3),
        "hits_in_the_worst_second": round(min(after.values()), 3),
        "hits_in_the_last_seconds": round(sum(list(after.values())[-3:]) / 3, 3),
        "back_s": max((second + 1 for second, share in after.items() if share < 0.95 * before), default=0)
        if comes_back
        else None,
    }


if __name__ == "__main__":
    experiment.main(measure)
