"""Puts a subject through a fault, and says what requests saw of it."""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

import numpy as np

from tests.faults.fault import Fault
from tests.faults.models import ScriptedReranker
from tests.faults.proxy_process import ProxyProcess
from tests.faults.subjects import Setup, Subject
from tests.faults.traffic import Load, Record, Traffic
from tests.faults.world import World, a_world

_PATIENCE_S = 20.0
_BREAKER_S = 4.0
"""A reranker that has failed for two seconds is tried again within so many."""
_QUIET = ("Reranked", "BatchScored", "AuditDropped", "PruningMeasured")
"""Events that have nothing to do with faults."""


@dataclass(frozen=True, slots=True)
class Times:
    """How long requests go on before a fault, with it, and after its end; and how long the last ones may take."""

    before_s: float = 1.0
    with_s: float = 2.0
    after_s: float = 1.5
    patience_s: float = 2.5


@dataclass(frozen=True, slots=True)
class Delay:
    """What requests waited beyond the reranker's own time, in milliseconds."""

    p50_ms: float | None
    p99_ms: float | None


@dataclass(frozen=True, slots=True)
class Row:
    """What requests saw of a fault.

    ``unanswered`` are those that had no answer when the row ended. ``recovered_s`` is how long after its end both
    threads and tasks had hits again that need a search; None if they had none. ``is_told`` is False where no event told
    of a fault that one should tell of. Shares of hits are from 0 to 1.
    """

    subject: str
    strikes: str
    fault: str
    requests: int = 0
    failed: int = 0
    wrong: int = 0
    degraded: int = 0
    unanswered: int = 0
    before: Delay | None = None
    first_second: Delay | None = None
    later: Delay | None = None
    hits_before: float | None = None
    hits_with: float | None = None
    hits_after: float | None = None
    recovered_s: float | None = None
    heals: bool = True
    is_told: bool = True
    events: dict[str, int] = field(default_factory=dict)
    error: str = ""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def put_through(
    fault: Fault, make: Callable[[Setup], Subject], load: Load, times: Times, *, namespace: str = "faults"
) -> Row:
    """A row of the table, from a world of its own. Raises what the fault itself cannot do."""
    # Many calls at once, as of a service: else requests wait for each other, and not for the cache. A model that
    # misbehaves is one of this machine, which has one call at a time.
    reranker = ScriptedReranker(concurrency=1 if fault.strikes == "reranker" else 64)
    with a_world(ProxyProcess, reranker) as world:
        fault.prepare(world)
        subject = make(Setup(world.proxy.url, world.embedder, reranker, namespace))
        traffic = Traffic(subject, reranker, load)
        with traffic:
            row = _observe(fault, world, subject, traffic, times)
        subject.close()
    return row


def _observe(fault: Fault, world: World, subject: Subject, traffic: Traffic, times: Times) -> Row:
    traffic.wait_until_known(_PATIENCE_S)
    known = time.monotonic()
    time.sleep(times.before_s)
    told = subject.told()
    began = time.monotonic()
    fault.begin(world)
    time.sleep(max(0.0, began + max(times.with_s, fault.lasts_s) - time.monotonic()))
    ended = time.monotonic()
    fault.end(world)
    after_s = max(times.after_s, _BREAKER_S) if fault.strikes == "reranker" else times.after_s
    time.sleep(after_s)
    unanswered = traffic.stop(times.patience_s)
    told_since = subject.told() - told
    records = list(traffic.records)
    between = partial(_between, records)
    struck = [record for record in records if record.began >= known]
    failed = [record.error for record in struck if record.fate == "failed"]
    return Row(
        subject=subject.name,
        strikes=fault.strikes,
        fault=fault.name,
        requests=len(struck) + unanswered,
        failed=len(failed),
        wrong=sum(record.is_wrong for record in struck),
        degraded=sum(record.fate == "degraded" for record in struck),
        unanswered=unanswered,
        before=_delay(between(known, began)),
        first_second=_delay(between(began, began + 1.0)),
        later=_delay(between(began + 1.0, ended)),
        hits_before=_hits(between(known, began)),
        hits_with=_hits(between(began, ended)),
        hits_after=_hits(between(ended + after_s / 2, ended + after_s)),
        recovered_s=_recovered(between(ended, float("inf")), ended, fault.strikes) if fault.heals else None,
        heals=fault.heals,
        is_told=not fault.tells or any(told_since[name] for name in fault.tells),
        events={name: count for name, count in sorted(told_since.items()) if name not in _QUIET},
        error=max(set(failed), key=failed.count) if failed else "",
    )


def _between(records: Sequence[Record], start: float, stop: float) -> list[Record]:
    return [record for record in records if start <= record.began < stop]


def _delay(records: Sequence[Record]) -> Delay:
    added = [record.added_s * 1000 for record in records]
    if not added:
        return Delay(None, None)
    p50, p99 = np.percentile(added, (50, 99), method="inverted_cdf")
    return Delay(round(float(p50), 2), round(float(p99), 2))


def _hits(records: Sequence[Record]) -> float | None:
    if not records:
        return None
    return round(sum(record.fate == "hit" for record in records) / len(records), 3)


def _recovered(records: Sequence[Record], ended: float, strikes: str) -> float | None:
    """Until the end of the first request, of both kinds of callers, that shows that all works again."""

    def shows_it(record: Record) -> bool:
        # Hits go on without a reranker, so what shows its return is a miss that it answers.
        return record.fate == "miss" if strikes == "reranker" else record.fate == "hit" and record.is_near

    shown = [record for record in records if shows_it(record)]
    first = [
        min((record.began + record.took_s for record in shown if record.is_task is is_task), default=None)
        for is_task in (False, True)
    ]
    return None if None in first else round(max(at for at in first if at is not None) - ended, 3)
