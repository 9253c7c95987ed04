"""Lets one process learn, in the background, from requests that were scored whole what need not be asked."""

from asyncio import AbstractEventLoop
from collections import deque
from math import inf
from time import monotonic
from typing import Any

import numpy as np

from semcache.audit.document_vectors import DocumentEmbedder
from semcache.audit.learner import PruningLearner
from semcache.audit.tenant_shares import TenantShares
from semcache.causes import cause_of
from semcache.degradation.cascade import Cascade
from semcache.entries.fingerprint import entry_id
from semcache.errors import StoreError
from semcache.events import CacheFailed, PruningChanged, PruningMeasured
from semcache.flow.outcome import Outcome, Whole
from semcache.flow.policy import PrunePolicy
from semcache.flow.prune import described, vectors_at_hand
from semcache.flow.requests import Request
from semcache.protocols import Clock
from semcache.pruning.surrogate import Surrogate
from semcache.quality.pruning import ASK_ALL, Pruning
from semcache.ranking import Status
from semcache.redis.earlier import Taught
from semcache.redis.pruning_state import PruningStore
from semcache.runtime.background import Background
from semcache.runtime.countdown import Countdown
from semcache.runtime.forking import renew_in_child
from semcache.runtime.loops import running_loop
from semcache.scoped_cache import ScopedCache

# Each holds the texts of a request. When requests come faster than they can be learned from, the oldest are dropped.
_MOST_WAITING = 256
# Learning takes about a millisecond per request, and this share of the time at most. Services that score a thousand
# requests per second are learned from by sampling.
_SHARE_OF_TIME = 0.2
# How often what was learned is added to that of other processes, which is also how late their decisions are followed.
# Two round trips, in seconds.
_FLUSH_S = 5.0
# The figures of a scope change slowly; an event of them once a minute is enough for a dashboard.
_REPORT_S = 60.0


