"""Everything that a calibration found, as one value that can be written as JSON."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from semcache.commands.calibration import advice, figures
from semcache.commands.calibration.advice import Advice, Outlook
from semcache.commands.calibration.cases import Case
from semcache.commands.calibration.figures import Figures
from semcache.commands.calibration.pruning import Pruned
from semcache.commands.calibration.sampling import Sample
from semcache.commands.calibration.scores import Scores
from semcache.commands.calibration.trial import Trials, try_case
from semcache.flow.policy import ReusePolicy

# As many as fit on a screen together with the tables.
_EXAMPLES = 5


@dataclass(frozen=True, slots=True)
class Example:
    """A request that lost much by being trusted. Texts are None where the cache keeps none.

    ``is_guarded`` is True when the guard refuses to trust it, so that it loses nothing.
    """

    query: str | None
    neighbour: str | None
    similarity: float
    loss: float
    is_guarded: bool


@dataclass(frozen=True, slots=True)
class Calibration:
    """``source`` is "log" or "cache". ``exact`` is the share of requests whose every score was known for their query.

    ``vetoed`` is the share of requests that only the guard keeps from being trusted at the threshold in force.
    ``now`` is the outlook with the thresholds in force, ``then`` with the recommended ones. ``pruned`` and ``prune``
    are of requests that nothing near helps, in a log; entries do not tell their retriever's order.
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
    pruned: tuple[Pruned, ...] = ()
    prune: Advice | None = None

    @property
    def unit(self) -> str:
        """The word for what was counted: a log has requests, a cache has entries."""
        return "requests" if self.source == "log" else "entries"

    def as_json(self) -> dict[str, Any]:
        """Everything as plain values."""
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
    """Try every case of the sample and draw the conclusions. ``rule`` holds the thresholds in force."""
    tried = [try_case(case, weight, scores, rule) for case, weight in zip(sample.cases, sample.weights, strict=True)]
    trusted, verified = figures.trusted(cases, tried), figures.verified(cases, tried)
    trust, reuse = advice.advised(trusted, budget), advice.advised(verified, budget)
    # Where nothing is recommended, what is in force stays. Nothing may be verified from a higher similarity than it is
    # trusted from: the settings refuse such a pair.
    new_trust = rule.trust_threshold if trust.threshold is None else trust.threshold
    new_reuse = min(new_trust, rule.reuse_threshold if reuse.threshold is None else reuse.threshold)
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
        advice.outlook(cases, tried, new_trust, new_reuse),
        _examples(cases, tried, rule.trust_threshold),
    )


def _examples(cases: Sequence[Case], tried: Sequence[Trials], threshold: float) -> tuple[Example, ...]:
    """The most expensive of the requests that are trusted at the threshold, or would be without the guard."""
    texts = {case.query: case.text for case in cases}
    examples = [
        Example(
            trials.case.text,
            texts.get(near.query),
            near.similarity,
            trial.loss,
            is_guarded=trials.case.trust_from < threshold,
        )
        for trials in tried
        if (trial := trials.unguarded_at(threshold)) is not None
        for near in trials.case.near[:1]
    ]
    return tuple(sorted(examples, key=lambda example: -example.loss)[:_EXAMPLES])
