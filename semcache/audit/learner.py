"""Learns from scores of whole requests what need not be asked, measures what that would cost, and decides."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np

from semcache.entries.entry import Neighbour
from semcache.errors import StoreError
from semcache.flow.drift import Floats
from semcache.flow.policy import FlowPolicy, PrunePolicy, ReusePolicy
from semcache.flow.prune import expected
from semcache.flow.replay import replay
from semcache.flow.reuse import FIRST_ROUND_EXTRA, Learned, prior
from semcache.protocols import FloatArray
from semcache.pruning.earlier import standardised
from semcache.pruning.features import FEATURES, Features
from semcache.pruning.statistics import Statistics
from semcache.pruning.surrogate import Surrogate
from semcache.quality.pruning import ASK_ALL, Doubt, Pruned, Pruning, decide, effective, levels
from semcache.quality.sequential_test import Rise
from semcache.redis.pruning_state import PruningState

LEARNING = "pruning: too little is known yet"
_HURRIED = 1000
"""Requests that are replayed at all confidences. A scope where none is proven by then has no reason to hurry."""


class SharedLearning(Protocol):
    """The sums and the state that the processes of a scope share, see ``redis.pruning_state.PruningStore``."""

    def read_sums(self) -> Statistics: ...

    def add_sums(self, new: Statistics, /) -> Statistics: ...

    def drop_sums(self) -> None: ...

    def read(self) -> PruningState: ...

    def add(self, seen: Sequence[Pruned], /) -> PruningState: ...

    def change(self, seen: PruningState, pruning: Pruning, /) -> PruningState: ...


def is_sound(statistics: Statistics) -> bool:
    """False for sums that no scores add up to, as after bits have flipped."""
    surrogate = Surrogate.of(statistics)
    if surrogate is None:
        return True
    count = len(FEATURES)
    squares = np.diagonal(statistics.part("products").reshape(count + 1, count + 1))
    counted = [statistics.part(name) for name in ("rows", "band_squares", "band_rows")]
    if min(part.min() for part in (squares, *counted)) < 0:
        return False
    try:
        predicted = surrogate.predict(Features(np.eye(count), np.ones(count, dtype=np.bool_)))
    except np.linalg.LinAlgError:
        return False
    return bool(np.isfinite(predicted.scores).all() and np.isfinite(predicted.spread).all())


class PruningLearner:
    """Knowledge of one process about a scope: its own new requests, and what all processes knew when it last looked.

    ``reuse`` says how scores of near queries are verified, ``budget`` what mean loss pruning may cost. Not locked: one
    thread calls the methods. ``surrogate``, ``known`` and ``state`` are replaced whole, so that others may read them.
    """

    def __init__(self, store: SharedLearning, prune: PrunePolicy, reuse: ReusePolicy | None, budget: float) -> None:
        self._store = store
        self._prune = prune
        self._reuse = reuse
        self._budget = budget
        self._levels = levels(prune.confidence)
        self._number = 0
        self._doubt = Doubt(Rise(budget))
        self.known: Statistics = Statistics.empty()
        self.state: PruningState = PruningState(Pruning(), {})
        self.surrogate: Surrogate | None = None
        self.drop()

    def drop(self) -> None:
        """Forget what was learned here and not shared yet."""
        self._pending = Statistics.empty()
        self._seen: list[Pruned] = []

    @property
    def has_news(self) -> bool:
        """Whether something was learned here that was not shared yet."""
        return bool(self._pending.requests)

    def learn(
        self,
        features: Features,
        scores: Floats,
        top_k: int,
        document_vectors: FloatArray | None = None,
        fingerprints: Sequence[bytes] = (),
        neighbours: Sequence[Neighbour] = (),
    ) -> Floats:
        """Count a request whose documents have these features, and these true scores for its query.

        ``neighbours`` are the near queries that could have helped, which know documents by their ``fingerprints``.
        Returns how much better than the others each document scored, in standard deviations of the request: what it
        teaches for other queries.
        """
        better = standardised(scores)
        if self.surrogate is None:
            self._pending += Statistics.of(features, scores)
        else:
            learned = expected(self.surrogate, features, document_vectors, self._prune.confidence)
            self._pending += Statistics.of(features, scores, learned.predicted.scores, learned.predicted.spread)
            if len(scores) > top_k + FIRST_ROUND_EXTRA:
                names = fingerprints or [b""] * len(scores)
                seen = [self._pruned(level, learned, scores, top_k, names, neighbours) for level in self._next_levels()]
                self._seen += seen
                if seen[0].confidence == self.in_force:
                    self._doubt = self._doubt.after(seen[0].loss)
        self.surrogate = Surrogate.of(self.known + self._pending)
        return better

    def share(self) -> Pruning:
        """Add what is new to what the others know, and decide by all of it; gives the decision before.

        Three round trips at most. Raises StoreError.
        """
        before = self.state.pruning
        if self.has_news:
            self.known, self._pending = self._store.add_sums(self._pending), Statistics.empty()
        else:
            self.known = self._store.read_sums()
        if not is_sound(self.known):
            self.known, self.surrogate = Statistics.empty(), None
            self._store.drop_sums()
            raise StoreError("what was learned for pruning is damaged in Redis; it is learned anew")
        seen, self._seen = self._seen, []
        state = self._store.add(seen) if seen else self._store.read()
        pruning = decide(
            state.pruning,
            state.statistics,
            self._prune.confidence,
            self._budget,
            is_doubt_confirmed=self._doubt.is_confirmed,
        )
        if pruning is not state.pruning:
            # Another process may have decided first. Then its decision is what comes back, and it counts.
            was, state = state.pruning, self._store.change(state, pruning)
            if state.pruning.confidence == ASK_ALL > was.confidence:
                self.known = Statistics.empty()
        self.state, self.surrogate = state, Surrogate.of(self.known)
        if state.pruning.confidence != before.confidence:
            self._doubt = Doubt(Rise(self._budget))
        return before

    @property
    def in_force(self) -> float:
        """The confidence to prune at; ASK_ALL while nothing is skipped."""
        return effective(self.state.pruning, self._prune.confidence)

    @property
    def is_doubted(self) -> bool:
        """Whether the latest losses look as if they had risen above the budget, so that more requests are explored."""
        return self._doubt.is_raised

    @property
    def shown_level(self) -> float:
        """The confidence in force, or that of the settings while nothing is skipped."""
        return self.in_force if self.in_force < ASK_ALL else self._prune.confidence

    def restricted(self, policy: FlowPolicy) -> FlowPolicy:
        """The policy with the pruning that is in force."""
        prune, unpruned = self._prune, ""
        if self.surrogate is None or self.in_force == ASK_ALL:
            unpruned = (self.state.pruning.reason or LEARNING) if prune.mode == "on" else ""
            prune = replace(prune, mode="measure")
        elif prune.mode == "on":
            prune = replace(prune, confidence=self.in_force, explore=self._doubt.explore_share(prune.explore))
        return replace(policy, prune=prune, surrogate=self.surrogate, unpruned=unpruned)

    def _next_levels(self) -> list[float]:
        """The confidences to replay the next request at: all until one is proven, then that one and the user's.

        The others are tried in turn. Each replay takes a millisecond of the background.
        """
        self._number += 1
        if self.in_force == ASK_ALL and self._number <= _HURRIED:
            return list(self._levels)
        chosen = list(dict.fromkeys((self.shown_level, self._prune.confidence)))
        others = [level for level in self._levels if level not in chosen]
        return [*chosen, others[self._number % len(others)]] if others else chosen

    def _pruned(
        self,
        level: float,
        learned: Learned,
        scores: Floats,
        top_k: int,
        fingerprints: Sequence[bytes],
        neighbours: Sequence[Neighbour],
    ) -> Pruned:
        """Savings and cost that pruning a request at a confidence would have had."""
        before = prior(fingerprints, neighbours, replace(learned, confidence=level))
        rule = self._reuse
        if rule is None or not neighbours:
            rule = self._prune.rule(level)
        replayed = replay(before, scores, top_k, rule)
        # Rounding may bring a loss of nothing below 0.
        return Pruned(level, replayed.documents, replayed.asked, min(max(replayed.loss, 0.0), 1.0))

    def __repr__(self) -> str:
        return f"<PruningLearner: {self.known.requests:.0f} requests, {self.state.pruning}>"
