"""Answers a case as the cache would, by the library's own flow, and compares the answer with a fresh one."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semcache.commands.calibration.cases import Case, Near, sources
from semcache.commands.calibration.scores import Scores
from semcache.entries.entry import Neighbour
from semcache.flow.drive import drive
from semcache.flow.policy import FlowPolicy, ReusePolicy
from semcache.flow.requests import Request
from semcache.flow.rerank import rerank
from semcache.flow.steps import Embed, FindNeighbours, ReadExact, ReadVector, Score, Step
from semcache.protocols import Scored
from semcache.quality.statistics import CUT, order_loss, top_overlap

TOP_K = CUT
"""The top k of every trial: the number of places that count in a loss. A smaller top k would avoid more pairs."""

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
    """The trials of a case that stands for ``weight`` requests.

    ``trusted`` and ``unguarded`` are None where no threshold trusts the case. ``verified`` has one trial per number of
    neighbours in use, the nearest alone first.
    """

    case: Case
    weight: float
    trusted: Trial | None
    unguarded: Trial | None
    verified: tuple[Trial, ...]

    def trusted_at(self, threshold: float) -> Trial | None:
        """The trial with this trust threshold; None where it does not trust the case."""
        return self.trusted if self.case.trust_from >= threshold else None

    def unguarded_at(self, threshold: float) -> Trial | None:
        """``trusted_at`` if there were no guard."""
        return self.unguarded if self.case.unguarded_from >= threshold else None

    def verified_at(self, threshold: float) -> Trial | None:
        """The trial with this reuse threshold; None where no neighbour reaches it."""
        usable = sum(near.similarity >= threshold for near in self.case.near)
        return self.verified[usable - 1] if usable else None


# The guard's verdicts were made when the log was replayed, and are handed to the flow as cues.
_REFUSED, _PASSED = b"differs", b""


class _Verdicts:
    """A guard that reads its verdict from the cues of the neighbour."""

    def cues(self, query: str) -> bytes:
        return b""

    def difference(self, ours: bytes, theirs: bytes, similarity: float = 1.0) -> str | None:
        return "guard" if theirs == _REFUSED else None


def try_case(case: Case, weight: float, scores: Scores, rule: ReusePolicy) -> Trials:
    """Everything that any threshold could make of a case. The thresholds of ``rule`` are ignored.

    Thirty thresholds make only a few different answers: what changes is which neighbours are near enough. So there is
    one verified trial per number of neighbours, and one trusted trial with and without the guard.
    """
    fresh = np.array([scores[case.query][fingerprint] for fingerprint in case.fingerprints], dtype=float)
    verified = tuple(
        # Refused by the guard, so that the flow verifies even neighbours that it could trust.
        _trial(case, fresh, _neighbours(scores, case.near[: count + 1], _REFUSED), rule, near.similarity)
        for count, near in enumerate(case.near)
    )
    trusted = unguarded = None
    if case.trust_from >= 0:
        alike = _neighbours(scores, (near for near in case.near if near.is_alike), _PASSED)
        trusted = _trial(case, fresh, alike, rule, case.trust_from)
    if case.unguarded_from >= 0:
        unguarded = _trial(case, fresh, _neighbours(scores, case.near, _PASSED), rule, case.unguarded_from)
    return Trials(case, weight, trusted, unguarded, verified)


def _neighbours(scores: Scores, nears: Iterable[Near], cues: bytes) -> list[Neighbour]:
    """Neighbours as the store finds them, with only those scores that would be taken from them."""
    return [
        Neighbour(
            near.query,
            near.similarity,
            {fingerprint: scores[near.query][fingerprint] for fingerprint in taken},
            created_at=0.0,
            cues=cues,
        )
        for near, taken in sources(nears)
    ]


def _trial(
    case: Case, fresh: NDArray[np.float64], neighbours: list[Neighbour], rule: ReusePolicy, threshold: float
) -> Trial:
    """Answer a case with both thresholds at the same similarity; the verdicts decide between trust and verification."""
    count = len(case.fingerprints)
    request = Request("query", "", ("",) * count, case.fingerprints, tuple(range(count)), min(TOP_K, count))
    known = zip(case.fingerprints, fresh.tolist(), strict=True)
    exact = {fingerprint: score for fingerprint, score in known if fingerprint in case.exact}

    def perform(step: Step) -> Any:
        match step:
            case ReadExact():
                return exact or None
            case Embed() | ReadVector():
                # The neighbours are known already, so the vector that they would be searched by does not matter.
                return np.zeros(1, dtype=np.float32)
            case FindNeighbours():
                return neighbours
            case Score(ask=ask):
                return Scored(fresh[list(ask)].astype(np.float32), _NAME)
        return None  # steps that write or report

    policy = FlowPolicy(replace(rule, trust_threshold=threshold, reuse_threshold=threshold), _Verdicts())
    outcome = drive(rerank(request, policy, _NAME), perform)
    # The served order as falling scores, which is the form that losses are computed from.
    served = np.empty(count)
    served[list(outcome.order)] = -np.arange(count)
    return Trial(outcome.asked, outcome.rounds, order_loss(served, fresh), top_overlap(served, fresh))
