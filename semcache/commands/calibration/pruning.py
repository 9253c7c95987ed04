"""Tries pruning on requests of the log as if nothing near were cached: learned from one half, tried on the other."""

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from semcache.commands.bootstrap import mean_interval
from semcache.commands.calibration.advice import MIN_HITS, Advice
from semcache.commands.calibration.cases import Case
from semcache.commands.calibration.figures import worst
from semcache.commands.calibration.sampling import Call, Sample
from semcache.commands.calibration.scores import Scores
from semcache.commands.calibration.trial import TOP_K
from semcache.flow.drift import Floats
from semcache.flow.policy import PrunePolicy, ReusePolicy
from semcache.flow.prune import expected
from semcache.flow.replay import Replayed, replay
from semcache.flow.reuse import FIRST_ROUND_EXTRA, prior
from semcache.pruning.earlier import effects, standardised
from semcache.pruning.features import Features, features
from semcache.pruning.statistics import Statistics
from semcache.pruning.surrogate import Surrogate

CONFIDENCES = (1.0, 1.5, 2.0, 3.0)
"""Those that are tried, in spreads. The lower ones save more, the higher ones lose less."""
MOST_MISSES = 400
"""Requests without a near one that are scored for this: enough to learn from, and for an interval of the loss."""


@dataclass(frozen=True, slots=True)
class Pruned:
    """One confidence on ``sampled`` requests: pairs avoided (share), mean loss of the top 10, its bounds, worst 5 %."""

    confidence: float
    sampled: int
    avoided: float
    loss: float
    low: float
    high: float
    worst: float


def with_misses(sample: Sample, cases: Sequence[Case], max_pairs: int, seed: int) -> Sample:
    """The sample with calls that score requests without a near one whole, as far as ``max_pairs`` pairs reach."""
    misses = [case for case in cases if not case.near and not case.exact and _is_prunable(case)]
    random.Random(seed).shuffle(misses)
    planned = {call.query for call in sample.calls}
    calls: list[Call] = []
    left = max_pairs - sample.pairs
    for case in misses[:MOST_MISSES]:
        left -= len(case.fingerprints)
        if left < 0:
            break
        if case.query not in planned:
            planned.add(case.query)
            calls.append(Call(case.query, case.fingerprints))
    return Sample(sample.cases, sample.weights, (*sample.calls, *calls))


def pruned(
    cases: Sequence[Case],
    scores: Scores,
    texts: Mapping[bytes, str],
    prune: PrunePolicy = PrunePolicy(),  # noqa: B008 - a frozen value
) -> tuple[Pruned, ...]:
    """Pairs that pruning would avoid, and its cost, by confidence, on all requests whose documents were all scored.

    What documents scored for the queries of the one half is known in the other, as in a cache. A log has neither scores
    of the retriever nor vectors of documents; with them, more is avoided. Empty where there
    are too few requests to learn from.
    """
    whole = [_Whole.of(case, scores, texts) for case in _scored(cases, scores)]
    halves = whole[::2], whole[1::2]
    trials: dict[float, list[tuple[_Whole, Replayed]]] = {confidence: [] for confidence in CONFIDENCES}
    for learned_from, tried_on in (halves, halves[::-1]):
        surrogate, earlier = _learned(learned_from)
        if surrogate is None:
            return ()
        for one in tried_on:
            known = one.features(earlier)
            for confidence in CONFIDENCES:
                trials[confidence].append((one, one.tried(surrogate, known, prune.rule(confidence))))
    return tuple(_figures(confidence, tried) for confidence, tried in trials.items())


def advised(figures: Sequence[Pruned], budget: float) -> Advice:
    """The lowest confidence that keeps the budget with the upper bound of its loss."""
    for row in figures:
        if row.sampled >= MIN_HITS and row.high <= budget:
            return Advice(row.confidence, f"avoids {row.avoided:.0%} of the pairs of a request that nothing near helps")
    if not figures or figures[0].sampled < MIN_HITS:
        return Advice(None, "too few requests were scored whole; give a longer log, or a larger --max-pairs")
    return Advice(None, f"at {figures[-1].confidence:g} the loss may be {figures[-1].high:.4f}, over the budget")


@dataclass(frozen=True, slots=True, eq=False)
class _Whole:
    """A request that was scored whole."""

    query: str
    text: str | None
    texts: Sequence[str]
    fingerprints: tuple[bytes, ...]
    scores: Floats

    @classmethod
    def of(cls, case: Case, scores: Scores, texts: Mapping[bytes, str]) -> "_Whole":
        true = np.array([scores[case.query][fingerprint] for fingerprint in case.fingerprints], dtype=float)
        read = [texts[fingerprint] for fingerprint in case.fingerprints]
        return cls(case.query, case.text, read, case.fingerprints, true)

    def features(self, earlier: "_Earlier") -> Features:
        """Its features where that much is known of its documents."""
        return features(self.text, self.texts, earlier=earlier.of(self.fingerprints))

    def tried(self, surrogate: Surrogate, known: Features, rule: ReusePolicy) -> Replayed:
        """The outcome that pruning by this surrogate would have had."""
        learned = expected(surrogate, known, None, rule.confidence)
        before = prior([b""] * len(self.scores), (), learned)
        return replay(before, self.scores, TOP_K, rule)


class _Earlier:
    """How much better than the others documents scored for the requests that were learned from."""

    def __init__(self) -> None:
        self._sums: Counter[bytes] = Counter()
        self._counts: Counter[bytes] = Counter()

    def of(self, documents: Sequence[bytes]) -> Floats | None:
        """By document, nan where nothing is known; None where nothing is known of any."""
        sums, counts = (np.array([known[each] for each in documents], float) for known in (self._sums, self._counts))
        return effects(sums, counts)

    def learn(self, one: _Whole) -> None:
        """Add what a request teaches for others, as the cache keeps it."""
        better = standardised(one.scores)
        self._sums.update(dict(zip(one.fingerprints, better.tolist(), strict=True)))
        self._counts.update(one.fingerprints)


def _is_prunable(case: Case) -> bool:
    return len(case.fingerprints) > TOP_K + FIRST_ROUND_EXTRA


def _scored(cases: Sequence[Case], scores: Scores) -> list[Case]:
    """The first case of every query whose documents were all scored."""
    found: dict[str, Case] = {}
    for case in cases:
        if _is_prunable(case) and scores.get(case.query, {}).keys() >= set(case.fingerprints):
            found.setdefault(case.query, case)
    return list(found.values())


def _learned(requests: Sequence[_Whole]) -> tuple[Surrogate | None, _Earlier]:
    sums, earlier = Statistics.empty(), _Earlier()
    surrogate: Surrogate | None = None
    for one in requests:
        # Before it is learned from: its own scores would foretell themselves.
        known = one.features(earlier)
        predicted = None if surrogate is None else surrogate.predict(known)
        told = () if predicted is None else (predicted.scores, predicted.spread)
        sums += Statistics.of(known, one.scores, *told)
        surrogate = Surrogate.of(sums)
        earlier.learn(one)
    return surrogate, earlier


def _figures(confidence: float, tried: Sequence[tuple[_Whole, Replayed]]) -> Pruned:
    losses = np.array([replayed.loss for _, replayed in tried])
    weights = np.ones(len(losses))
    low, high = mean_interval(losses, weights, [one.query for one, _ in tried])
    documents = sum(replayed.documents for _, replayed in tried)
    avoided = sum(replayed.documents - replayed.asked for _, replayed in tried) / documents
    return Pruned(confidence, len(tried), avoided, float(losses.mean()), low, high, worst(losses, weights))
