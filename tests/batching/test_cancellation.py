"""A caller that is cancelled in any of a thousand random places disturbs no other, and is counted once.

Everything happens in one thread, by a script of random steps and a clock that goes on when it is told, so that a case
that fails can be run again by its number.
"""

import asyncio
from collections.abc import Sequence
from concurrent.futures import Future
from random import Random

import numpy as np

from semcache.batching.awaited import AwaitedCalls
from semcache.batching.jobs import Job, Served
from semcache.batching.limits import Limits
from semcache.batching.queue import BatchQueue
from semcache.batching.statistics import BatchingStatistics
from semcache.batching.turns import Turns
from semcache.batching.worker import ModelWorker
from semcache.protocols import FloatArray, Pair
from semcache.rerankers.rate_limit import RateLimit
from tests.scripted import ScriptedClock, ScriptedReranker

CASES = 1000


def random_pairs(random: Random) -> list[Pair]:
    """Some of few texts, so that requests often share some."""
    return [("q", "x" * random.randint(1, 5)) for _ in range(random.randint(1, 4))]


def expected(pairs: Sequence[Pair]) -> list[float]:
    return [float(len(text)) for _, text in pairs]


class _Script:
    """Requests to one queue and one worker of it, of which one is cancelled at a random step."""

    def __init__(self, number: int) -> None:
        self.random = Random(number)
        self.clock = ScriptedClock()
        self.model = ScriptedReranker(clock=self.clock, service_s=0.1)
        self.model.fail = self.inside
        limits = Limits(max_requests=self.random.randint(1, 4), max_batch_pairs=self.random.randint(2, 8))
        self.queue = BatchQueue(limits, 1, RateLimit(clock=self.clock), self.clock)
        self.worker = ModelWorker(self.model, self.queue, self.clock, (), BatchingStatistics())
        self.jobs: list[Job] = []
        self.served: list[list[Served]] = []
        self.steps = 0
        self.cancel_at = self.random.randint(0, 14)
        self.cancelled: Future[FloatArray] | None = None
        self.fails = self.random.random() < 0.3

    def inside(self, pairs: Sequence[Pair]) -> BaseException | None:
        """While a call is in the model, others come, and one may be cancelled."""
        if self.random.random() < 0.5:
            self.submit()
        self.step()
        return ValueError("cannot read") if self.fails and any(len(text) == 5 for _, text in pairs) else None

    def submit(self) -> None:
        served: list[Served] = []
        deadline = self.clock() + self.random.random() if self.random.random() < 0.2 else None
        job = Job(tuple(random_pairs(self.random)), self.clock(), deadline, served.append)
        self.jobs.append(job)
        self.served.append(served)
        self.queue.put(job)
        self.step()

    def step(self) -> None:
        self.steps += 1
        if self.steps == self.cancel_at and self.jobs:
            self.cancelled = self.random.choice(self.jobs).future
            self.cancelled.cancel()

    def work(self) -> None:
        taken = self.queue.take()
        assert taken is not None
        for job in taken.cancelled:
            job.on_served(Served())
        for job in taken.expired:
            job.expire()
        self.step()
        if taken.batch is not None:
            self.worker.score(taken.batch)

    def run(self) -> None:
        for _ in range(self.random.randint(2, 8)):
            self.submit()
            if self.random.random() < 0.3 and self.queue.waiting_pairs:
                self.work()
        while self.queue.waiting_pairs:
            self.work()


def test_of_a_queue() -> None:
    cancelled_before = 0
    for number in range(CASES):
        script = _Script(number)
        script.run()
        for job, served in zip(script.jobs, script.served, strict=True):
            assert job.future.done(), f"case {number}: a caller waits for ever"
            assert len(served) == 1, f"case {number}: reported {len(served)} times"
            if job.future.cancelled():
                cancelled_before += 1
                assert job.future is script.cancelled, f"case {number}: another caller was cancelled"
            elif job.future.exception() is None:
                assert job.future.result().tolist() == expected(job.pairs), f"case {number}: wrong scores"
            else:
                can_fail = job.deadline is not None or (script.fails and any(len(text) == 5 for _, text in job.pairs))
                assert can_fail, f"case {number}: {job.future.exception()!r} of another caller"
        assert (script.queue.waiting_pairs, script.queue.busy, script.queue.abandoned) == (0, False, 0)
    assert cancelled_before > CASES / 4, "too few were cancelled while they waited"


class _Steps:
    """An asynchronous reranker whose calls take a random number of turns of the event loop."""

    name, listwise = "steps", False

    def __init__(self, random: Random) -> None:
        self.random = random
        self.under_way = self.most = 0

    async def ascore_pairs(self, pairs: Sequence[Pair]) -> FloatArray:
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            for _ in range(self.random.randint(0, 4)):
                await asyncio.sleep(0)
        finally:
            self.under_way -= 1
        return np.array(expected(pairs), dtype=np.float32)


async def _awaited_case(number: int) -> None:
    random = Random(number)
    clock, remote = ScriptedClock(), _Steps(random)
    line = Turns(Limits(), 2, RateLimit(clock=clock), clock)
    calls = AwaitedCalls(remote, line, 2, clock, (), BatchingStatistics())
    served: list[list[Served]] = [[] for _ in range(6)]
    requests = [random_pairs(random) for _ in served]
    tasks = [
        asyncio.ensure_future(calls.ascore(pairs, None, reports.append))
        for pairs, reports in zip(requests, served, strict=True)
    ]
    for _ in range(random.randint(0, 12)):
        await asyncio.sleep(0)
    victim = random.choice(tasks)
    victim.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    while not line.is_empty:
        await asyncio.sleep(0)
    for task, pairs, result, reports in zip(tasks, requests, results, served, strict=True):
        if isinstance(result, BaseException):
            assert task is victim, f"case {number}: {result!r} of another caller"
            # It may have been cancelled before it began, and then there is nothing to report.
            assert len(reports) <= 1
        else:
            assert result.tolist() == expected(pairs), f"case {number}: wrong scores"
            assert len(reports) == 1
    assert remote.most <= 2
    assert (line.waiting_pairs, remote.under_way) == (0, 0)


async def test_of_awaited_calls() -> None:
    for number in range(CASES):
        await _awaited_case(number)
    assert len(asyncio.all_tasks()) == 1
