"""Requests of threads and of tasks that go on whatever happens, and what became of each."""

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Condition, Event, Thread
from types import TracebackType
from typing import Self

from tests.faults.models import VARIANT, ScriptedReranker, best
from tests.faults.subjects import Answer, Subject

TOP_K = 5
FATES = ("hit", "miss", "degraded", "failed")
_VARIANTS = 3
_CANDIDATES = 20
_POOL = [f"passage {number}" for number in range(26)]
"""All documents: topics share them, so that the scores of another query would show. Where candidates change, a request
has ``_CANDIDATES`` of them."""


@dataclass(frozen=True, slots=True)
class Load:
    """Callers, each of which asks, waits ``think_s`` and asks again.

    Each has ``topics`` of its own, in three variants, asked once each at first. Afterwards ``new`` is the share of
    requests about topics that were never asked about, and ``near`` that of new variants, for which a search finds the
    others. ``changing``: requests about a topic do not have the same candidates each time.
    """

    threads: int = 4
    tasks: int = 8
    think_s: float = 0.04
    topics: int = 6
    new: float = 0.1
    near: float = 0.2
    changing: bool = False


@dataclass(frozen=True, slots=True)
class Record:
    """What became of a request. ``fate`` is hit, miss, degraded or failed; times are in seconds of the monotonic clock.

    ``added_s`` is what the caller waited beyond the time in the reranker. ``is_wrong`` where the answer is neither the
    right one nor said to be degraded. ``is_near``: the query was a new variant.
    """

    is_task: bool
    is_near: bool
    began: float
    took_s: float
    added_s: float
    fate: str
    is_wrong: bool = False
    error: str = ""


class Traffic:
    """Goes on while its ``with`` block is open; ``records`` grow."""

    def __init__(self, subject: Subject, reranker: ScriptedReranker, load: Load) -> None:
        self.records: list[Record] = []
        self.load = load
        self._subject = subject
        self._reranker = reranker
        self._stop = Event()
        self._news = Condition()
        self._asking: set[int] = set()
        """Callers that wait for an answer."""
        self._known = 0
        """Callers that have asked about all of their topics."""
        self._threads = [Thread(target=self._call, args=(n,), daemon=True) for n in range(load.threads)]
        self._threads.append(Thread(target=lambda: asyncio.run(self._await_all()), daemon=True))

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop(10.0)

    def stop(self, patience_s: float) -> int:
        """No further requests; how many are not answered after ``patience_s`` seconds."""
        self._stop.set()
        until = time.monotonic() + patience_s
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        return len(self._asking)

    def wait_until_known(self, patience_s: float) -> None:
        """Until all topics were asked about."""
        callers = self.load.threads + self.load.tasks
        self.wait_until(lambda: self._known == callers, patience_s, "callers ask for the first time still")

    def wait_for(
        self, fates: Sequence[str], of_each: int, since: float, patience_s: float, *, near: bool = False
    ) -> None:
        """Until so many requests of threads and so many of tasks that began ``since`` had these fates.

        With ``near`` only new variants count.
        """

        def enough() -> bool:
            found = [
                record.is_task
                for record in self.records
                if record.began >= since and record.fate in fates and record.is_near >= near
            ]
            kinds = [False] * (self.load.threads > 0) + [True] * (self.load.tasks > 0)
            return all(found.count(kind) >= of_each for kind in kinds)

        self.wait_until(enough, patience_s, f"too few requests with the fate {' or '.join(fates)}")

    def wait_until(self, condition: Callable[[], bool], patience_s: float, otherwise: str) -> None:
        """Until a condition holds, which is looked at after each answer. Fails with ``otherwise`` if it never does."""
        with self._news:
            assert self._news.wait_for(condition, patience_s), f"{otherwise} after {patience_s} s"

    def _call(self, caller: int) -> None:
        requests = _Requests(caller, self.load)
        while not self._stop.is_set():
            request = requests.draw()
            with _Timed(self, caller, request, is_task=False) as timed:
                timed.answer = self._subject.rerank(request.query, request.documents, TOP_K)
            self._tell(requests)
            self._stop.wait(requests.think_s())

    async def _await_all(self) -> None:
        callers = range(self.load.threads, self.load.threads + self.load.tasks)
        await asyncio.gather(*(self._await(caller) for caller in callers))

    async def _await(self, caller: int) -> None:
        requests = _Requests(caller, self.load)
        while not self._stop.is_set():
            request = requests.draw()
            with _Timed(self, caller, request, is_task=True) as timed:
                timed.answer = await self._subject.arerank(request.query, request.documents, TOP_K)
            self._tell(requests)
            await asyncio.sleep(requests.think_s())

    def begin(self, caller: int, query: str) -> None:
        """A caller asks."""
        self._asking.add(caller)
        self._reranker.spent_s.pop(query, None)

    def end(self, caller: int, query: str) -> float:
        """A caller has an answer; how long the reranker took for it."""
        self._asking.discard(caller)
        return self._reranker.spent_s.pop(query, 0.0)

    def _tell(self, requests: "_Requests") -> None:
        with self._news:
            if requests.are_known_just_now():
                self._known += 1
            self._news.notify_all()


