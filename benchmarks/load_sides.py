"""The sides of the comparison: how a request gets its answer from a primary and a fallback, by which protection."""

import asyncio
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock
from typing import Any, Protocol

import numpy as np

from benchmarks.load_figures import FALLBACK, PRIMARY
from benchmarks.load_primaries import Clock, ScriptedFallback, ScriptedPrimary
from benchmarks.load_scenarios import Scenario
from benchmarks.load_service import PlainClient
from benchmarks.peers.process import VENVS
from semcache import DegradableReranker, LatencyMonitor
from semcache.degradation.breaker import BreakerPolicy
from semcache.events import BreakerChanged
from semcache.protocols import FloatArray, Pair
from semcache.rerankers.http import HttpReranker

OPEN_S = 5.0
"""How long breakers of all sides leave the primary alone at first, in nominal seconds: semcache's default."""
FAILURES = 5
"""Failures in a row that open a breaker: semcache's default and that of pybreaker and purgatory."""
TIMEOUT_SHARE = 0.9
"""Breakers that count errors see slowness only by a timeout. It is this share of T, so that there is time left for the
fallback; with T itself each timeout would be a late answer."""
THREADS = 5000
OURS = "semcache"

Answer = tuple[str, FloatArray]


class Side(Protocol):
    """Answers requests. ``switches`` as in a Run."""

    switches: list[tuple[float, bool]]

    async def answer(self, query: str, texts: Sequence[str]) -> Answer: ...

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Parts:
    """What every side is made of."""

    scenario: Scenario
    primary: ScriptedPrimary | PlainClient
    fallback: ScriptedFallback
    clock: Clock
    url: str = ""
    """Of the service behind HTTP that the primary is a client of; empty for a model."""


class Threaded:
    """A side that answers each request in a thread of its own, as a web server does."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.switches: list[tuple[float, bool]] = []
        self._threads = ThreadPoolExecutor(THREADS)
        self._keeps = False
        self._changing = Lock()

    async def answer(self, query: str, texts: Sequence[str]) -> Answer:
        pairs = [(query, text) for text in texts]
        return await asyncio.get_running_loop().run_in_executor(self._threads, self.rerank, pairs)

    def rerank(self, pairs: Sequence[Pair]) -> Answer:
        """Answer in this thread; here without any protection."""
        return PRIMARY, self.parts.primary.score(pairs)

    def degraded(self, pairs: Sequence[Pair]) -> Answer:
        return FALLBACK, self.parts.fallback.score(pairs)

    def noted(self, keeps: bool) -> None:
        """Calls are kept from the primary from now on, or no longer."""
        with self._changing:
            if keeps is not self._keeps:
                self._keeps = keeps
                self.switches.append((self.parts.clock(), keeps))

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


class Toggle(Threaded):
    """As in the code that semcache replaces: one window of 100 latencies, the fallback's among them, decides by p95."""

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts)
        self._window: deque[float] = deque(maxlen=100)

    def rerank(self, pairs: Sequence[Pair]) -> Answer:
        latencies = tuple(self._window)
        is_degraded = bool(latencies) and float(np.percentile(latencies, 95)) > self.parts.scenario.threshold_s
        self.noted(is_degraded)
        started = self.parts.clock()
        try:
            answer = self.degraded(pairs) if is_degraded else super().rerank(pairs)
        except Exception:  # noqa: BLE001 - that code answers with the fallback, whatever the primary raises
            answer = self.degraded(pairs)
        self._window.append((self.parts.clock() - started) * self.parts.scenario.scale)
        return answer


class PyBreaker(Threaded):
    """pybreaker around a call with a timeout. It holds its lock during the call, so that calls follow each other."""

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts)
        _use_peers()
        import pybreaker

        self._calling = ThreadPoolExecutor(THREADS)
        side = self

        class Listener(pybreaker.CircuitBreakerListener):  # type: ignore[misc]
            def state_change(self, breaker: Any, old: Any, new: Any) -> None:
                # Half-open is still kept: only one call goes through.
                side.noted(new.name != "closed")

        self._breaker = pybreaker.CircuitBreaker(
            fail_max=FAILURES, reset_timeout=OPEN_S * parts.scenario.scale, listeners=[Listener()]
        )

    def rerank(self, pairs: Sequence[Pair]) -> Answer:
        try:
            return PRIMARY, self._breaker.call(self._timed, pairs)
        except Exception:  # noqa: BLE001 - open, timed out or failed: the fallback answers
            return self.degraded(pairs)

    def _timed(self, pairs: Sequence[Pair]) -> FloatArray:
        call: Future[FloatArray] = self._calling.submit(self.parts.primary.score, pairs)
        return call.result(TIMEOUT_SHARE * self.parts.scenario.threshold_s)

    async def close(self) -> None:
        await super().close()
        self._calling.shutdown(wait=False, cancel_futures=True)


