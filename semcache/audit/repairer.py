"""Has the primary score later, in spare time, what a lower rung answered, so that a repetition is answered exactly.

A burst of 50 requests on an idle model leaves some to the fallback, and so would every repetition of the burst, since
nothing degraded is remembered. Here the same requests wait for a moment when the primary is healthy and idle; their
scores are remembered like any others, in the same scope and for the same tenant. Equal requests wait once, and at most
4,096 pairs wait.

A synchronous reranker is asked in the background thread. An asynchronous one is awaited on the event loop that the
degraded request came from, as its client belongs to that loop, and on semcache's own where the caller had none; when
the caller's loop has ended, the repair is dropped.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from threading import Event as Flag
from threading import Lock
from typing import Any, Protocol
from weakref import ref

import numpy as np

from semcache.entries.fingerprint import entry_id
from semcache.errors import QueueFullError
from semcache.events import RepairDropped, Repaired
from semcache.flow.outcome import Outcome
from semcache.flow.requests import Request
from semcache.flow.rerank import rerank
from semcache.flow.run import run
from semcache.protocols import Ladder, Scored
from semcache.ranking import Status
from semcache.rerankers.awaiting import OWN_LOOP
from semcache.runtime.background import Background
from semcache.runtime.forking import renew_in_child
from semcache.runtime.loops import running_loop
from semcache.scoped_cache import ScopedCache

# Four full queues of the batcher, or 2 MB of text with passages of 500 characters. More hours of an outage are not to
# be made up for.
_MOST_PAIRS = 4096
# Pairs per call, as for audits: a request that arrives during a repair waits for one such call at most.
_PIECE = 8
# Between two looks at a busy primary, in seconds. They get rarer, as an outage may last.
_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 1.0
# A request that fails so many times by itself, on a primary that others find healthy, is not tried again.
_MOST_FAILURES = 2

_Key = tuple[str, tuple[bytes, ...]]


class _IdleLadder(Protocol):
    score_when_idle: Callable[[str, Sequence[str], Sequence[int]], Scored]
    ascore_when_idle: Callable[[str, Sequence[str], Sequence[int]], Coroutine[Any, Any, Scored]]


@dataclass(slots=True, eq=False)
class _Repair:
    request: Request
    loop: asyncio.AbstractEventLoop | None
    scored: dict[int, float] = field(default_factory=dict)  # by position, kept between two moments of spare time
    failures: int = 0


class Repairer:
    """Keeps the degraded requests of one reranker until they are scored. Safe to use from any thread.

    ``ladder`` offers ``score_when_idle`` and ``ascore_when_idle``; without them nothing is repaired. The background
    thread refers to this object weakly, so that one that is dropped without ``close`` ends it.
    """

    def __init__(self, cache: ScopedCache, ladder: Ladder, *, is_on: bool = True) -> None:
        self._cache = cache
        has_ways = all(getattr(ladder, way, None) for way in ("score_when_idle", "ascore_when_idle"))
        self._ladder: _IdleLadder | None = ladder if is_on and has_ways else None  # type: ignore[assignment]
        self._thread = Background(1, "semcache-repair")
        self._repaired = 0
        self._is_closed = False
        self.after_fork_in_child()
        renew_in_child(self)

    def after_fork_in_child(self) -> None:
        """Leave to the parent what waits; also used for the beginning itself."""
        # Guards the two below. Neither the ladder nor an observer is called while it is held.
        self._lock = Lock()
        self._waiting: dict[_Key, _Repair] = {}
        self._pairs = 0
        self._stop = Flag()
        """Set when this is closed, so that the thread does not sleep on."""

    def consider(self, request: Request, outcome: Outcome) -> None:
        """Have a request scored later if its answer is degraded. Waits for nothing."""
        if outcome.status is not Status.DEGRADED or self._ladder is None or not request.texts:
            return
        key = (entry_id(request.tenant, request.query), request.fingerprints)
        with self._lock:
            if key in self._waiting or self._is_closed:
                return
            is_full = self._pairs + len(request.texts) > _MOST_PAIRS
            if not is_full:
                self._waiting[key] = _Repair(request, running_loop())
                self._pairs += len(request.texts)
        if is_full:
            self._cache.on_event(RepairDropped("full"))
        else:
            self._thread.submit(partial(_work, ref(self), self._stop))

    def snapshot(self) -> dict[str, int]:
        """Number of requests that wait, and of those that were repaired so far."""
        return {"waiting": len(self._waiting), "repaired": self._repaired}

    def drain(self, timeout_s: float | None = None) -> bool:
        """Wait until nothing waits any more. Returns False if that takes longer than ``timeout_s`` seconds."""
        return self._thread.drain(timeout_s)

    def close(self, timeout_s: float | None = 5.0) -> None:
        """Drop what waits; wait at most ``timeout_s`` seconds for the call under way."""
        with self._lock:
            self._is_closed = True
            self._waiting.clear()
            self._pairs = 0
        self._stop.set()
        self._thread.close(timeout_s)

    def repair_next(self) -> bool | None:
        """Try the request that has waited longest. True if it is done with, False if not, None if none waits.

        Called in the background thread.
        """
        with self._lock:
            item = next(iter(self._waiting.items()), None)
        if item is None:
            return None
        key, repair = item
        reason = self._tried(repair)
        if reason == "not idle" or (reason == "error" and repair.failures < _MOST_FAILURES):
            return False
        with self._lock:
            if self._waiting.pop(key, None) is not None:
                self._pairs -= len(repair.request.texts)
        if reason is None:
            self._repaired += 1
            self._cache.on_event(Repaired(len(repair.scored)))
        else:
            self._cache.on_event(RepairDropped(reason))
        return True

    def _tried(self, repair: _Repair) -> str | None:
        """None if the request is scored and remembered, else why not."""
        policy = self._cache.policy(repair.request.tenant).asking_all()
        flow = rerank(repair.request, policy, self._cache.reranker, listwise=self._cache.listwise)
        try:
            run(flow, self._cache.calls(partial(self._score, repair)))
        except _NotIdleError:
            return "not idle"
        except _LoopEndedError:
            return "loop"
        except Exception:  # noqa: BLE001 - no caller waits for a repair; that it was dropped is an event
            repair.failures += 1
            return "error"
        return None

    def _score(
        self, repair: _Repair, query: str, texts: Sequence[str], ask: Sequence[int], *, deadline_s: float | None = None
    ) -> Scored:
        """The primary's scores of the documents at the positions ``ask``, piece by piece. For ``Calls``."""
        missing = [position for position in ask if position not in repair.scored]
        # An order cannot be put together from pieces, and a service bills calls and answers several at once.
        size = max(1, len(missing)) if self._cache.listwise or self._cache.is_remote else _PIECE
        for start in range(0, len(missing), size):
            piece = missing[start : start + size]
            scored = _NOT_NOW if self._is_closed else self._score_piece(repair, query, texts, piece)
            if scored.scores is None or scored.reason is not None:
                raise _NotIdleError(scored.reason or "no scores")
            repair.scored.update(zip(piece, scored.scores.tolist(), strict=True))
        return Scored(np.array([repair.scored[position] for position in ask], np.float32), self._cache.reranker)

    def _score_piece(self, repair: _Repair, query: str, texts: Sequence[str], piece: Sequence[int]) -> Scored:
        ladder = self._ladder
        if ladder is None:
            return _NOT_NOW
        try:
            scored = ladder.score_when_idle(query, texts, piece)
            if scored.reason != "awaited":
                return scored
            return _in_loop(repair.loop, ladder.ascore_when_idle(query, texts, piece)).result()
        except _LoopEndedError:
            raise
        except Exception as error:
            # No caller was failed, so this is not to be reported as a failure of the reranker.
            raise _FailedError(str(error)) from error

    def __repr__(self) -> str:
        return f"<Repairer of {self._cache.reranker!r}: {len(self._waiting)} requests waiting>"


