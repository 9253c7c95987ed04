"""After the end of a batcher nothing of it is left: no thread, no task, no process, no open file."""

import asyncio
import gc
import threading
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from time import monotonic

import numpy as np
import pytest

from semcache.batching.batcher import Batcher
from semcache.errors import DeadlineExceededError
from semcache.protocols import FloatArray, Pair, Reranker
from semcache.rerankers import adapt
from tests.batching.process_models import InProcess
from tests.batching.test_processes import children
from tests.scripted import PATIENCE_S, ScriptedReranker


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def by_query(query: str, texts: list[str]) -> list[float]:
    return [float(len(text)) for text in texts]


async def awaited(query: str, texts: list[str]) -> list[float]:
    await asyncio.sleep(0.001)
    return by_query(query, texts)


async def hanging(query: str, texts: list[str]) -> list[float]:
    await asyncio.Event().wait()
    raise AssertionError


class Pausing(ScriptedReranker):
    """Takes a moment for each call, as a service does."""

    def score(self, pairs: Sequence[Pair]) -> FloatArray:
        threading.Event().wait(0.002)
        return np.zeros(len(pairs), dtype=np.float32)


@pytest.fixture(autouse=True)
async def nothing_left() -> AsyncIterator[None]:
    gc.collect()
    threads, files, processes = set(threading.enumerate()), open_files(), children()
    yield
    gc.collect()
    # A thread that was just told to end, or has just settled its last call, takes a moment to be gone.
    until = monotonic() + PATIENCE_S
    while set(threading.enumerate()) - threads and monotonic() < until:
        await asyncio.sleep(0.001)
    assert {thread.name for thread in set(threading.enumerate()) - threads} == set()
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert (open_files(), children()) == (files, processes)


@pytest.mark.parametrize("reranker", [ScriptedReranker(), Pausing(concurrency=20), adapt(awaited, concurrency=5)])
@pytest.mark.parametrize("drain", [True, False])
async def test_with_requests_that_come_go_and_wait(reranker: Reranker, drain: bool) -> None:
    batcher = Batcher(reranker)
    requests = [asyncio.ensure_future(batcher.ascore([(f"q{at}", "a"), ("q", "b")])) for at in range(100)]
    await asyncio.sleep(0.003)
    for request in requests[::7]:
        request.cancel()
    await batcher.aclose(drain=drain)
    results = await asyncio.gather(*requests, return_exceptions=True)
    if drain:
        kept = [result for at, result in enumerate(results) if at % 7]
        assert not [result for result in kept if isinstance(result, BaseException)]


async def test_after_calls_that_nothing_waits_for() -> None:
    batcher = Batcher(adapt(hanging))
    for text in "abc":
        with pytest.raises(DeadlineExceededError):
            await batcher.ascore([("q", text)], deadline=monotonic() + 0.01)
    assert batcher.abandoned == 3
    began = monotonic()
    await batcher.aclose()
    assert monotonic() - began < PATIENCE_S / 2, "they are not waited for"


async def test_of_processes() -> None:
    async with Batcher(InProcess(), workers="processes", concurrency=2) as batcher:
        await asyncio.gather(*(batcher.ascore([(f"q{at}", "a")]) for at in range(8)))
