"""The load of a model by its calls under way and those that wait, and which of these have waited too long."""

from collections.abc import Sequence
from typing import Protocol

from semcache.batching.admission import CALL_MARGIN, Load, is_hopeless, queued_s, remaining_s
from semcache.batching.jobs import Job
from semcache.batching.service_time import Cost


class UnderWay(Protocol):
    """A call under way since a time of the clock."""

    @property
    def pairs(self) -> int: ...

    @property
    def since(self) -> float: ...


def load_of(
    running: Sequence[UnderWay],
    waiting: tuple[int, int],
    merged: tuple[int, int],
    *,
    own: tuple[int, int] = (0, 0),
    tenant_share: float = 1.0,
    concurrency: int,
    cost: Cost | None,
    now: float,
    rate_wait_s: float,
    abandoned: int,
) -> Load:
    """The work that a new request would find before it.

    ``waiting`` are pairs and requests that wait, ``merged`` the most of both in one call. ``rate_wait_s`` is in how
    many seconds the rate limit would let a new call begin.

    ``own`` is what waits of the request's tenant, as far as it may only have the share ``tenant_share`` of the wait,
    because there are others: it counts so many times as much then.
    """
    is_full = len(running) >= concurrency
    left_s = [remaining_s(0.0 if cost is None else cost.seconds(call.pairs), now - call.since) for call in running]
    # The call that ends first makes room for what waits; if there is room already, nothing waits for that.
    first_free_s = min(left_s) if is_full else 0.0
    queued = max(queued_s(*waiting, cost, *merged), queued_s(*own, cost, *merged) / tenant_share)
    oldest = min(running, key=lambda call: call.since, default=None)
    return Load(
        busy=is_full or rate_wait_s > 0,
        abandoned=abandoned,
        wait_s=max(first_free_s + queued / concurrency, rate_wait_s),
        cost=cost,
        since=None if oldest is None else oldest.since,
        running_pairs=0 if oldest is None else oldest.pairs,
        all_for_s=now - max((call.since for call in running), default=now),
    )


def is_late(job: Job, cost: Cost | None, now: float) -> bool:
    """Whether the wait has cost a job its time: it cannot be scored before its deadline, as far as is known."""
    if job.deadline is None:
        return False
    left_s, at_first_s = job.deadline - now, job.deadline - job.arrived
    if left_s <= 0 or cost is None:
        return left_s <= 0
    seconds = CALL_MARGIN * cost.seconds(len(job.pairs))
    # One that had too little time from the beginning was sent in spite of that: the estimate may be wrong.
    return is_hopeless(seconds, left_s, cost.evidence) and not is_hopeless(seconds, at_first_s, cost.evidence)
