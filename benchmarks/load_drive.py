"""Sends the requests of a scenario to a side at their times, and records what came back."""

import asyncio
import gc
from collections.abc import Sequence
from itertools import cycle
from time import monotonic

import numpy as np

from benchmarks import load_bursts
from benchmarks.data import queries
from benchmarks.load_figures import FAILED, PRIMARY, Run, figures
from benchmarks.load_primaries import Clock, RealPrimary, ScriptedFallback, ScriptedPrimary, texts_of, true_scores
from benchmarks.load_scenarios import Scenario
from benchmarks.load_service import PlainClient, Service
from benchmarks.load_sides import LIMITED_SIDES, Parts, Side
from semcache.protocols import FloatArray, Pair

DRAIN_S = 60.0
"""Nominal seconds after the last arrival. A request that is not answered by then counts as failed, and late."""


def run(scenario: Scenario, side: str) -> tuple[dict[str, object], Run]:
    """Run a scenario in this process. Gives the row of figures, and the record for plots."""
    # A collection of the objects of imported libraries takes 100 ms and more: half a threshold of a scaled scenario.
    gc.collect()
    gc.freeze()
    record = asyncio.run(_run(scenario, side))
    return {"scenario": scenario.name, "side": side, **figures(record, scenario.incident)}, record


async def _run(scenario: Scenario, name: str) -> Run:
    times, work = scenario.times(), _work(scenario)
    origin = monotonic()

    def clock() -> float:
        return (monotonic() - origin) / scenario.scale

    fallback = ScriptedFallback(scenario)
    service = Service(scenario, clock) if scenario.limit_per_s else None
    model = (RealPrimary if scenario.real_per_s else ScriptedPrimary)(scenario, clock)
    primary = model if service is None else PlainClient(service.url)
    side = LIMITED_SIDES[name](Parts(scenario, primary, fallback, clock, "" if service is None else service.url))
    # Time begins when the side is there, so that nothing of its start is measured.
    origin = monotonic()
    calls = model.calls if service is None else service.calls
    record = Run(list(map(float, times)), [0.0] * len(times), [FAILED] * len(times), calls, side.switches)
    tasks = []
    for request, at in enumerate(record.arrived):
        await asyncio.sleep(max(0.0, at - clock()) * scenario.scale)
        record.lags.append((clock() - at) * scenario.scale)
        tasks.append(asyncio.create_task(_send(side, record, request, work[request], clock)))
    _, unanswered = await asyncio.wait(tasks, timeout=DRAIN_S * scenario.scale)
    for task in unanswered:
        task.cancel()
    for request, answer in enumerate(await asyncio.gather(*tasks, return_exceptions=True)):
        if isinstance(answer, np.ndarray):
            _check(work[request], answer, scenario)
    await side.close()
    if service is not None:
        service.close()
        later = sum(at > record.arrived[0] + 1.0 for at in service.refused)
        record.more = {"refused": len(service.refused), "refused_after_1s": later}
    return record


async def _send(side: Side, record: Run, request: int, pairs: Sequence[Pair], clock: Clock) -> FloatArray | None:
    """Send a request and note its answer. Gives the primary's scores; None of other answers."""
    scores = None
    try:
        record.by[request], given = await side.answer(pairs[0][0], [text for _, text in pairs])
        scores = given if record.by[request] == PRIMARY else None
    except Exception:  # noqa: BLE001 - counted: a caller who gets an error has no answer
        record.by[request] = FAILED
    finally:
        record.answered[request] = clock()
    return scores


def _check(pairs: Sequence[Pair], scores: FloatArray, scenario: Scenario) -> None:
    """Raises AssertionError for scores of other pairs. A quantised model's depend on the batch that they were in."""
    is_right = np.isfinite(scores).all() if scenario.real_per_s else np.array_equal(scores, true_scores(pairs))
    if not is_right:
        raise AssertionError(f"{pairs[0][0]!r} was given scores of other pairs: {scores}")


def _work(scenario: Scenario) -> list[list[Pair]]:
    """The pairs of each request; with real texts for a real model."""
    sizes = scenario.sizes()
    passages = iter(cycle(load_bursts.passages())) if scenario.real_per_s else None
    work = []
    for request, size in enumerate(sizes):
        query, texts = texts_of(request, size)
        if passages is not None:
            query, texts = f"{query} {queries()[request]}", [f"{text} {next(passages)}" for text in texts]
        work.append([(query, text) for text in texts])
    return work
