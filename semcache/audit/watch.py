"""Counts together with other processes what reuses cost, and follows what is decided from that."""

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from math import inf
from time import monotonic
from typing import Any

from semcache.audit.background import Background
from semcache.cache import RedisSemanticCache
from semcache.events import CacheFailed, TrustChanged
from semcache.flow.rerank import FlowPolicy
from semcache.protocols import Clock
from semcache.quality.statistics import Observation
from semcache.quality.trust import NEVER, Trust, decide
from semcache.redis.quality_state import QualityState, QualityStore

# A burst of verified reuses; beyond that, older ones give way to newer ones.
_MOST_WAITING = 256
# Reading the whole state takes about a millisecond of the interpreter; an alarm may be late by as many observations.
_READ_EVERY = 8
# How late a process that observes nothing itself follows the others.
_REFRESH_S = 10.0

Observed = Callable[[], Observation | None]
"""Makes an observation, or finds that there is none to make; called in the background."""


class QualityWatch:
    """Adds observations to the state in Redis and sets the policy that the cache has in force, all in the background.

    ``budget`` is the mean ``order_loss`` that trusted near queries may cost.
    """

    def __init__(self, cache: RedisSemanticCache, budget: float, *, clock: Clock = monotonic) -> None:
        backend = cache.backend
        self._cache = cache
        self._budget = budget
        self._clock = clock
        self._store = QualityStore(backend.connection, backend.knobs.namespace, cache.reranker, backend.embedder.name)
        self._state = QualityState(Trust(), {})
        self._observed: deque[Observed] = deque(maxlen=_MOST_WAITING)
        self._unread = 0
        self._due = -inf
        self._thread = Background(1, "semcache-quality")  # one waiting job does all that is waiting then

    def observe(self, make: Observed) -> None:
        """Count an observation soon."""
        self._observed.append(make)
        self._thread.submit(self._work)

    def keep_up(self) -> None:
        """Look soon at what others have decided, if that was long ago."""
        if self._clock() >= self._due:
            self._due = self._clock() + _REFRESH_S
            self._unread = _READ_EVERY
            self._thread.submit(self._work)

    def threshold(self) -> float | None:
        """The similarity from which near queries are trusted now; None: none is."""
        reuse = self._cache.backend.policy.reuse
        threshold = NEVER if reuse is None else self._state.trust.threshold(reuse.trust_threshold)
        return None if threshold == NEVER else threshold

    def snapshot(self) -> dict[str, Any]:
        """What is trusted, why, and what was seen by band of similarity; as of the last look at Redis."""
        state = self._state
        return {
            "trust_threshold": self.threshold(),
            "trust_exact": state.trust.exact,
            "reason": state.trust.reason or None,
            "bands": {band: one.summary() for band, one in state.statistics.items()},
        }

    def drain(self, timeout_s: float | None = None) -> bool:
        """Wait until everything observed so far is counted; False if that takes longer."""
        return self._thread.drain(timeout_s)

    def close(self, timeout_s: float | None = None) -> None:
        """Count no more."""
        self._thread.close(timeout_s)

    def _work(self) -> None:
        try:
            self._count()
        except Exception as error:  # noqa: BLE001 - nobody waits for this thread; what is lost is told, and a few counts
            self._cache.on_event(CacheFailed("Quality", f"{type(error).__name__}: {error}"))

    def _count(self) -> None:
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
            self._follow(self._judged(state))

    def _judged(self, state: QualityState) -> QualityState:
        reuse = self._cache.backend.policy.reuse
        wanted = NEVER if reuse is None else reuse.trust_threshold
        trust = decide(state.trust, state.statistics, wanted, self._budget)
        return state if trust is state.trust else self._store.change(state, trust)

    def _follow(self, state: QualityState) -> None:
        old, self._state = self._state, state
        if (old.trust.near, old.trust.exact) == (state.trust.near, state.trust.exact):
            return
        policy = self._cache.backend.policy
        after = restricted(policy, state.trust)
        before = self._cache.backend.restrict(self._cache.reranker, after)
        scope = f"{self._cache.backend.knobs.namespace}/{self._cache.reranker}"
        self._cache.on_event(TrustChanged(scope, _threshold(before), _threshold(after), state.trust.reason))

    def __repr__(self) -> str:
        return f"<QualityWatch of {self._cache.reranker!r}: {self._state.trust}>"


def restricted(policy: FlowPolicy, trust: Trust) -> FlowPolicy:
    """What a flow may do, of what the user allows, with as much trust as there is."""
    policy = replace(policy, trust_near=trust.near < NEVER, trust_exact=trust.exact)
    if policy.reuse is None or not policy.trust_near:
        return policy
    threshold = trust.threshold(policy.reuse.trust_threshold)
    return replace(policy, reuse=replace(policy.reuse, trust_threshold=threshold))


def _threshold(policy: FlowPolicy) -> float:
    return policy.reuse.trust_threshold if policy.trust_near and policy.reuse is not None else NEVER
