"""Measures together with other processes what reuses cost, and withdraws trust that costs too much."""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from math import inf
from time import monotonic
from typing import Any

from semcache.causes import cause_of
from semcache.events import CacheFailed, TrustChanged
from semcache.flow.policy import FlowPolicy, TenantTrust
from semcache.protocols import Clock
from semcache.quality.consensus import decide_for_all
from semcache.quality.statistics import Observation
from semcache.quality.trust import NEVER, Trust, decide
from semcache.redis.quality_state import QualityState, QualityStore
from semcache.runtime.background import Background
from semcache.scoped_cache import ScopedCache

# Enough for a burst of verified reuses; of more, the oldest are dropped.
_MOST_WAITING = 256
# The whole state is read after so many observations and not after each: an alarm may come later by as many.
_READ_EVERY = 8
# A process that observes nothing itself follows the decisions of the others with this delay at most, in seconds.
_REFRESH_S = 10.0

Observed = Callable[[], Observation | None]
"""Makes an observation, or None when there is nothing to learn; called in the quality thread."""


class QualityWatch:
    """Adds observations of one reranker's scores to the state in Redis, and puts the policy in force that follows.

    All of that happens in a background thread. ``budget`` is the mean ``order_loss`` that trusted near queries may
    cost.
    """

    def __init__(self, cache: ScopedCache, budget: float, *, clock: Clock = monotonic) -> None:
        self._cache = cache
        self._budget = budget
        self._clock = clock
        self._scope = self._scope_now()
        self._store = QualityStore(cache.backend.connection, cache.backend.knobs.namespace, *self._scope)
        # Replaced as a whole by the quality thread and read by any other: a reader sees the old or the new one.
        self._state = QualityState(Trust(), {})
        # Appending and popping at opposite ends of a deque needs no lock.
        self._observed: deque[Observed] = deque(maxlen=_MOST_WAITING)
        # Requests write these two without a lock, and so does the quality thread. A lost write costs one look at Redis
        # too many or too late.
        self._unread = 0
        self._due = -inf
        # One waiting job is enough: it takes all observations that wait when its turn comes.
        self._thread = Background(1, "semcache-quality")

    def observe(self, make: Observed) -> None:
        """Count an observation soon. It is made in the background, since guards and statistics take time."""
        self._observed.append(make)
        self._thread.submit(self._work)

    def keep_up(self) -> None:
        """Look soon at what other processes have decided, if the last look was long ago. Waits for nothing."""
        if self._clock() >= self._due:
            self._due = self._clock() + _REFRESH_S
            self._unread = _READ_EVERY
            self._thread.submit(self._work)

    def snapshot(self) -> dict[str, Any]:
        """How far scores are trusted, why, and the losses seen by band of similarity, as of the last look at Redis.

        ``trust_threshold`` is the similarity from which near queries are trusted, None if none is. Tenants whose own
        requests were seen to lose more are in ``tenant_groups_with_less_trust`` of 16 groups.
        """
        state = self._state
        # Of a single tenant, its own is what is in force.
        trust = state.trust_of(next(iter(state.by_tenants))) if len(state.by_tenants) == 1 else state.trust
        reuse = self._cache.backend.policy.reuse
        threshold = NEVER if reuse is None else trust.threshold(reuse.trust_threshold)
        return {
            "trust_threshold": None if threshold == NEVER else threshold,
            "trust_exact": trust.exact,
            "reason": trust.reason or None,
            "tenant_groups_with_less_trust": sum(own.is_stricter_than(state.trust) for own in state.own.values()),
            "bands": {band: statistics.summary() for band, statistics in state.statistics.items()},
        }

    def drain(self, timeout_s: float | None = None) -> bool:
        """Wait until everything observed so far is counted. Returns False if that takes longer than ``timeout_s``."""
        return self._thread.drain(timeout_s)

    def close(self, timeout_s: float | None = None) -> None:
        """Count no more."""
        self._thread.close(timeout_s)

    def _work(self) -> None:
        """Count the observations that wait, and read the state in Redis if that is due; runs in the quality thread."""
        try:
            self._follow_scope()
            # As many as there are now: requests may add more meanwhile, and those have submitted a job of their own.
            waiting = [self._observed.popleft() for _ in range(len(self._observed))]
            observations = [observation for make in waiting if (observation := make()) is not None]
            self._unread += len(observations)
            read = self._unread >= _READ_EVERY
            if observations:
                state = self._store.add(observations, read=read)
            else:
                state = self._store.read() if read else None
            if state is not None:
                self._unread = 0
                self._follow(state)
        except Exception as error:  # noqa: BLE001 - no caller waits for this thread; a few observations are lost
            self._cache.on_event(CacheFailed("Quality", cause_of(error)))

    def _scope_now(self) -> tuple[str, str]:
        return self._cache.reranker, self._cache.backend.embedder_name

    def _follow_scope(self) -> None:
        """Begin anew where the reranker or the embedder turned out to be another one than its name said."""
        if self._scope != self._scope_now():
            self._scope = self._scope_now()
            backend = self._cache.backend
            self._store = QualityStore(backend.connection, backend.knobs.namespace, *self._scope)
            self._state = QualityState(Trust(), {})

    def _follow(self, state: QualityState) -> None:
        """Decide what the state in Redis says about trust, and put the policy in force that follows."""
        policy = self._cache.backend.policy
        floor = self._cache.backend.reuse_knobs.trust_floor
        if policy.reuse is not None:
            # What is not similar enough to be verified is not found at all.
            floor = max(floor, policy.reuse.reuse_threshold)
        limits = _threshold(policy), self._budget, floor
        trust = decide_for_all(state.trust, state.by_tenants, *limits)
        if trust is not state.trust:
            # Another process may have decided first. Then its decision is what comes back, and it counts.
            state = self._store.change(state, trust)
        for tenants, statistics in state.by_tenants.items() if any(state.by_tenants) else ():
            own = decide(state.trust_of(tenants), statistics, *limits)
            if own is not state.trust_of(tenants):
                state = self._store.change(state, own, tenants)
        old, self._state = self._state, state
        self._tell(old, state, policy)
        if _in_force(old.trust) != _in_force(state.trust) or old.own != state.own:
            after = restricted(policy, state.trust, state.own)

            def changed(policy: FlowPolicy) -> FlowPolicy:
                # The other watch decides about these.
                return replace(after, prune=policy.prune, surrogate=policy.surrogate, unpruned=policy.unpruned)

            self._cache.backend.restrict(self._cache.reranker, changed)

    def _tell(self, old: QualityState, new: QualityState, policy: FlowPolicy) -> None:
        """Tell observers whose trust has changed."""
        scope = f"{self._cache.backend.knobs.namespace}/{self._cache.reranker}"
        for tenants in (None, *new.own):
            before, now = old.trust_of(tenants), new.trust_of(tenants)
            if _in_force(before) != _in_force(now):
                name = scope if tenants is None else f"{scope}, a group of tenants"
                was, is_ = (_threshold(restricted(policy, trust)) for trust in (before, now))
                self._cache.on_event(TrustChanged(name, was, is_, now.reason))

    def __repr__(self) -> str:
        return f"<QualityWatch of {self._cache.reranker!r}: {self._state.trust}>"


