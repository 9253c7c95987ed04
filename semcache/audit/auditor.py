"""Learns from the answers of a cache how good they are; some are scored afresh for that.

Every verified reuse is an observation for free. Of the answers that asked no reranker a sampled share is scored afresh
in the background: a few pairs at a time, and only while no request needs the reranker.
"""

import random
from collections.abc import Callable, Sequence
from functools import partial
from math import inf
from time import monotonic
from typing import Any

import numpy as np

from semcache.audit.pruning import PruningWatch
from semcache.audit.watch import QualityWatch
from semcache.degradation.cascade import Cascade
from semcache.entries.fingerprint import entry_id, tenant_group
from semcache.events import AuditDropped
from semcache.flow.outcome import Evidence, Outcome
from semcache.flow.requests import Request
from semcache.flow.rerank import remember
from semcache.flow.run import run
from semcache.identity.ladder import ScoreWhenIdle
from semcache.protocols import Clock, Ladder, Scored
from semcache.quality.noise import Noise
from semcache.quality.statistics import EXACT, Floats, Observation, band_of, order_loss
from semcache.ranking import Status
from semcache.runtime.background import Background
from semcache.runtime.countdown import Countdown
from semcache.scoped_cache import ScopedCache

# Pairs per call of an audit. A request that arrives during an audit waits for one such call at most.
_PIECE = 8
# Audits that wait each hold the texts of a request. A queue that is full says that the rate is too high for the model.
_MOST_WAITING = 4
# Fewer documents say little about an order, unless a request has no more.
_MIN_DOCUMENTS = 5
# A loss below this cannot raise a mean above any limit of trust, so that it needs no explanation.
_TO_EXPLAIN = 0.001
# The noise is a property of the model, so that some pairs say it, and a second answer about them now and then: with a
# small model these take a few hundredths of one processor's time at first, and then next to nothing.
_NOISE_DOCUMENTS = 16
_NOISE_EVERY_S = 10.0
_KNOWN_NOISE_EVERY_S = 600.0