class Purgatory(Threaded):
    """purgatory, in an event loop, around a call with a timeout."""

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts)
        _use_peers()
        from purgatory import AsyncCircuitBreakerFactory

        self._breakers = AsyncCircuitBreakerFactory(FAILURES, OPEN_S * parts.scenario.scale)
        self._breakers.add_listener(self._heard)

    async def answer(self, query: str, texts: Sequence[str]) -> Answer:
        pairs = [(query, text) for text in texts]
        loop = asyncio.get_running_loop()
        try:
            async with (
                await self._breakers.get_breaker("primary"),
                asyncio.timeout(TIMEOUT_SHARE * self.parts.scenario.threshold_s),
            ):
                return await loop.run_in_executor(self._threads, self.rerank, pairs)
        except Exception:  # noqa: BLE001 - open, timed out or failed: the fallback answers
            return await loop.run_in_executor(self._threads, self.degraded, pairs)

    def _heard(self, name: str, kind: str, event: Any) -> None:
        if kind == "state_changed":
            self.noted(event.state != "closed")


class Semcache:
    """DegradableReranker of semcache with its defaults, as tasks of one event loop."""

    def __init__(self, parts: Parts, requests_per_minute: int | None = None) -> None:
        self.switches: list[tuple[float, bool]] = []
        primary: Any = parts.primary
        if parts.url:
            limit = {} if requests_per_minute is None else {"requests_per_minute": requests_per_minute}
            primary = HttpReranker("jina", "a-model", url=parts.url, concurrency=50, **limit)
        self._clock = parts.clock
        scale = parts.scenario.scale
        defaults = BreakerPolicy()
        self._reranker = DegradableReranker(
            primary,
            parts.fallback,
            LatencyMonitor(p95_threshold=parts.scenario.threshold_s),
            breaker=BreakerPolicy(open_s=defaults.open_s * scale, max_open_s=defaults.max_open_s * scale),
            on_event=self._heard,
        )

    async def answer(self, query: str, texts: Sequence[str]) -> Answer:
        ranking = await self._reranker.arerank(query, texts, top_k=len(texts))
        scores = np.empty(len(texts), np.float32)
        scores[list(ranking.indices)] = np.nan if ranking.scores is None else ranking.scores
        return PRIMARY if ranking.reranker == self._reranker.name else FALLBACK, scores

    def _heard(self, event: Any) -> None:
        # Between open and half-open nothing changes: calls are kept from the primary, but for probes.
        if isinstance(event, BreakerChanged) and "closed" in (event.old, event.new):
            self.switches.append((self._clock(), event.new != "closed"))

    async def close(self) -> None:
        await self._reranker.aclose()


def _use_peers() -> None:
    """Let pybreaker and purgatory be imported from the peers' environment. Ends the program where there is none."""
    folders = [str(folder) for folder in (VENVS / "breakers").glob("lib/python*/site-packages")]
    if not folders:
        sys.exit("pybreaker and purgatory are not installed; run: python -m benchmarks.peers")
    sys.path += [folder for folder in folders if folder not in sys.path]


SIDES: Mapping[str, Callable[[Parts], Side]] = {
    "no protection": Threaded,
    "old toggle": Toggle,
    "pybreaker": PyBreaker,
    "purgatory": Purgatory,
    OURS: Semcache,
}
TOLD = f"{OURS}, told the limit"
LIMITED_SIDES: Mapping[str, Callable[[Parts], Side]] = {
    **SIDES,
    TOLD: lambda parts: Semcache(parts, requests_per_minute=60 * parts.scenario.limit_per_s),
}
"""For a service with a rate limit, which semcache learns from its refusals or is told."""