def restricted(policy: FlowPolicy, trust: Trust, own: Mapping[str, Trust] | None = None) -> FlowPolicy:
    """The policy that the user allows, with only as much trust as there is; ``own`` is that of groups of tenants."""
    tenants = {} if own is None else {name: _tenant_trust(policy, each) for name, each in own.items()}
    of_all = _tenant_trust(policy, trust)
    policy = replace(
        policy,
        trust_near=of_all.trust_near,
        trust_exact=of_all.trust_exact,
        withdrawn=of_all.withdrawn,
        tenants=tenants,
    )
    if policy.reuse is None or not policy.trust_near:
        return policy
    return replace(policy, reuse=replace(policy.reuse, trust_threshold=of_all.trust_threshold))


def _tenant_trust(policy: FlowPolicy, trust: Trust) -> TenantTrust:
    reason = trust.reason if trust.is_stricter_than(Trust()) else ""
    users = NEVER if policy.reuse is None else policy.reuse.trust_threshold
    # Where no near query is trusted, the threshold is not asked for, and stays the user's.
    threshold = users if trust.near == NEVER else trust.threshold(users)
    return TenantTrust(trust.near < NEVER, trust.exact, threshold, reason)


def _in_force(trust: Trust) -> tuple[float, float, bool]:
    return trust.near, trust.low, trust.exact


def _threshold(policy: FlowPolicy) -> float:
    """The similarity from which near queries are trusted; infinite if none is."""
    return policy.reuse.trust_threshold if policy.trust_near and policy.reuse is not None else NEVER