def _work(repairer_ref: "ref[Repairer]", stop: Flag) -> None:
    """Repair until nothing waits, or the repairer is closed or gone; runs in the background thread."""
    pause_s = _FIRST_PAUSE_S
    while not stop.is_set() and (repairer := repairer_ref()) is not None:
        done = repairer.repair_next()
        # Nothing may keep the repairer alive during the pause.
        del repairer
        if done is None:
            return
        pause_s = _FIRST_PAUSE_S if done else min(2 * pause_s, _LONGEST_PAUSE_S)
        if not done:
            stop.wait(pause_s)


def _in_loop(loop: asyncio.AbstractEventLoop | None, call: Coroutine[Any, Any, Scored]) -> "Future[Scored]":
    if loop is None:
        return OWN_LOOP.submit(call)
    if not loop.is_running():
        call.close()
        raise _LoopEndedError("the event loop of the request has ended")
    return asyncio.run_coroutine_threadsafe(call, loop)


_NOT_NOW = Scored(None, "", "closed")


# All are a QueueFullError, which the driver does not report as a failure of the reranker.
class _NotIdleError(QueueFullError):
    """The primary is not healthy and idle at the moment."""


class _FailedError(QueueFullError):
    """The primary could not score a request of the background."""


class _LoopEndedError(QueueFullError):
    """The event loop that the reranker's client belongs to has ended."""
