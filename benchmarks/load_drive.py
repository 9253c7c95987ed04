"""Sends the requests of a scenario to a side at their times, and records what came back."""

import asyncio
import gc
from time import monotonic

import numpy as np

from benchmarks.load_figures import FAILED, PRIMARY, Run, figures
from benchmarks.load_primaries import Clock, ScriptedFallback, ScriptedPrimary, texts_of, true_scores
from benchmarks.load_scenarios import Scenario
from benchmarks.load_service import PlainClient, Service
from benchmarks.load_sides import SIDES, Parts, Side

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
    times, sizes = scenario.times(), scenario.sizes()
    # The first request comes a second after the side is made, so that nothing of its start is measured.
    origin = monotonic() + 1

    def clock() -> float:
        return (monotonic() - origin) / scenario.scale

    fallback = ScriptedFallback(scenario)
    service = Service(scenario, clock) if scenario.limit_per_s else None
    primary = ScriptedPrimary(scenario, clock) if service is None else PlainClient(service.url)
    side = SIDES[name](Parts(scenario, primary, fallback, clock, "" if service is None else service.url))
    calls = primary.calls if service is None else service.calls
    record = Run(list(map(float, times)), [0.0] * len(times), [FAILED] * len(times), calls, side.switches)
    tasks = []
    for request, at in enumerate(record.arrived):
        await asyncio.sleep(max(0.0, at - clock()) * scenario.scale)
        record.lags.append((clock() - at) * scenario.scale)
        tasks.append(asyncio.create_task(_send(side, record, request, sizes[request], clock)))
    _, unanswered = await asyncio.wait(tasks, timeout=DRAIN_S * scenario.scale)
    for task in unanswered:
        task.cancel()
    if unanswered:
        await asyncio.wait(unanswered)
    await side.close()
    if service is not None:
        service.close()
        later = sum(at > record.arrived[0] + 1.0 for at in service.refused)
        record.more = {"refused": len(service.refused), "refused_after_1s": later}
    return record


async def _send(side: Side, record: Run, request: int, pairs: int, clock: Clock) -> None:
    query, texts = texts_of(request, pairs)
    try:
        by, scores = await side.answer(query, texts)
    except Exception:  # noqa: BLE001 - counted: a caller who gets an error has no answer
        by = FAILED
    except asyncio.CancelledError:
        record.answered[request] = clock()
        raise
    else:
        if by == PRIMARY and not np.array_equal(scores, true_scores([(query, text) for text in texts])):
            raise AssertionError(f"{record.by[request]}: request {request} was given another one's scores: {scores}")
        record.by[request] = by
    record.answered[request] = clock()
