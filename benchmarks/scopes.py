"""Simulated scopes: requests whose scores follow their features more or less, and a learner that prunes them."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from semcache.audit.learner import PruningLearner
from semcache.flow.policy import FlowPolicy, PrunePolicy, ReusePolicy
from semcache.flow.prune import expected
from semcache.flow.replay import replay
from semcache.flow.reuse import prior
from semcache.pruning.features import FEATURES, Features
from semcache.pruning.statistics import Statistics
from semcache.quality.pruning import ASK_ALL, Pruned, PruneStatistics, Pruning, is_anew
from semcache.redis.pruning_state import MAX_OLDER, MAX_RECENT, MOST_REQUESTS, PruningState

Floats = NDArray[np.float64]

HONEST = "stationary"
ADVERSE = ("surrogate useless", "corpus shifts", "reranker replaced")
SHARE_EVERY = 50
"""Requests between two looks at the shared state: five seconds at ten requests per second."""
EVALUATED = 5
"""Of the pruned requests every fifth is also scored whole, unseen by the learner, for its true loss."""


class MemoryLearning:
    """What the processes of a scope share, in memory, with the limits of the Redis store."""

    def __init__(self, max_recent: int = MAX_RECENT, max_older: int = MAX_OLDER) -> None:
        self._sums = Statistics.empty()
        self._limits = max_recent, max_older
        self._numbers: dict[float, dict[str, float]] = defaultdict(lambda: defaultdict(float))
        self._recent: dict[float, int] = defaultdict(int)
        self._pruning = Pruning()
        self._changes = 0

    def read_sums(self) -> Statistics:
        return self._sums

    def add_sums(self, new: Statistics) -> Statistics:
        had = self._sums.requests
        share = min(1.0, (MOST_REQUESTS - new.requests) / had) if had else 1.0
        self._sums = self._sums.scaled(share) + new
        return self._sums

    def drop_sums(self) -> None:
        self._sums = Statistics.empty()

    def read(self) -> PruningState:
        statistics = {level: PruneStatistics.of(numbers) for level, numbers in self._numbers.items()}
        return PruningState(self._pruning, statistics, self._changes)

    def add(self, seen: Sequence[Pruned]) -> PruningState:
        for one in seen:
            numbers = self._numbers[one.confidence]
            for name, amount in one.increments().items():
                numbers[name] += amount
            self._recent[one.confidence] += 1
        for level in {one.confidence for one in seen}:
            if self._recent[level] >= self._limits[0]:
                self._settle(level)
        return self.read()

    def _settle(self, level: float) -> None:
        self._recent[level] = 0
        numbers = self._numbers[level]
        for name in [name for name in numbers if name.startswith("r")]:
            numbers[f"o{name[1:]}"] += numbers.pop(name)
        if sum(count for name, count in numbers.items() if name[0] == "o") > self._limits[1]:
            for name in numbers:
                numbers[name] /= 2

    def change(self, seen: PruningState, pruning: Pruning) -> PruningState:
        if is_anew(seen.pruning, pruning):
            self._numbers.clear()
            self._recent.clear()
            self.drop_sums()
        self._pruning, self._changes = pruning, self._changes + 1
        return self.read()


@dataclass(frozen=True, slots=True)
class Regime:
    """How scores come about: ``weights`` of the features, ``noise`` with tails of Student's t, and hidden documents.

    In the share ``hidden`` of the requests one document is better by ``bonus`` standard deviations, which no feature
    shows; with ``is_tail``, it is one of those that the features like least.
    """

    weights: Floats
    noise: float
    tails: float
    hidden: float
    bonus: float
    is_tail: bool = False

    def draw(self, rng: np.random.Generator, documents: int) -> tuple[Features, Floats]:
        """The features and the true scores of one request."""
        available = self.weights != 0
        values = np.where(available, rng.normal(size=(documents, len(FEATURES))), 0.0)
        values -= values.mean(axis=0)
        known = values @ self.weights
        scores = known + self.noise * rng.standard_t(self.tails, documents)
        if rng.random() < self.hidden:
            worst = np.argsort(known)[: documents // 2]
            place = rng.choice(worst) if self.is_tail else rng.integers(documents)
            scores[place] += self.bonus * scores.std()
        return Features(values, available), scores


@dataclass(slots=True)
class Stretch:
    """A time without a change of what is in force: ``requests``, and the true losses of some that were pruned."""

    is_after: bool
    confidence: float
    requests: int = 0
    losses: list[float] = field(default_factory=list)

    @property
    def loss(self) -> float:
        """Mean true loss of a request."""
        return float(np.mean(self.losses)) if self.losses else 0.0


@dataclass(frozen=True, slots=True)
class Course:
    """What happened in one scope. ``avoided`` is the share of its pairs; ``loss`` the mean of all requests."""

    kind: str
    stretches: tuple[Stretch, ...]
    avoided: float

    @property
    def requests(self) -> int:
        return sum(stretch.requests for stretch in self.stretches)

    @property
    def loss(self) -> float:
        return sum(stretch.loss * stretch.requests for stretch in self.stretches) / self.requests

    @property
    def proven_after(self) -> int | None:
        """Requests until something was skipped for the first time; None if that never was."""
        seen = 0
        for stretch in self.stretches:
            if stretch.confidence < ASK_ALL:
                return seen
            seen += stretch.requests
        return None

    def longest_above(self, limit: float) -> int:
        """Requests of the longest stretch with a mean true loss above the limit."""
        return max((stretch.requests for stretch in self.stretches if stretch.loss > limit), default=0)


def regime(rng: np.random.Generator, kind: str = HONEST) -> Regime:
    """A regime by chance: from features that say nearly all to such that say little."""
    weights = rng.normal(size=len(FEATURES)) * (rng.random(len(FEATURES)) < 0.6)
    weights[0] = weights[0] or 1.0
    if kind == "surrogate useless":
        weights = np.where(weights != 0, 1e-9, 0.0)
    noise = float(np.linalg.norm(weights)) * rng.uniform(0.1, 0.8) if kind != "surrogate useless" else 1.0
    hidden = float(np.exp(rng.uniform(np.log(0.005), np.log(0.5)))) if rng.random() < 0.5 else 0.0
    return Regime(weights, noise, float(rng.choice([3, 5, 30])), hidden, float(rng.uniform(1, 4)))


def after(rng: np.random.Generator, before: Regime, kind: str) -> Regime:
    """What the regime becomes after a third of the stream."""
    if kind == "corpus shifts":
        hidden = float(rng.uniform(0.2, 1.0))
        return Regime(before.weights, before.noise, before.tails, hidden, float(rng.uniform(2, 5)), is_tail=True)
    if kind == "reranker replaced":
        # Another model with features of the same kind; some of what it likes, this one dislikes.
        weights = before.weights * rng.choice([-1, 1], len(FEATURES)) * rng.uniform(0.3, 2, len(FEATURES))
        return Regime(weights, before.noise, before.tails, float(rng.uniform(0, 0.5)), float(rng.uniform(2, 5)), True)
    return before


def run(seed: int, kind: str, requests: int, prune: PrunePolicy, budget: float) -> Course:
    """Put a learner through a stream of requests; the last two thirds are another regime where the kind says so."""
    rng = np.random.default_rng(seed)
    documents, top_k = 50, int(rng.choice([5, 10]))
    before = regime(rng, kind)
    later = after(rng, before, kind)
    learner = PruningLearner(MemoryLearning(), prune, ReusePolicy(), budget)
    stretches: list[Stretch] = []
    saved = 0.0
    for number in range(requests):
        is_after = number >= requests // 3
        features, scores = (later if is_after else before).draw(rng, documents)
        policy = learner.restricted(FlowPolicy(None))
        surrogate = policy.surrogate if policy.is_pruning else None
        if surrogate is None or policy.prune is None:
            in_force, is_whole = ASK_ALL, True
        else:
            in_force, is_whole = policy.prune.confidence, bool(rng.random() < policy.prune.explore)
        if not stretches or (stretches[-1].is_after, stretches[-1].confidence) != (is_after, in_force):
            stretches.append(Stretch(is_after, in_force))
        stretches[-1].requests += 1
        if is_whole:
            learner.learn(features, scores, top_k)
        if surrogate is not None and number % EVALUATED == 0:
            learned = expected(surrogate, features, None, in_force)
            rule = prune.rule(in_force)
            pruned = replay(prior([b""] * documents, (), learned), scores, top_k, rule)
            stretches[-1].losses.append(0.0 if is_whole else pruned.loss)
            saved += 0.0 if is_whole else EVALUATED * pruned.avoided
        if number % SHARE_EVERY == SHARE_EVERY - 1:
            learner.share()
    return Course(kind, tuple(stretches), saved / requests)


def kinds(scopes: int) -> Iterator[str]:
    """The kind of each scope: one in three is adverse, of each adverse kind as many."""
    for number in range(scopes):
        yield ADVERSE[number // 3 % len(ADVERSE)] if number % 3 == 2 else HONEST
