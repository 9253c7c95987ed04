"""Takes from the answers of a cache what they teach about its quality; some are scored afresh for that.

Every verified reuse is an observation for free. Of the answers that asked no reranker a sampled share is scored afresh
in the background: a few pairs at a time, and only while nobody else needs the reranker.
"""

import random
from collections.abc import Callable, Sequence
from functools import partial
from time import monotonic
from typing import Any

import numpy as np

from semcache.audit.background import Background
from semcache.audit.watch import QualityWatch
from semcache.cache import RedisSemanticCache
from semcache.entries.fingerprint import entry_id
from semcache.events import AuditDropped
from semcache.flow.drive import run
from semcache.flow.requests import Request
from semcache.flow.rerank import Evidence, Outcome, remember
from semcache.protocols import Clock, Ladder, Scored
from semcache.quality.statistics import EXACT, Floats, Observation, band_of
from semcache.ranking import Status

# A request that arrives during an audit waits for one such piece: about 0.1 s on two CPU cores.
_PIECE = 8
# Each holds the texts of a request. Who samples faster than the reranker scores has too high a rate.
_MOST_WAITING = 4
# Fewer documents say little about an order, unless a request has no more.
_MIN_DOCUMENTS = 5


ScoreWhenIdle = Callable[[str, Sequence[str], Sequence[int]], Scored]
"""A ladder's ``score_when_idle``: the primary's scores of documents of a query, or none and the reason."""


class Auditor:
    """Watches the answers of one reranker's cache.

    ``audit_rate`` is the share of answers without a model call that are scored afresh; 0 turns all watching off.
    ``quality_budget`` is the mean ``order_loss`` that trusted near queries may cost before they are trusted less.
    Orders of a listwise reranker are not watched: such models (often language models) answer differently from call to
    call, which proves nothing. ``rng`` gives numbers from 0 to 1.
    """

    def __init__(
        self,
        cache: RedisSemanticCache,
        ladder: Ladder,
        *,
        audit_rate: float,
        quality_budget: float,
        rng: Callable[[], float] = random.random,
        clock: Clock = monotonic,
    ) -> None:
        self._cache = cache
        # A ladder that cannot tell when it has time to spare is not disturbed; verified reuses still teach.
        self._score_when_idle: ScoreWhenIdle | None = getattr(ladder, "score_when_idle", None)
        self._rate = 0.0 if cache.listwise else audit_rate
        self._rng = rng
        self.is_closed = False
        self._thread = Background(_MOST_WAITING, "semcache-audit")
        self.watch = QualityWatch(cache, quality_budget, clock=clock)
        if self._rate:
            self.watch.keep_up()

    def consider(self, request: Request, outcome: Outcome) -> None:
        """See whether an answer teaches anything. Waits for nothing."""
        if not self._rate:
            return
        self.watch.keep_up()
        if outcome.status is Status.EXACT or outcome.status is Status.SEMANTIC:
            if self._score_when_idle is not None and len(outcome.order) > 1 and self._rng() < self._rate:
                self._audit_soon(request, outcome, self._score_when_idle)
        elif outcome.evidence is not None:
            self.watch.observe(partial(self._observation, request, outcome.evidence))

    def snapshot(self) -> dict[str, Any]:
        """What is trusted, why, and what was seen by band of similarity."""
        return self.watch.snapshot()

    def drain(self, timeout_s: float | None = None) -> bool:
        """Wait until everything that was considered so far is counted and followed; False if that takes longer."""
        return self._thread.drain(timeout_s) and self.watch.drain(timeout_s)

    def close(self, timeout_s: float | None = 5.0) -> None:
        """Drop what waits; wait at most ``timeout_s`` seconds for the piece of an audit that is being scored."""
        self.is_closed = True
        self._thread.close(timeout_s)
        self.watch.close(timeout_s)

    def _audit_soon(self, request: Request, outcome: Outcome, score: ScoreWhenIdle) -> None:
        if not self._thread.submit(partial(self._audit, request, outcome, score)):
            self._dropped("queue")

    def _audit(self, request: Request, outcome: Outcome, score: ScoreWhenIdle) -> None:
        fresh = self._afresh(request, score)
        if fresh is None or outcome.scores is None:
            return
        band = EXACT
        if outcome.status is Status.SEMANTIC:
            band = band_of(outcome.similarity or 0.0)
            # True scores of this very query, and paid for.
            scores = list(zip(request.fingerprints, fresh.tolist(), strict=True))
            run(remember(request, self._cache.policy(), scores), self._cache.calls())
        observation = Observation(band, np.array(outcome.scores, dtype=float), fresh)
        self.watch.observe(lambda: observation)

    def _afresh(self, request: Request, score: ScoreWhenIdle) -> Floats | None:
        """The primary's scores of all documents, or None when somebody else needs it, or it does not answer."""
        pieces: list[Floats] = []
        for start in range(0, len(request.texts), _PIECE):
            places = range(start, min(start + _PIECE, len(request.texts)))
            scored = self._piece(request, places, score)
            if scored.reason is not None or scored.scores is None:
                self._dropped(scored.reason or "error")
                return None
            pieces.append(scored.scores.astype(float))
        return np.concatenate(pieces)

    def _piece(self, request: Request, places: Sequence[int], score: ScoreWhenIdle) -> Scored:
        if self.is_closed:
            return Scored(None, self._cache.reranker, "closed")
        try:
            return score(request.query, request.texts, places)
        except Exception:  # noqa: BLE001 - whatever a reranker raises, nobody waits for this; that it was dropped is told
            return Scored(None, self._cache.reranker, "error")

    def _observation(self, request: Request, evidence: Evidence) -> Observation | None:
        """What a verification saw; None if it says too little, or a guard would not have trusted this neighbour."""
        if len(evidence.fresh) < min(_MIN_DOCUMENTS, max(2, len(request.texts))):
            return None
        if evidence.id == entry_id(request.tenant, request.query):
            return Observation(EXACT, evidence.cached, evidence.fresh, evidence.worst)
        guard = self._cache.policy().guard
        if guard is not None and guard.difference(guard.cues(request.query), evidence.cues) is not None:
            return None
        return Observation(band_of(evidence.similarity), evidence.cached, evidence.fresh, evidence.worst)

    def _dropped(self, reason: str) -> None:
        self._cache.on_event(AuditDropped(reason))

    def __repr__(self) -> str:
        return f"<Auditor of {self._cache.reranker!r}: {self.watch!r}>"
