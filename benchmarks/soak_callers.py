"""The callers of the soak: threads, tasks, batches, and pipelines, event loops and tenants that come and go."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from itertools import count
from random import Random
from threading import Event
from time import monotonic, sleep
from typing import Any
from weakref import WeakSet

import numpy as np

from benchmarks.soak_record import Record
from benchmarks.soak_requests import TOP_K, TRUST, ScriptedReranker, Work, Workload, not_own
from semcache import CachedReranker, OptimizedRerankerPipeline, Ranking, Settings, Status
from semcache.commands.models import Models, packaged_models
from semcache.errors import StoreError
from semcache.protocols import Embedder, Reranker

_TTL_S = 45.0
"""So short that entries expire all the time, and their number settles within two minutes."""
_TASKS = 8
_TENANTS = 3
_AT_ONCE = 8
_EMBEDDED = 6
"""Threads that may use a model at the same time, and queries that are embedded together."""
_SETTINGS: dict[str, Any] = {"prune": {"mode": "on"}, "cache": {"namespace": "soak"}}


class Callers:
    """Each kind is a function that makes a few calls; a thread repeats it. ``loops`` are the event loops alive."""

    def __init__(self, url: str, record: Record, ended: Event) -> None:
        models = packaged_models()
        self._url = url
        self._record = record
        self._ended = ended
        self._embedder: Embedder = models.embedder
        self._reranker = ScriptedReranker(models.embedder)
        self._work = Workload()
        self._numbers = count(_TENANTS)
        self._tenants = [f"tenant {number}" for number in range(_TENANTS)]
        self.loops: WeakSet[asyncio.AbstractEventLoop] = WeakSet()
        self._pipeline = self._made(self._reranker)
        self._real = self._made(models.reranker)
        self._work.fill_caches(self._pipeline.cache.scoped.policy().guard)
        self._fill_buffers(models)

    def _fill_buffers(self, models: Models) -> None:
        """Use the models as the callers will: onnxruntime's buffers grow with what runs at once, and never shrink."""
        random = Random(0)
        with ThreadPoolExecutor(_AT_ONCE) as threads:
            batches = [self._work.queries(random, _EMBEDDED) for _ in range(30 * _AT_ONCE)]
            deque(threads.map(models.embedder.embed, batches), maxlen=0)
        for _ in range(30):
            work = self._work.work(random)
            models.reranker.score([(work.query, document) for document in work.documents])

    def _made(self, reranker: Reranker, url: str = "") -> OptimizedRerankerPipeline:
        return OptimizedRerankerPipeline(
            reranker,
            None,
            url or self._url,
            _TTL_S,
            TRUST,
            embedding_model=self._embedder,
            settings=Settings(**_SETTINGS),
        )

    def kinds(self) -> Sequence[tuple[str, Callable[[Random], None]]]:
        """Names and functions; a kind that stands here several times has as many threads."""
        return [
            *[("thread", self.thread)] * 4,
            ("tasks", self.tasks),
            ("loops", self.short_loop),
            ("batches", self.batch),
            ("pipelines", self.short_pipeline),
            ("cache", self.cache),
            ("tenants", self.tenant_leaves),
            ("real", self.real_model),
            ("trouble", self.trouble),
        ]

    def thread(self, random: Random) -> None:
        """A request of a thread, sometimes with a deadline."""
        work, tenant = self._work.work(random), self._tenant(random)
        deadline_s = random.choice((None, None, None, 1.0, 0.1))
        started = monotonic()
        ranking = self._pipeline.rerank(
            work.query, work.documents, TOP_K, tenant=tenant, deadline_s=deadline_s, retrieval_scores=work.scores
        )
        self._check(work, ranking, monotonic() - started)
        sleep(0.4 * random.random())

    def tasks(self, random: Random) -> None:
        """An event loop with tasks, for half a minute."""

        async def run() -> None:
            self.loops.add(asyncio.get_running_loop())
            until = monotonic() + 30
            await asyncio.gather(*(self._task(random, until) for _ in range(_TASKS)))

        asyncio.run(run())

    async def _task(self, random: Random, until: float) -> None:
        while monotonic() < until and not self._ended.is_set():
            patience_s = 0.02 if random.random() < 0.03 else None
            with suppress(TimeoutError):  # cancelled in the middle, as by a client that hangs up
                async with asyncio.timeout(patience_s):
                    await self._arerank(random)
            await asyncio.sleep(0.6 * random.random())

    async def _arerank(self, random: Random) -> None:
        work, tenant = self._work.work(random), self._tenant(random)
        started = monotonic()
        ranking = await self._pipeline.arerank(
            work.query, work.documents, TOP_K, tenant=tenant, retrieval_scores=work.scores
        )
        self._check(work, ranking, monotonic() - started)

    def short_loop(self, random: Random) -> None:
        """An event loop of its own for three requests, as in a web view that is no coroutine."""

        async def run() -> None:
            self.loops.add(asyncio.get_running_loop())
            await asyncio.gather(*(self._arerank(random) for _ in range(3)))

        asyncio.run(run())
        self._record.happened("event loops ended")
        sleep(0.5 * random.random())

    def batch(self, random: Random) -> None:
        """Several queries in one call, of a thread or in an event loop."""
        works, tenant = [self._work.work(random) for _ in range(_EMBEDDED)], self._tenant(random)
        queries, documents = [work.query for work in works], [work.documents for work in works]
        scores = [work.scores for work in works]
        started = monotonic()

        async def run() -> list[Ranking[str]]:
            self.loops.add(asyncio.get_running_loop())
            return await self._pipeline.arerank_many(queries, documents, TOP_K, tenant=tenant, retrieval_scores=scores)

        if random.random() < 0.5:
            rankings = asyncio.run(run())
        else:
            rankings = self._pipeline.rerank_many(queries, documents, TOP_K, tenant=tenant, retrieval_scores=scores)
        duration_s = monotonic() - started
        for work, ranking in zip(works, rankings, strict=True):
            self._check(work, ranking, duration_s, "in batches")
        sleep(random.random())

    def short_pipeline(self, random: Random) -> None:
        """A pipeline, or a reranker over the cache of another one, for a few requests."""
        kind = random.random()
        if kind < 0.4:
            # As in applications that wrap a reranker for each request, and do not close it.
            reranker = CachedReranker(self._reranker, self._pipeline.cache)
            self._ask(reranker, random)
            self._record.happened("rerankers dropped")
        elif kind < 0.9:
            with self._made(self._reranker) as pipeline:
                self._ask(pipeline, random)
            self._record.happened("pipelines closed")
        elif kind < 0.98:
            asyncio.run(self._short_async_pipeline(random))
            self._record.happened("pipelines closed in an event loop")
        else:
            with self._made(self._reranker, "embedded") as pipeline:
                self._ask(pipeline, random)
            self._record.happened("embedded servers closed")
        sleep(random.random())

    async def _short_async_pipeline(self, random: Random) -> None:
        self.loops.add(asyncio.get_running_loop())
        async with self._made(self._reranker) as pipeline:
            for _ in range(3):
                work = self._work.work(random)
                started = monotonic()
                self._check(work, await pipeline.arerank(work.query, work.documents, TOP_K), monotonic() - started)

    def _ask(self, reranker: CachedReranker, random: Random) -> None:
        for _ in range(3):
            work = self._work.work(random)
            started = monotonic()
            try:
                ranking = reranker.rerank(work.query, work.documents, TOP_K)
            except RuntimeError as error:
                # A reranker without a ladder raises what the model raises, which is scripted here.
                if "scripted trouble" not in str(error):
                    raise
                self._record.happened("scripted errors of a bare reranker")
            else:
                self._check(work, ranking, monotonic() - started)

    def cache(self, random: Random) -> None:
        """The cache by itself: remember and look up, and forget a query or a document."""
        cache, work = self._pipeline.cache, self._work.work(random)
        scores = self._reranker.true_scores(work.query, work.documents)
        if cache.remember(work.query, work.documents, scores.tolist(), tenant="by hand"):
            found = cache.lookup(work.query, work.documents, tenant="by hand")
            if found.status is Status.EXACT and not np.allclose(np.array(found.scores, float), scores, atol=0.01):
                self._record.wrong("other scores looked up than were remembered")
        if random.random() < 0.2:
            self._forget(random.choice(({"query": work.query}, {"document": work.documents[0]})))
        sleep(0.5 * random.random())

    def tenant_leaves(self, random: Random) -> None:
        """A tenant is forgotten and another one comes, who must not see what others asked."""
        tenant, work = f"tenant {next(self._numbers)}", self._work.hottest(random)
        started = monotonic()
        ranking = self._pipeline.rerank(work.query, work.documents, TOP_K, tenant=tenant)
        self._check(work, ranking, monotonic() - started)
        if ranking.status not in (Status.FRESH, Status.PRUNED, Status.DEGRADED):
            self._record.wrong(f"the first request of a tenant is {ranking.status}")
        place = random.randrange(_TENANTS)
        left, self._tenants[place] = self._tenants[place], tenant
        self._forget({"tenant": left})
        self._pipeline.get_stats()
        sleep(2 * random.random())

    def real_model(self, random: Random) -> None:
        """A request to the packaged cross-encoder."""
        work = self._work.work(random)
        work = replace(work, documents=work.documents[: 2 * TOP_K])
        started = monotonic()
        ranking = self._real.rerank(work.query, work.documents, TOP_K, tenant=self._tenant(random))
        self._record.answered(f"{ranking.status} (cross-encoder)", monotonic() - started)
        if fault := not_own(work, ranking):
            self._record.wrong(f"{fault}: {ranking}")
        sleep(2 * random.random())

    def trouble(self, random: Random) -> None:
        """The scripted reranker raises, is slow, or hangs; most of the time it does none of these."""
        self._ended.wait(20 + 20 * random.random())
        self._reranker.trouble = random.choice(("error", "slow", "hang"))
        self._record.happened(f"reranker: {self._reranker.trouble}")
        self._ended.wait(3 * random.random())
        self._reranker.trouble = ""
        self._reranker.released.set()
        self._reranker.released = Event()

    def close(self) -> None:
        """Close the pipelines that live as long as the process."""
        self._reranker.released.set()
        self._pipeline.close()
        self._real.close()

    def _tenant(self, random: Random) -> str:
        return random.choice(("", *self._tenants))

    def _forget(self, what: dict[str, str]) -> None:
        try:
            self._pipeline.cache.forget(**what)
            self._record.happened("forgotten")
        except StoreError:  # documented: what had to be forgotten may still be there
            self._record.happened("forget raised StoreError")

    def _check(self, work: Work, ranking: Ranking[str], duration_s: float, kind: str = "") -> None:
        self._record.answered(f"{ranking.status} {kind}".strip(), duration_s)
        if fault := self._reranker.fault_of(work, ranking):
            self._record.wrong(f"{fault}: {ranking}")
