"""Chooses thresholds for a budget of loss, and estimates the whole traffic under a pair of thresholds."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from semcache.commands.calibration.cases import Case
from semcache.commands.calibration.figures import Figures
from semcache.commands.calibration.trial import Trials
from semcache.ranking import Status

MIN_HITS = 30
"""Sampled hits that a threshold needs to be judged: after 30 without any loss, 10 % may still lose (rule of three)."""

# Degraded answers depend on the latency of the reranker; pruned ones are fresh ones here, and looked at by themselves.
_NOT_REPLAYED = (Status.DEGRADED, Status.PRUNED)


@dataclass(frozen=True, slots=True)
class Advice:
    """A recommended threshold, or None, and the reason why it is not lower."""

    threshold: float | None
    reason: str


@dataclass(frozen=True, slots=True)
class Outlook:
    """All requests under one pair of thresholds: shares by status, share of pairs avoided, and mean loss."""

    trust_threshold: float
    reuse_threshold: float
    shares: Mapping[str, float]
    avoided: float
    loss: float


def advised(figures: Sequence[Figures], budget: float) -> Advice:
    """The lowest threshold such that it and all higher ones keep the budget with the upper bound of their loss."""
    best: Advice | None = None
    # From the top down, and no further than the first that fails: a lower threshold also serves the requests of the
    # higher ones, so their losses stay, even where more harmless hits dilute the mean.
    for row in sorted(figures, key=lambda row: -row.threshold):
        if row.sampled < MIN_HITS or row.high is None:
            continue
        if row.high > budget:
            reason = f"at {row.threshold:g} the loss may be {row.high:.4f}, over the budget of {budget:g}"
            return Advice(best.threshold if best else None, reason)
        best = Advice(row.threshold, "lower ones were not tried")
    return best or Advice(None, f"fewer than {MIN_HITS} sampled hits at every threshold; give a longer log")


def outlook(cases: Sequence[Case], tried: Sequence[Trials], trust: float, reuse: float) -> Outlook:
    """Estimate the traffic under two thresholds. Losses of verified and trusted requests come from the sample."""
    shares: Counter[str] = Counter()
    pairs = avoided = 0
    for case in cases:
        status = case.status_at(trust, reuse)
        shares[status] += 1
        pairs += len(case.fingerprints)
        # What is known for the query itself is exact, whatever the thresholds: counted on all requests, no estimate.
        if status in (Status.EXACT, Status.PARTIAL):
            avoided += len(case.exact)
    estimated, loss = float(avoided), 0.0
    for trials in tried:
        trial = trials.trusted_at(trust) or trials.verified_at(reuse)
        if trial is not None:
            estimated += trials.weight * (len(trials.case.fingerprints) - trial.asked)
            loss += trials.weight * trial.loss
    return Outlook(
        trust,
        reuse,
        {status.value: shares[status] / len(cases) for status in Status if status not in _NOT_REPLAYED},
        estimated / pairs,
        loss / len(cases),
    )
