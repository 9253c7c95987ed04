"""Waits for the scores of another process that holds the lease of a request."""

import random
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import Any

from semcache.entries.codec import scores_of
from semcache.entries.entry import Scores
from semcache.events import Event, LeaseAwaited
from semcache.flow.steps import AwaitScores, Lease
from semcache.runtime.budget import current_budget

_WAITING_SHARE = 0.5
"""Of the time until a deadline: who waits in vain for half of it has the other half to compute."""

_FIRST_PAUSE_S, _LONGEST_PAUSE_S, _GROWTH = 0.005, 0.05, 1.5
"""Between two looks at Redis. A reranker takes 20 ms for a few short passages and a second for a hundred, so that about
a tenth of its time is lost at the most by looking late; and twenty looks a second of each process that waits, two
commands each, are a thousandth of what a server carries out."""


@dataclass(frozen=True, slots=True)
class LeaseCalls:
    """How leases are dealt with: by ordinary calls of a store, or by awaited ones.

    ``claim`` and ``look`` are the store's ``claim_lease`` and ``look_at_lease``; ``pause`` is ``time.sleep`` or
    ``asyncio.sleep``. ``computing`` renews a lease during a block. ``on_event`` is told how each wait ended, ``rng``
    gives numbers from 0 to 1.
    """

    claim: Callable[[Lease], Any]
    look: Callable[[Lease], Any]
    computing: Callable[[Lease], AbstractContextManager[None]]
    pause: Callable[[float], Any]
    on_event: Callable[[Event], None]
    rng: Callable[[], float] = random.random

    def wait(self, step: AwaitScores, deadline: float | None) -> Generator[Callable[[], Any], Any, Scores | None]:
        """The calls of a wait, and its result: the answer to the step. ``deadline`` is a time of ``time.monotonic``."""
        lease, began = step.lease, monotonic()
        # Where the process that holds it dies or hangs, one of those who wait takes its place a life later at most.
        wait_s = lease.longest_s + lease.life_s
        if deadline is not None:
            wait_s = min(wait_s, (deadline - began) * _WAITING_SHARE)
        if lease.is_ours is None:
            yield partial(self.claim, lease)
            if lease.is_ours:
                return step.known
        pause_s, scores, outcome = _FIRST_PAUSE_S, step.known, "timeout"
        try:
            while outcome == "timeout" and (left_s := began + wait_s - monotonic()) > 0:
                # At random, so that those who began to wait at the same time do not look all at once.
                yield partial(self.pause, min(left_s, pause_s * (0.5 + self.rng() / 2)))
                pause_s = min(pause_s * _GROWTH, _LONGEST_PAUSE_S)
                scores, outcome = yield from self._look(step)
        finally:
            step.waited_s = monotonic() - began
        self.on_event(LeaseAwaited(outcome, step.waited_s))
        return scores

    def _look(self, step: AwaitScores) -> Generator[Callable[[], Any], Any, tuple[Scores | None, str]]:
        """The scores at the moment, and how the wait has ended with that; "timeout" while it has not."""
        lease = step.lease
        budget = current_budget()
        left_s = 0.0 if budget is None else budget.left_s
        scores, is_free = yield partial(self.look, lease)
        if budget is not None:
            # This was spent on waiting for the other process, and not for Redis.
            budget.left_s = left_s
        if scores is not None:
            # Whosever the lease is then: a process that claimed it in between, and needs it no more, lets it expire.
            is_whole = None not in scores_of(scores, step.fingerprints)
            if is_whole or (is_free and scores != step.known):
                return scores, "answered"
        if not is_free:
            return step.known, "timeout"
        # The other process gave up, or died. Of those who wait for it, one takes its place.
        if not lease.is_ours:
            yield partial(self.claim, lease)
        return step.known, "released" if lease.is_ours else "timeout"
