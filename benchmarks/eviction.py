"""What happens under each eviction policy when Redis has room for a quarter of what is asked?"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import redis

from benchmarks import experiment, machine, plots, server, vectors, workload
from benchmarks.experiment import ExperimentResult
from semcache.entries.fingerprint import document_fingerprint
from semcache.errors import TransientStoreError
from semcache.redis.client.connection import RedisConnection
from semcache.redis.keys import KeySpace
from semcache.redis.memory import Contents, footprint
from semcache.redis.store import RedisStore

POLICIES = (
    "allkeys-lru",
    "allkeys-lfu",
    "allkeys-random",
    "volatile-lru",
    "volatile-lfu",
    "volatile-random",
    "volatile-ttl",
    "noeviction",
)
QUERIES, ROOM, REQUESTS = 8000, 2000, 30_000
QUICK_REQUESTS = 2500
SKEW = 0.8
"""Exponent of Zipf's law, by which the queries are drawn: the k-th has a share in proportion to k ** -0.8."""
K = 4
_MADE = KeySpace.of("full", "r", "given")


def measure(quick: bool) -> ExperimentResult:
    """Ask queries of which a few are asked often, on servers that have room for a quarter of them."""
    requests = QUICK_REQUESTS if quick else REQUESTS
    rows = []
    for policy in POLICIES:
        with server.started() as url:
            rows.append({"policy": policy, **_asked(url, policy, requests)})
            described = machine.describe(url)
    return ExperimentResult(
        name="eviction",
        question="What happens under each eviction policy when Redis has room for a quarter of what is asked?",
        method=(
            f"{QUERIES:,} real queries with 50 scores each, drawn {requests:,} times by Zipf's law ({SKEW:g}); "
            f"room for {ROOM:,} whole entries. A query that is not known exactly is searched for by its vector and "
            "remembered. whole, hash_alone and scores_alone are entries at the end; neighbours is how many of the 4 "
            "nearest a search gave with their scores. Times are not measured."
        ),
        parameters={"queries": QUERIES, "room": ROOM, "requests": requests, "skew": SKEW, "ttl_s": 3600},
        machine=described,
        rows=rows,
        seed=workload.SEED,
    )


def _asked(url: str, policy: str, requests: int) -> dict[str, Any]:
    given = vectors.real(workload.HELD_OUT + QUERIES)[workload.HELD_OUT :].astype(np.float32)
    shares = np.arange(1, QUERIES + 1) ** -SKEW
    asked = np.random.default_rng(workload.SEED).choice(QUERIES, requests, p=shares / shares.sum())
    scores = [(document_fingerprint(str(number)), 1.5) for number in range(workload.DOCUMENTS)]
    counts = dict.fromkeys(("exact", "searched", "neighbours", "not_stored"), 0)
    client = server.client(url)
    with RedisConnection(url, timeout_s=10) as connection:
        store = RedisStore(connection, namespace="full", reranker="r", embedder="given", dims=vectors.DIMS)
        store.count()
        client.config_set("maxmemory-policy", policy)
        client.config_set("maxmemory", round(footprint(Contents(entries=ROOM, dims=vectors.DIMS, cue_bytes=0)).total))
        for number in map(int, asked):
            if store.read_exact("", f"q{number}") is not None:
                counts["exact"] += 1
                continue
            counts["searched"] += 1
            counts["neighbours"] += len(store.find_neighbours("", given[number], K))
            try:
                store.remember("", f"q{number}", given[number], scores)
            except TransientStoreError:
                counts["not_stored"] += 1
        client.config_set("maxmemory", 0)
        return {
            "exact_hits": counts["exact"] / requests,
            "neighbours": counts["neighbours"] / max(1, counts["searched"]),
            **_kept(client),
            "evicted": client.info("stats")["evicted_keys"],
            "not_stored": counts["not_stored"],
        }


def _kept(client: redis.Redis) -> dict[str, int]:
    hashes, strings = (_there(client, key) for key in (_MADE.vector, _MADE.scores))
    reply = client.execute_command("FT.SEARCH", _MADE.plain.index, "*", "NOCONTENT", "LIMIT", 0, 2 * QUERIES)
    keys = {_MADE.vector("", f"q{number}") for number in hashes}
    return {
        "whole": len(hashes & strings),
        "hash_alone": len(hashes - strings),
        "scores_alone": len(strings - hashes),
        "index_differs": len(keys ^ set(reply[1:])),
    }


def _there(client: redis.Redis, key: Callable[[str, str], bytes]) -> set[int]:
    pipeline = client.pipeline(transaction=False)
    for number in range(QUERIES):
        pipeline.exists(key("", f"q{number}"))
    return {number for number, is_there in enumerate(pipeline.execute()) if is_there}


def plot(result: ExperimentResult, path: Path) -> None:
    """What is kept at the end, by policy."""
    parts = {
        row["policy"]: {name: row[name] for name in ("whole", "scores_alone", "hash_alone")} for row in result.rows
    }
    plots.stacked(parts, path, title="What is kept where there is room for 2,000 entries", x="entries")


if __name__ == "__main__":
    experiment.main(measure, plot)