class PruningWatch:
    """Learns in a background thread from what one reranker says, and puts in force the pruning that follows.

    ``budget`` is the mean loss that pruning may cost. Sums and losses are shared with the other processes of the scope
    every few seconds; while Redis is away, a process goes on with what it knows. ``cascade`` scores all documents
    first. ``share_of_time`` is how much of the time learning may take. ``documents`` embeds those that callers pass no
    vectors of; None where that is not set.
    """

    def __init__(
        self,
        cache: ScopedCache,
        budget: float,
        *,
        cascade: Cascade | None = None,
        clock: Clock = monotonic,
        share_of_time: float = _SHARE_OF_TIME,
    ) -> None:
        self._cache = cache
        self._budget = budget
        self._cascade = cascade
        self._cheap_pairs = 0
        self._clock = clock
        self.share_of_time = share_of_time
        policy = cache.backend.policy.for_service() if cache.is_remote else cache.backend.policy
        prune, self._reuse = policy.prune, policy.reuse
        # Orders of a listwise reranker say nothing about single documents.
        self.is_on: bool = prune is not None and not cache.listwise
        self._prune = prune or PrunePolicy()
        embeds = self.is_on and self._prune.document_vectors == "embed"
        self.documents: DocumentEmbedder | None = (
            DocumentEmbedder(cache, self._prune.max_document_vectors) if embeds else None
        )
        # Appending and popping at opposite ends of a deque needs no lock.
        self._waiting: deque[tuple[Request, Outcome, Whole, AbstractEventLoop | None]] = deque(maxlen=_MOST_WAITING)
        self._thread = Background(1, "semcache-pruning")
        # Requests write these two without a lock. A lost write costs one look at Redis too many or too late.
        self._due = -inf
        self._resume = -inf
        # All below belong to the background thread.
        self._reported = -inf
        self._shares = TenantShares()
        self._learner = self._begin()
        renew_in_child(self)
        if self.is_on and self._prune.mode == "on":
            # What other processes have learned must not wait for the first request here.
            self._thread.submit(self._work)

    def consider(self, request: Request, outcome: Outcome) -> None:
        """Learn soon from a request that was scored whole. Waits for nothing."""
        if not self.is_on:
            return
        if self.documents is not None and request.document_vectors is None and outcome.status is not Status.DEGRADED:
            self.documents.consider(request)
        if outcome.whole is not None and self._clock() >= self._resume:
            self._waiting.append((request, outcome, outcome.whole, running_loop()))
            self._thread.submit(self._work)
        elif self._prune.mode == "on" and self._clock() >= self._due:
            # What other processes have learned and decided is followed, also without requests to learn from.
            self._thread.submit(self._work)

    @property
    def surrogate(self) -> Surrogate | None:
        """The surrogate as learned so far; None while it rests on too little."""
        return self._learner.surrogate

    def snapshot(self) -> dict[str, Any]:
        """Savings and cost of pruning by confidence, and what is in force, as of the last look at Redis.

        ``confidence`` is that in force, None while nothing is skipped. ``requests``, ``avoided`` (share of the pairs),
        ``loss`` and its bounds are of the confidence that is, or would be, in force. ``features``: what share of the
        documents learned from had each feature, such as ``cosine``, for which vectors are needed. ``cascade``, with
        that setting: the cheap reranker, how many pairs this process asked it about to learn from them, and
        ``cost_share``, the time of its pair as a share of a whole one. It sees every pair, so that what is saved is
        ``avoided`` less that share.
        """
        if not self.is_on:
            return {"mode": "off"}
        learner, state, in_force = self._learner, self._learner.state, self._learner.in_force
        shown = state.statistics.get(learner.shown_level)
        return {
            "mode": self._prune.mode,
            "confidence": in_force if self._prune.mode == "on" and in_force < ASK_ALL else None,
            "reason": state.pruning.reason or None,
            "learned_from": round(learner.known.requests),
            "features": {name: round(share, 3) for name, share in learner.known.feature_shares.items()},
            **self._cascade_figures(),
            **({"n": 0} if shown is None else shown.summary()),
            "by_confidence": {level: seen.summary() for level, seen in sorted(state.statistics.items())},
        }

    def _cascade_figures(self) -> dict[str, Any]:
        if self._cascade is None:
            return {}
        name, share = self._cascade.reranker, self._cascade.cost_share()
        return {"cascade": {"reranker": name, "pairs_learned": self._cheap_pairs, "cost_share": share}}

    def drain(self, timeout_s: float | None = None) -> bool:
        """Wait until everything considered so far is counted and shared. False if that takes longer."""
        if not self.is_on:
            return True
        if not self._thread.drain(timeout_s) or not (self.documents is None or self.documents.drain(timeout_s)):
            return False
        self._due = -inf
        self._thread.submit(self._work)
        return self._thread.drain(timeout_s)

    def close(self, timeout_s: float) -> None:
        """Share what was learned, once more, and learn no more."""
        countdown = Countdown(timeout_s)
        if self.documents is not None:
            self.documents.close(countdown.left_s(timeout_s))
        # A process that answers a few requests and ends would teach nothing otherwise.
        if self._learner.has_news:
            self.drain(countdown.left_s(timeout_s))
        self._thread.close(countdown.left_s(timeout_s))

    def after_fork_in_child(self) -> None:
        """Leave to the parent what it has learned and not shared yet."""
        self._waiting.clear()
        self._taught.clear()
        self._learner.drop()

    def _begin(self) -> PruningLearner:
        """Begin anew, with what is known in the present scope."""
        self._scope = self._scope_now()
        self._is_new = True
        self._taught: dict[str, list[Taught]] = {}
        backend = self._cache.backend
        store = PruningStore(backend.connection, backend.knobs.namespace, *self._scope, self._prune.cascade or "")
        return PruningLearner(store, self._prune, self._reuse, self._budget)

    def _scope_now(self) -> tuple[str, str]:
        return self._cache.reranker, self._cache.backend.embedder_name

    def _work(self) -> None:
        """Learn from the requests that wait, and share what was learned if that is due; runs in the thread."""
        try:
            # The reranker or the embedder turned out to be another one than its name said.
            if self._scope != self._scope_now():
                self._learner = self._begin()
            is_new, self._is_new = self._is_new, False
            if is_new:
                # Applications make rerankers per request: what the others learned is needed for the first one already.
                self._share()
            was_doubted = self._learner.is_doubted
            while self._waiting:
                started = self._clock()
                self._learn(*self._waiting.popleft())
                took = self._clock() - started
                self._resume = started + took / self.share_of_time
            if self._learner.is_doubted != was_doubted:
                # To explore more, or no more, needs no look at Redis.
                self._put_in_force()
            if self._learner.has_news if is_new else self._clock() >= self._due:
                self._share()
        except Exception as error:  # noqa: BLE001 - no caller waits for this thread; what was learned here stays here
            self._cache.on_event(CacheFailed("Learn", cause_of(error)))

    def _learn(self, request: Request, outcome: Outcome, whole: Whole, loop: AbstractEventLoop | None) -> None:
        if outcome.scores is None or not self._shares.admits(request.tenant):
            return
        policy = self._cache.backend.policy
        vectors = vectors_at_hand(request, policy, whole.vector)
        if vectors is None and self._prune.document_vectors == "embed":
            vectors = self._cache.store.read_document_vectors(request.tenant, request.fingerprints)
        query, names = entry_id(request.tenant, request.query), request.fingerprints
        try:
            # As it was before this request, and without its own scores: they would foretell themselves.
            earlier = self._cache.store.read_earlier(request.tenant, query, names)
        except StoreError:
            # To share what was learned will fail just as well, and tells of it.
            earlier = None
        cheap = None
        if self._cascade is not None:
            cheap = self._cascade.score_from(loop, request.query, request.texts)
            self._cheap_pairs += 0 if cheap is None else len(cheap)
        features = described(request, policy, request.query, whole.vector, vectors, earlier=earlier, cheap_scores=cheap)
        scores = np.array(outcome.scores, dtype=float)
        better = self._learner.learn(features, scores, request.top_k, vectors, names, whole.neighbours)
        if np.isfinite(better).all():
            self._taught.setdefault(request.tenant, []).append(Taught(query, names, better))

    def _share(self) -> None:
        """Share what was learned, and put in force what all of it says."""
        self._due = self._clock() + _FLUSH_S
        # What cannot be added now is let go: it is only a help, and there is more of it all the time.
        taught, self._taught = self._taught, {}
        for tenant, queries in taught.items():
            self._cache.store.add_earlier(tenant, queries, self._prune.max_document_vectors)
        before = self._learner.share()
        self._put_in_force()
        self._tell(before)

    def _put_in_force(self) -> None:
        self._cache.backend.restrict(self._cache.reranker, self._learner.restricted)

    def _tell(self, before: Pruning) -> None:
        learner, now = self._learner, self._learner.state.pruning
        scope = f"{self._cache.backend.knobs.namespace}/{self._cache.reranker}"
        # While only measuring, nothing is in force that could change.
        if self._prune.mode == "on" and before.confidence != now.confidence:
            self._cache.on_event(PruningChanged(scope, before.confidence, now.confidence, now.reason))
        shown = learner.state.statistics.get(learner.shown_level)
        if shown is not None and self._clock() - self._reported >= _REPORT_S:
            self._reported = self._clock()
            summary = shown.summary()
            if summary["n"]:
                figures = (summary[name] for name in ("n", "avoided", "loss", "loss_low", "loss_high"))
                self._cache.on_event(PruningMeasured(scope, learner.shown_level, *figures))

    def __repr__(self) -> str:
        return f"<PruningWatch of {self._cache.reranker!r}: {self._learner!r}>"
