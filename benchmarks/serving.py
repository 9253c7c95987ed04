"""Does `semcache serve` lose requests of many clients, and how long do exact hits take over HTTP?"""

import asyncio
import json
import ssl
from collections.abc import Sequence
from contextlib import AsyncExitStack
from time import perf_counter

import httpx
import numpy as np

from benchmarks import experiment, machine, server
from benchmarks.experiment import ExperimentResult, Target
from benchmarks.served import served
from benchmarks.timing import quantile
from benchmarks.trec import data_folder, load_topics
from semcache.commands.bench.measuring import Seconds

CLIENTS, REQUESTS, QUICK_REQUESTS = 50, 2000, 200
QUERIES, DOCUMENTS, TOP = 40, 20, 5
WORKERS = (1, 2)
ROUNDS, QUICK_ROUNDS = 3, 1

Asked = tuple[Seconds, Sequence[str]]
"""The duration and the status of each request; an empty status is one that was not answered."""


def measure(quick: bool) -> ExperimentResult:
    """Ask a server of one and of two workers from 50 connections at once, after every query was asked once."""
    requests, rounds = (QUICK_REQUESTS, QUICK_ROUNDS) if quick else (REQUESTS, ROUNDS)
    rows, targets = [], []
    with server.started() as redis_url:
        for workers in WORKERS:
            with served(redis_url, f"serving-{workers}", workers) as (url, _):
                first, *runs = asyncio.run(_session(url, requests, rounds))
            seconds = np.concatenate([run[0] for run in runs])
            statuses = [status for run in runs for status in run[1]]
            p95 = quantile(seconds * 1000, 0.95)
            rows.append(
                {
                    "workers": workers,
                    "requests": len(statuses),
                    "lost": statuses.count(""),
                    "exact": statuses.count("exact"),
                    "per_s": CLIENTS / float(np.mean(seconds)),
                    "p50_ms": float(np.quantile(seconds, 0.5)) * 1000,
                    "p95_ms": p95.value,
                    "p99_ms": float(np.quantile(seconds, 0.99)) * 1000,
                    "first_p50_ms": float(np.quantile(first[0], 0.5)) * 1000,
                }
            )
            lost = quantile(np.array([float(status == "") for status in statuses]), 1.0)
            targets.append(Target(f"lost requests, {workers} workers", lost, at_most=0))
        described = machine.describe(redis_url)
    return ExperimentResult(
        name="serving",
        question="Does semcache serve lose requests of many clients, and how long do exact hits take over HTTP?",
        method=(
            f"{CLIENTS} connections ask at once, each its next request when the last is answered; {rounds} rounds. "
            f"{QUERIES} queries of TREC DL 2019 with {DOCUMENTS} BM25 passages each, asked once before by the packaged "
            "cross-encoder (first_p50_ms). Clients, server and Redis share the machine's cores; the clients run in one "
            "process of Python, which is at its limit first. per_s is clients / mean latency."
        ),
        parameters={"clients": CLIENTS, "queries": QUERIES, "documents": DOCUMENTS, "top_n": TOP, "rounds": rounds},
        machine=described,
        rows=rows,
        targets=targets,
    )


async def _session(url: str, requests: int, rounds: int) -> list[Asked]:
    """Every query once from one client, then the rounds of all clients."""
    # Made once: it takes some 20 ms, in which no client of this process goes on.
    context = ssl.create_default_context()
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(httpx.AsyncClient(base_url=url, timeout=30.0, verify=context))
            for _ in range(CLIENTS)
        ]
        bodies = _bodies()
        first = await _ask(clients[:1], bodies, len(bodies))
        await _ask(clients, bodies, 4 * CLIENTS)  # opens the connections
        return [first, *[await _ask(clients, bodies, requests) for _ in range(rounds)]]


async def _ask(clients: Sequence[httpx.AsyncClient], bodies: Sequence[bytes], requests: int) -> Asked:
    durations: list[float] = []
    statuses: list[str] = []
    numbers = iter(range(requests))

    async def ask_on(client: httpx.AsyncClient) -> None:
        for number in numbers:
            started = perf_counter()
            try:
                answer = await client.post("/v2/rerank", content=bodies[number % len(bodies)])
                statuses.append(answer.headers.get("X-Semcache-Status", "") if answer.is_success else "")
            except httpx.HTTPError:
                statuses.append("")
            durations.append(perf_counter() - started)

    await asyncio.gather(*map(ask_on, clients))
    return np.array(durations), statuses


def _bodies() -> list[bytes]:
    """A request for each topic: its query, and the passages that BM25 finds for it."""
    topics = load_topics(data_folder())[:QUERIES]
    return [
        json.dumps(
            {
                "query": topic.queries[0],
                "documents": [topic.documents[at] for at in topic.runs["bm25"][:DOCUMENTS]],
                "top_n": TOP,
            }
        ).encode()
        for topic in topics
    ]


if __name__ == "__main__":
    experiment.main(measure)