@dataclass(frozen=True, slots=True)
class _Request:
    query: str
    documents: list[str]
    is_near: bool


class _Requests:
    """Which query a caller asks next, with which documents. No two callers ask the same, so none waits for another."""

    def __init__(self, caller: int, load: Load) -> None:
        self._caller = caller
        self._load = load
        self._chance = random.Random(caller)
        self._asked = 0
        self._first = [(topic, variant) for variant in range(_VARIANTS) for topic in range(load.topics)]

    def draw(self) -> _Request:
        self._asked += 1
        chosen = self._chance.random()
        topic, variant = self._chance.choice(self._first)
        is_near = False
        if self._asked <= len(self._first):
            topic, variant = self._first[self._asked - 1]
        elif chosen < self._load.new:
            topic, variant = self._load.topics + self._asked, 0
        elif is_near := chosen < self._load.new + self._load.near:
            variant = _VARIANTS + self._asked
        subject = f"topic {self._caller} {topic}"
        query = f"{subject} {VARIANT} {variant}" if variant else subject
        documents = self._chance.sample(_POOL, _CANDIDATES) if self._load.changing else _POOL[:_CANDIDATES]
        return _Request(query, documents, is_near)

    def think_s(self) -> float:
        return self._load.think_s * self._chance.uniform(0.5, 1.5)

    def are_known_just_now(self) -> bool:
        return self._asked == len(self._first)


class _Timed:
    """Makes a Record of the block in which a caller waits, which ends by ``answer`` or by an exception."""

    def __init__(self, traffic: Traffic, caller: int, request: _Request, *, is_task: bool) -> None:
        self._traffic = traffic
        self._caller = caller
        self._request = request
        self._is_task = is_task
        self.answer: Answer | None = None

    def __enter__(self) -> Self:
        self._traffic.begin(self._caller, self._request.query)
        self._began = time.monotonic()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        took_s = time.monotonic() - self._began
        request = self._request
        added_s = max(0.0, took_s - self._traffic.end(self._caller, request.query))
        fate, is_wrong = fate_of(self.answer, request.query, request.documents)
        told = "" if error is None else f"{type(error).__name__}: {str(error)[:200]}"
        self._traffic.records.append(
            Record(self._is_task, request.is_near, self._began, took_s, added_s, fate, is_wrong, told)
        )
        # Also what ends a program, such as SystemExit: that it came to the caller is what is to be seen.
        return True


def fate_of(answer: Answer | None, query: str, documents: Sequence[str], k: int = TOP_K) -> tuple[str, bool]:
    """The fate of a request, and whether its answer is wrong."""
    if answer is None:
        return "failed", False
    if answer.is_degraded:
        return "degraded", len(answer.order) != k or len(set(answer.order) & set(documents)) != k
    return "hit" if answer.is_hit else "miss", answer.order != best(query, documents, k)
