"""Everything a calibration found, as one value that can be written as JSON."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from semcache.commands.calibration import advice, figures
from semcache.commands.calibration.advice import Advice, Outlook
from semcache.commands.calibration.cases import Case
from semcache.commands.calibration.figures import Figures
from semcache.commands.calibration.sampling import Sample
from semcache.commands.calibration.scores import Scores
from semcache.commands.calibration.trial import Trials, trials
from semcache.flow.reuse import ReusePolicy

_EXAMPLES = 5


@dataclass(frozen=True, slots=True)
class Example:
    """A request that lost much by being trusted; texts are None where the cache keeps none."""

    query: str | None
    neighbour: str | None
    similarity: float
    loss: float
    is_guarded: bool


@dataclass(frozen=True, slots=True)
class Calibration:
    """``exact`` is the share of requests whose every score was known for their very query.

    ``vetoed`` is the share of requests that would be trusted at the threshold in force but for the guard.
    ``now`` is the outlook with the thresholds in force, ``then`` with the recommended ones.
    """

    source: str
    reranker: str
    embedder: str
    seed: int
    budget: float
    requests: int
    pairs: int
    exact: float
    sampled: int
    sampled_pairs: int
    trusted: tuple[Figures, ...]
    unguarded: tuple[Figures, ...]
    verified: tuple[Figures, ...]
    vetoed: float
    trust: Advice
    reuse: Advice
    now: Outlook
    then: Outlook
    examples: tuple[Example, ...]

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where cases and scores came from. ``source`` is "log" or "cache"."""

    source: str
    reranker: str
    embedder: str
    seed: int


def conclude(
    origin: Origin, cases: Sequence[Case], sample: Sample, scores: Scores, rule: ReusePolicy, budget: float
) -> Calibration:
    """Tries every case of the sample and draws the conclusions. ``rule`` holds the thresholds in force."""
    tried = [trials(case, weight, scores, rule) for case, weight in zip(sample.cases, sample.weights, strict=True)]
    trusted, verified = figures.trusted(cases, tried), figures.verified(cases, tried)
    trust, reuse = advice.advised(trusted, budget), advice.advised(verified, budget)
    return Calibration(
        origin.source,
        origin.reranker,
        origin.embedder,
        origin.seed,
        budget,
        len(cases),
        sum(len(case.fingerprints) for case in cases),
        sum(case.is_exact for case in cases) / len(cases),
        len(tried),
        sample.pairs,
        trusted,
        figures.unguarded(cases, tried),
        verified,
        sum(case.trust_from < rule.trust_threshold <= case.unguarded_from for case in cases) / len(cases),
        trust,
        reuse,
        advice.outlook(cases, tried, rule.trust_threshold, rule.reuse_threshold),
        advice.outlook(cases, tried, *_thresholds(trust, reuse, rule)),
        _examples(cases, tried, rule.trust_threshold),
    )


def _thresholds(trust: Advice, reuse: Advice, rule: ReusePolicy) -> tuple[float, float]:
    """The recommended ones, and what is in force where nothing is recommended; reuse never above trust."""
    trusting = rule.trust_threshold if trust.threshold is None else trust.threshold
    return trusting, min(trusting, rule.reuse_threshold if reuse.threshold is None else reuse.threshold)


def _examples(cases: Sequence[Case], tried: Sequence[Trials], threshold: float) -> tuple[Example, ...]:
    """The worst of what is trusted now, or would be but for the guard."""
    texts = {case.query: case.text for case in cases}
    found = [
        Example(one.case.text, texts.get(near.query), near.similarity, trial.loss, one.case.trust_from < threshold)
        for one in tried
        if (trial := one.unguarded) is not None and one.case.unguarded_from >= threshold
        for near in one.case.near[:1]
    ]
    return tuple(sorted(found, key=lambda example: -example.loss)[:_EXAMPLES])
