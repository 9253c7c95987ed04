"""Serves a case as the cache would, by the library's own flow, and compares the answer with a fresh one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semcache.commands.calibration.cases import Case, Near
from semcache.commands.calibration.scores import Scores
from semcache.entries.entry import Neighbour
from semcache.flow.drive import drive
from semcache.flow.requests import Request
from semcache.flow.rerank import FlowPolicy, rerank
from semcache.flow.reuse import ReusePolicy
from semcache.flow.steps import Embed, FindNeighbours, ReadExact, ReadVector, Score, Step
from semcache.protocols import Scored
from semcache.quality.statistics import CUT, order_loss, top_overlap

TOP_K = CUT
"""What is asked for: as many places as count in a loss. A smaller top_k asks for fewer pairs than is said here."""

_NAME = "calibrated"


@dataclass(frozen=True, slots=True)
class Trial:
    """One answer: pairs ``asked`` in ``rounds``, its ``loss`` (see ``order_loss``) and ``overlap`` of the top 10."""

    asked: int
    rounds: int
    loss: float
    overlap: float


@dataclass(frozen=True, slots=True)
class Trials:
    """What became of a case: ``trusted`` and ``unguarded`` are None where no threshold trusts it.

    ``verified`` has one trial per number of neighbours in use, the nearest alone first.
    """

    case: Case
    weight: float
    trusted: Trial | None
    unguarded: Trial | None
    verified: tuple[Trial, ...]

    def verified_at(self, threshold: float) -> Trial | None:
        """With the neighbours from this similarity on; None when there are none."""
        usable = sum(near.similarity >= threshold for near in self.case.near)
        return self.verified[usable - 1] if usable else None


class _Verdicts:
    """A guard whose verdicts were reached before: cues say whether there is a difference."""

    def cues(self, query: str) -> bytes:
        return b""

    def difference(self, ours: bytes, theirs: bytes) -> str | None:
        return "guard" if theirs else None


_REFUSED, _PASSED = b"differs", b""


def trials(case: Case, weight: float, scores: Scores, rule: ReusePolicy) -> Trials:
    """Everything that thresholds could make of a case. ``rule`` is how verification goes about; thresholds aside."""
    fresh = np.array([scores[case.query][fingerprint] for fingerprint in case.fingerprints], dtype=float)
    verified = tuple(
        _tried(case, fresh, _neighbours(scores, case.near[: count + 1], _REFUSED), rule, near.similarity)
        for count, near in enumerate(case.near)
    )
    trusted = unguarded = None
    if case.trust_from >= 0:
        alike = _neighbours(scores, [near for near in case.near if near.is_alike], _PASSED)
        trusted = _tried(case, fresh, alike, rule, case.trust_from)
    if case.unguarded_from >= 0:
        unguarded = _tried(case, fresh, _neighbours(scores, case.near, _PASSED), rule, case.unguarded_from)
    return Trials(case, weight, trusted, unguarded, verified)


def _neighbours(scores: Scores, nears: Sequence[Near], cues: bytes) -> list[Neighbour]:
    """With the scores that would be taken from them: of each document, those of the nearest that has it."""
    found, taken = [], set[bytes]()
    for near in nears:
        own = near.known - taken
        taken |= near.known
        known = {fingerprint: scores[near.query][fingerprint] for fingerprint in own}
        found.append(Neighbour(near.query, near.similarity, known, 0.0, cues=cues))
    return found


def _tried(
    case: Case, fresh: NDArray[np.float64], neighbours: Sequence[Neighbour], rule: ReusePolicy, threshold: float
) -> Trial:
    policy = FlowPolicy(replace(rule, trust_threshold=threshold, reuse_threshold=threshold), _Verdicts())
    flow = rerank(_request(case), policy, _NAME)
    outcome = drive(flow, lambda step: _answer(step, case, fresh, neighbours))
    served = np.empty(len(fresh))
    served[list(outcome.order)] = -np.arange(len(fresh))
    return Trial(outcome.asked, outcome.rounds, order_loss(served, fresh), top_overlap(served, fresh))


def _request(case: Case) -> Request:
    count = len(case.fingerprints)
    return Request("query", "", ("",) * count, case.fingerprints, tuple(range(count)), min(TOP_K, count))


def _answer(step: Step, case: Case, fresh: NDArray[np.float64], neighbours: Sequence[Neighbour]) -> Any:
    match step:
        case ReadExact():
            return _exact(case, fresh) or None
        case Embed() | ReadVector():
            return np.zeros(1, dtype=np.float32)
        case FindNeighbours():
            return neighbours
        case Score(ask=ask):
            return Scored(fresh[list(ask)].astype(np.float32), _NAME)
    return None


def _exact(case: Case, fresh: NDArray[np.float64]) -> Mapping[bytes, float]:
    known = zip(case.fingerprints, fresh.tolist(), strict=True)
    return {fingerprint: score for fingerprint, score in known if fingerprint in case.exact}
