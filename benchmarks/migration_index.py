"""What FT.CREATE costs others: the server goes through all of its keys, unless it is told not to."""

import multiprocessing
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from time import monotonic, perf_counter, sleep
from typing import Any

import numpy as np
import redis
from redis.commands.search.index_definition import IndexDefinition

from benchmarks import server
from benchmarks.timing import summary
from semcache.migration.refiller import Refiller
from semcache.redis.client.connection import RedisConnection
from semcache.redis.index import as_dict, schema_of
from semcache.redis.layout import Layout
from semcache.redis.store import RedisStore
from semcache.settings import Settings

FOREIGN, QUICK_FOREIGN = 300_000, 20_000
OWN, QUICK_OWN = 20_000, 1_000
_SETTLED_S, _MOST_S = 3.0, 120.0
_CALLERS = 2
_SECTION = 5000


def measured(quick: bool) -> list[Mapping[str, Any]]:
    """A row per way of creating an index beside many keys, with and without other callers that search."""
    foreign, own = (QUICK_FOREIGN, QUICK_OWN) if quick else (FOREIGN, OWN)
    with server.started() as url:
        client = server.client(url)
        _fill_foreign(client, foreign)
        searched = Layout.of(namespace="searched", reranker="r", embedder="e", dims=384)
        _create(client, searched, skip=True)
        _fill(client, searched, own)
        rows: list[Mapping[str, Any]] = []
        for callers in (0, _CALLERS):
            for what, skip in (("a new scope, all keys gone through", False), ("a new scope, none", True)):
                new = Layout.of(namespace=f"new{len(rows)}", reranker="r", embedder="e", dims=384)
                rows += _row(url, client, searched, new, what, callers, skip=skip)
        for callers in (0, _CALLERS):
            # Dropped by an operator: its entries are there.
            lost = Layout.of(namespace=f"lost{callers}", reranker="r", embedder="e", dims=384)
            _fill(client, lost, own)
            rows += _row(
                url, client, searched, lost, f"a scope of {own:,} entries, all keys gone through", callers, skip=False
            )
            # The same, put in at the pace of the settings by a process of semcache.
            lost = Layout.of(namespace=f"paced{callers}", reranker="r", embedder="e", dims=384)
            _fill(client, lost, own)
            what = f"a scope of {own:,} entries, put in at a pace"
            rows += _row(
                url, client, searched, lost, what, callers, skip=True, then=partial(_refill, url, lost, callers)
            )
        return rows


def _refill(url: str, layout: Layout, callers: int) -> None:
    with RedisConnection(url, timeout_s=10) as connection:
        store = RedisStore(connection, namespace=f"paced{callers}", reranker="r", embedder="e", dims=384)
        family = layout.keys.plain
        connection.client.set(family.unfilled, b"9e9")
        refiller = Refiller(Settings().migration.server_share, print)
        refiller.submit(store, family.index)
        refiller.drain()


def _row(
    url: str,
    client: redis.Redis,
    searched: Layout,
    new: Layout,
    what: str,
    callers: int,
    *,
    skip: bool,
    then: Callable[[], None] = lambda: None,
) -> Iterator[Mapping[str, Any]]:
    context = multiprocessing.get_context("spawn")
    queue: Any = context.Queue()
    stop = context.Event()
    # One caller that reads a key now and then stands for exact hits.
    arguments = [(url, searched.keys.plain.index if number else "", queue, stop) for number in range(callers + 1)]
    processes = [context.Process(target=_call, args=one) for one in arguments]
    for process in processes:
        process.start()
    for _ in processes:
        queue.get()
    sleep(_SETTLED_S)
    begun = perf_counter()
    at = monotonic()
    _create(client, new, skip=skip)
    created_s = perf_counter() - begun
    then()
    done_s = _until_indexed(client, new, at)
    ended = monotonic()
    sleep(1.0)
    stop.set()
    taken = [queue.get() for _ in processes]
    for process in processes:
        process.join()
    reads = next(calls for index, calls in taken if not index)
    for phase, start, end in (("before", 0.0, at), ("meanwhile", at, max(ended, at + 1.0))):
        times = np.array([took for when, took in reads if start <= when < end])
        yield {
            "index of": what,
            "other callers": callers,
            "phase": phase,
            "FT.CREATE_ms": 1000 * created_s,
            "done_after_s": done_s,
            **{f"GET {name}": value for name, value in summary(times).items() if not name.endswith(("low", "high"))},
        }


def _call(url: str, index: str, queue: Any, stop: Any) -> None:
    """Search all the time, or without an index read a key every millisecond; times by ``time.monotonic``."""
    client = server.client(url)
    rng = np.random.default_rng(len(index))
    calls: list[tuple[float, float]] = []
    queue.put("ready")
    while not stop.is_set():
        begun = monotonic()
        if index:
            vector = rng.standard_normal(384).astype("<f2").tobytes()
            query = "*=>[KNN 4 @embedding $v]"
            client.execute_command("FT.SEARCH", index, query, "NOCONTENT", "PARAMS", 2, "v", vector, "DIALECT", 2)
        else:
            client.get("no such key")
        calls.append((begun, monotonic() - begun))
        if not index:
            sleep(0.001)
    queue.put((index, calls))


def _create(client: redis.Redis, layout: Layout, *, skip: bool) -> None:
    schema = schema_of(layout.keys.plain, False, layout.attributes)
    definition = IndexDefinition(prefix=[schema.index.prefix])
    client.ft(schema.index.name).create_index(schema.redis_fields, definition=definition, skip_initial_scan=skip)


def _until_indexed(client: redis.Redis, layout: Layout, at: float) -> float:
    while monotonic() - at < _MOST_S:
        info = as_dict(client.execute_command("FT.INFO", layout.keys.plain.index))
        if not int(info.get("indexing", 0)):
            break
        sleep(0.05)
    return monotonic() - at


def _fill_foreign(client: redis.Redis, count: int) -> None:
    """Keys of other applications: strings and hashes of half a kilobyte."""
    for start in range(0, count, _SECTION):
        with client.pipeline(transaction=False) as pipeline:
            for number in range(start, min(count, start + _SECTION)):
                if number % 2:
                    pipeline.set(f"other:{number}", b"x" * 500)
                else:
                    pipeline.hset(f"other:{number}", mapping={"a": b"y" * 500})
            pipeline.execute()


def _fill(client: redis.Redis, layout: Layout, count: int) -> None:
    rows = np.random.default_rng(count).standard_normal((count, 384)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    for start in range(0, count, _SECTION):
        with client.pipeline(transaction=False) as pipeline:
            for number in range(start, min(count, start + _SECTION)):
                key = layout.keys.plain.vectors + b"{%d}" % number
                pipeline.hset(
                    key, mapping={"embedding": rows[number].astype("<f2").tobytes(), "created_at": "1", "check": "-"}
                )
            pipeline.execute()
