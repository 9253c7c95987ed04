"""Cases of programs around the cache: they close, fork, run many event loops, and have callers that do harm."""

import asyncio
import gc
import os
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import cast

from semcache.protocols import Pair
from tests.faults.isolation import Case, Make, setup_of
from tests.faults.models import ScriptedReranker
from tests.faults.subjects import Semcache
from tests.faults.tally import Tally
from tests.faults.world import World
from tests.forks import in_child

_DOCUMENTS = [f"passage {number}" for number in range(8)]
_POISON = "poison"
_CALLERS = 30
_PATIENCE_S = 15.0


def _close_while_waiting(make: Make, world: World) -> Tally:
    """Threads wait for a slow reranker while another one closes the pipeline."""
    tally = Tally()
    reranker = ScriptedReranker(service_s=0.1)
    subject = make(replace(setup_of(world), reranker=reranker))
    called = threading.Event()
    reranker.fault = lambda pairs: called.set()
    with ThreadPoolExecutor(_CALLERS) as pool:
        waiting = [pool.submit(tally.ask, subject, f"question {n}", _DOCUMENTS) for n in range(_CALLERS)]
        called.wait(_PATIENCE_S)
        subject.close()
        tally.unanswered = len(wait(waiting, _PATIENCE_S).not_done)
    return tally


def _aclose_while_waiting(make: Make, world: World) -> Tally:
    """The same in an event loop."""
    tally = Tally()
    subject = cast("Semcache", make(replace(setup_of(world), reranker=ScriptedReranker(service_s=0.1))))

    async def go() -> None:
        waiting = [asyncio.create_task(tally.await_(subject, f"question {n}", _DOCUMENTS)) for n in range(_CALLERS)]
        await asyncio.sleep(0.05)
        await subject.pipeline.aclose()
        _, pending = await asyncio.wait(waiting, timeout=_PATIENCE_S)
        tally.unanswered = len(pending)

    asyncio.run(go())
    subject.close()
    return tally


def _fork(make: Make, world: World) -> Tally:
    """Forked children ask while a thread of the parent waits for the reranker; then the parent does."""
    tally = Tally()
    reranker = ScriptedReranker()
    with closing(make(replace(setup_of(world), reranker=reranker))) as subject:
        tally.ask(subject, "a known question", _DOCUMENTS)
        called, over = threading.Event(), threading.Event()
        parent = os.getpid()

        def hold(pairs: Sequence[Pair]) -> None:
            if os.getpid() == parent:
                called.set()
                over.wait(_PATIENCE_S)

        reranker.fault = hold
        in_flight = threading.Thread(target=tally.ask, args=(subject, "a question in flight", _DOCUMENTS))
        in_flight.start()
        called.wait(_PATIENCE_S)
        for query in ("a known question", "a new question", "a question in flight"):
            try:
                answer, error = in_child(partial(subject.rerank, query, _DOCUMENTS, 5)), ""
            except AssertionError as raised:
                answer, error = None, str(raised).splitlines()[-1]
            tally.count(answer, error, query, _DOCUMENTS)
        over.set()
        in_flight.join()
        tally.ask(subject, "a question of the parent", _DOCUMENTS)
    return tally


def _loops(make: Make, world: World) -> Tally:
    """``asyncio.run`` for every request, as in a synchronous view; the loops end without closing anything."""
    tally = Tally()
    with closing(make(setup_of(world))) as subject:
        asyncio.run(tally.await_(subject, "question 0", _DOCUMENTS))
        gc.collect()
        before = _descriptors(), len(world.admin.client_list())
        for number in range(60):
            asyncio.run(tally.await_(subject, f"question {number % 5}", _DOCUMENTS))
        gc.collect()
        after = _descriptors(), len(world.admin.client_list())
        tally.note = f"{after[0] - before[0]:+d} descriptors, {after[1] - before[1]:+d} connections"
    return tally


def _descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def _poisoned(make: Make, world: World) -> Tally:
    """A tenant sends what the reranker cannot read, in bursts, after a while; requests of another one are counted."""
    tally, harm = Tally(), Tally()
    reranker = ScriptedReranker()

    def refuse(pairs: Sequence[Pair]) -> None:
        if any(text.startswith(_POISON) for _, text in pairs):
            raise ValueError("cannot read this")

    reranker.fault = refuse
    with closing(make(replace(setup_of(world), reranker=reranker))) as subject, ThreadPoolExecutor(8) as pool:
        for number in range(100):
            if number % 25 == 20:
                burst = [[f"{_POISON} {number} {n}", *_DOCUMENTS] for n in range(8)]
                harmful = [pool.submit(harm.ask, subject, f"bad {number}", texts, "mallory") for texts in burst]
            tally.ask(subject, f"question {number}", _DOCUMENTS, "alice")
            time.sleep(0.03)
        wait(harmful)
    tally.note = f"{tally.degraded} of {tally.requests} degraded"
    return tally


def program_cases() -> Iterator[Case]:
    """All of them."""
    yield Case("close() while 30 threads wait", _close_while_waiting, own=True)
    yield Case("aclose() while 30 tasks wait", _aclose_while_waiting, own=True)
    yield Case("fork in mid-flight", _fork)
    yield Case("an event loop for each request", _loops)
    yield Case("a tenant whose requests make the reranker fail", _poisoned)