class Auditor:
    """Watches the answers of one reranker's cache.

    ``audit_rate`` is the share of answers without a model call that are scored afresh; 0 turns all watching of reuse
    off. What is learned from requests that were scored whole depends on the setting ``prune.mode`` alone.
    ``quality_budget`` is the mean ``order_loss`` that trusted near queries may cost before they are trusted less.
    ``cascade`` scores all documents first (setting ``prune.cascade``). ``rng`` gives numbers from 0 to 1. Orders
    of a listwise reranker are not watched: such models (often language models) answer differently from call to call,
    which says nothing about the cache.
    """

    def __init__(
        self,
        cache: ScopedCache,
        ladder: Ladder,
        *,
        audit_rate: float,
        quality_budget: float,
        cascade: Cascade | None = None,
        rng: Callable[[], float] = random.random,
        clock: Clock = monotonic,
    ) -> None:
        self._cache = cache
        # A ladder without this method cannot tell when it is idle, and is not disturbed; verified reuses still teach.
        self._score_when_idle: ScoreWhenIdle | None = getattr(ladder, "score_when_idle", None)
        self._rate = 0.0 if cache.listwise else audit_rate
        self._rng = rng
        self.is_closed: bool = False
        self._thread = Background(_MOST_WAITING, "semcache-audit")
        # Replaced as a whole by the audit thread, and read by the quality thread, too.
        self._noise = Noise()
        self._clock = clock
        self._noise_due = -inf
        self.watch: QualityWatch = QualityWatch(cache, quality_budget, clock=clock)
        self.pruning: PruningWatch = PruningWatch(cache, quality_budget, cascade=cascade, clock=clock)
        if self._rate:
            # Trust that other processes have withdrawn must not wait for the first request here.
            self.watch.keep_up()

    def consider(self, request: Request, outcome: Outcome) -> None:
        """Learn from an answer in the background, if it teaches anything. Waits for nothing."""
        if outcome.status is not Status.EXACT:
            self.pruning.consider(request, outcome)
        if not self._rate:
            return
        self.watch.keep_up()
        if outcome.status is Status.EXACT or outcome.status is Status.SEMANTIC:
            # One document has only one order, so its audit could not find a loss.
            score = self._score_when_idle if len(outcome.order) > 1 and self._rng() < self._rate else None
            if score is not None and not self._thread.submit(partial(self._audit, request, outcome, score)):
                self._drop("queue")
        elif outcome.evidence is not None:
            self.watch.observe(partial(self._observation, request, outcome.evidence))

    def snapshot(self) -> dict[str, Any]:
        """How far scores are trusted, why, the losses seen by band of similarity, and what pruning saves and costs.

        Scores that differ by less than ``tolerance`` count as equal: the reranker repeats itself no better.
        """
        return {**self.watch.snapshot(), "tolerance": self._noise.tolerance, "pruning": self.pruning.snapshot()}

    def drain(self, timeout_s: float | None = None) -> bool:
        """Wait until everything considered so far is counted. Returns False if that takes longer than ``timeout_s``."""
        # Audits first: they end by handing an observation to the watch, which may have the noise measured then.
        parts = (self._thread, self.watch, self._thread, self.pruning)
        return all(part.drain(timeout_s) for part in parts)

    def close(self, timeout_s: float = 5.0) -> None:
        """Drop what waits; wait at most ``timeout_s`` seconds in all for what is being scored and learned."""
        countdown = Countdown(timeout_s)
        # Read by the audit between two pieces, so that closing waits for one piece and not for a whole audit.
        self.is_closed = True
        for part in (self._thread, self.watch, self.pruning):
            part.close(countdown.left_s(timeout_s))

    def _audit(self, request: Request, outcome: Outcome, score: ScoreWhenIdle) -> None:
        """Compare an answer with fresh scores; runs in the audit thread."""
        fresh = self._score_afresh(score, request, self._in_turn(len(request.texts)))
        if fresh is None or outcome.scores is None:
            return
        cached = np.array(outcome.scores, dtype=float)
        if order_loss(cached, fresh) > _TO_EXPLAIN:
            self._measure_noise(score, request, fresh)
        band = EXACT
        if outcome.status is Status.SEMANTIC:
            band = band_of(outcome.similarity or 0.0)
            # True scores of this very query, which cost a model call: the next request for it is answered exactly.
            scores = list(zip(request.fingerprints, fresh.tolist(), strict=True))
            run(remember(request, self._cache.policy(), scores), self._cache.calls())
        observation = Observation(
            band, cached, fresh, tenants=tenant_group(request.tenant), tolerance=self._noise.tolerance
        )
        self.watch.observe(lambda: observation)

    def _measure_noise(self, score: ScoreWhenIdle, request: Request, fresh: Floats | None = None) -> None:
        """Learn what two answers about the same pairs in other batches differ by, if it is time; in the audit thread.

        ``fresh`` are scores of this request that were made just now, in turn.
        """
        if not self._is_noise_due:
            return
        self._noise_due = self._clock() + (_KNOWN_NOISE_EVERY_S if self._noise.is_known_well else _NOISE_EVERY_S)
        count = min(len(request.texts), _NOISE_DOCUMENTS)
        if fresh is None:
            fresh = self._score_afresh(score, request, self._in_turn(count))
        again = None if fresh is None else self._score_afresh(score, request, self._interleaved(count))
        # Where there is no time for a second answer, the noise is what it was known as before.
        if fresh is not None and again is not None:
            self._noise = self._noise.after(fresh[:count], again)

    @property
    def _is_noise_due(self) -> bool:
        return self._clock() >= self._noise_due

    def _in_turn(self, count: int) -> list[range]:
        """The first positions in pieces of neighbours."""
        size = self._piece_size(count)
        return [range(start, min(start + size, count)) for start in range(0, count, size)]

    def _interleaved(self, count: int) -> list[range]:
        """Positions in pieces as small, and two at least, none of which has the documents of one of those in turn."""
        step = max(2, -(-count // self._piece_size(count)))
        return [range(start, count, step) for start in range(step)]

    def _piece_size(self, count: int) -> int:
        # A service bills calls and answers several at once, so that nothing is gained by small ones.
        return count if self._cache.is_remote else _PIECE

    def _score_afresh(self, score: ScoreWhenIdle, request: Request, pieces: Sequence[range]) -> Floats | None:
        """The primary's scores of the documents at the positions of these pieces, which begin at the first.

        None when a request needs the primary, or it does not answer.
        """
        fresh = np.full(sum(map(len, pieces)), np.nan)
        for positions in pieces:
            nothing = partial(Scored, None, self._cache.reranker)
            try:
                scored = nothing("closed") if self.is_closed else score(request.query, request.texts, positions)
            except Exception:  # noqa: BLE001 - no caller waits for an audit; that it was dropped is an event
                scored = nothing("error")
            if scored.reason is not None or scored.scores is None:
                self._drop(scored.reason or "error")
                return None
            fresh[positions] = scored.scores
        return fresh

    def _observation(self, request: Request, evidence: Evidence) -> Observation | None:
        """The observation of a verification; None if it says too little, or a guard would not have trusted it."""
        if len(evidence.fresh) < min(_MIN_DOCUMENTS, max(2, len(request.texts))):
            return None
        # Its own entry is verified like a neighbour only while exact scores are not trusted.
        is_own = evidence.id == entry_id(request.tenant, request.query)
        # What the guard keeps from being trusted says nothing about what is trusted.
        guard = self._cache.policy().guard
        if (
            not is_own
            and guard is not None
            and guard.difference(guard.cues(request.query), evidence.cues, evidence.similarity) is not None
        ):
            return None
        seen = Observation(
            EXACT if is_own else band_of(evidence.similarity),
            evidence.cached,
            evidence.fresh,
            evidence.worst,
            tenant_group(request.tenant),
            self._noise.tolerance,
        )
        # Audits measure it, too, but there may be none: they are a small share, and of trusted answers alone.
        is_unknown = not self._noise.latest and self._is_noise_due
        if is_unknown and seen.loss > _TO_EXPLAIN and self._score_when_idle is not None:
            self._thread.submit(partial(self._measure_noise, self._score_when_idle, request))
        return seen

    def _drop(self, reason: str) -> None:
        self._cache.on_event(AuditDropped(reason))

    def __repr__(self) -> str:
        return f"<Auditor of {self._cache.reranker!r}: {self.watch!r}>"
