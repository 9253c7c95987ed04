"""Chooses thresholds for a budget of loss, and says what the traffic would look like with a pair of thresholds."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from semcache.commands.calibration.cases import Case
from semcache.commands.calibration.figures import Figures
from semcache.commands.calibration.trial import Trials
from semcache.ranking import Status

MIN_HITS = 30
"""Fewer sampled hits say too little: with 30 of them without any loss, 10 % may still lose (rule of three)."""


@dataclass(frozen=True, slots=True)
class Advice:
    """A recommended threshold, or None, and why it is not lower."""

    threshold: float | None
    reason: str


@dataclass(frozen=True, slots=True)
class Outlook:
    """All requests with one pair of thresholds: shares by status, share of pairs avoided, mean loss over all."""

    trust_threshold: float
    reuse_threshold: float
    shares: Mapping[str, float]
    avoided: float
    loss: float


def advised(figures: Sequence[Figures], budget: float) -> Advice:
    """The lowest threshold from which on the upper bound of the loss keeps the budget, seen from the top."""
    best: Advice | None = None
    for row in sorted(figures, key=lambda row: -row.threshold):
        if row.sampled < MIN_HITS or row.high is None:
            continue
        if row.high > budget:
            why = f"at {row.threshold:g} the loss may be {row.high:.4f}, over the budget of {budget:g}"
            return Advice(best.threshold if best else None, why)
        best = Advice(row.threshold, "lower ones were not tried")
    return best or Advice(None, f"fewer than {MIN_HITS} sampled hits at every threshold; give a longer log")


def outlook(cases: Sequence[Case], tried: Sequence[Trials], trust: float, reuse: float) -> Outlook:
    """What the traffic would be with these thresholds. Verified and trusted requests are estimated from the sample."""
    shares: Counter[str] = Counter()
    pairs = sum(len(case.fingerprints) for case in cases)
    avoided = loss = 0.0
    for case in cases:
        status = _status(case, trust, reuse)
        shares[status] += 1
        if status in (Status.EXACT, Status.PARTIAL):
            avoided += len(case.exact)
    for one in tried:
        trial = one.trusted if one.case.trust_from >= trust else one.verified_at(reuse)
        if trial is not None:
            avoided += one.weight * (len(one.case.fingerprints) - trial.asked)
            loss += one.weight * trial.loss
    return Outlook(
        trust,
        reuse,
        {status.value: shares[status] / len(cases) for status in Status if status is not Status.DEGRADED},
        avoided / pairs,
        loss / len(cases),
    )


def _status(case: Case, trust: float, reuse: float) -> Status:
    if case.is_exact:
        return Status.EXACT
    if case.trust_from >= trust:
        return Status.SEMANTIC
    if case.reuse_from >= reuse:
        return Status.VERIFIED
    return Status.PARTIAL if case.exact else Status.FRESH
