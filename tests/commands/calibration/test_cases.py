"""The thresholds from which a case is a hit, and the status that follows."""

from collections.abc import Sequence

import pytest

from semcache.commands.calibration.cases import NEVER, Case, Near
from semcache.ranking import Status


def case(near: Sequence[Near], documents: int = 2, exact: Sequence[int] = ()) -> Case:
    return Case(
        "q", "text", tuple(bytes([n]) for n in range(documents)), frozenset(bytes([n]) for n in exact), tuple(near)
    )


def near(similarity: float, known: Sequence[int], *, is_alike: bool = True) -> Near:
    return Near(f"n{similarity}", similarity, frozenset(bytes([n]) for n in known), is_alike)


@pytest.mark.parametrize(
    ("judged", "reuse_from", "trust_from", "unguarded_from"),
    [
        (case([]), NEVER, NEVER, NEVER),
        (case([near(0.9, [0])]), 0.9, NEVER, NEVER),
        (case([near(0.9, [0]), near(0.8, [1])]), 0.9, 0.8, 0.8),
        (case([near(0.9, [0])], exact=[1]), 0.9, 0.9, 0.9),
        (case([near(0.9, [0, 1], is_alike=False), near(0.7, [0, 1])]), 0.9, 0.7, 0.9),
        (case([near(0.9, [0, 1])], exact=[0, 1]), NEVER, NEVER, NEVER),
    ],
)
def test_from_which_thresholds_a_case_is_a_hit(
    judged: Case, reuse_from: float, trust_from: float, unguarded_from: float
) -> None:
    assert (judged.reuse_from, judged.trust_from, judged.unguarded_from) == (reuse_from, trust_from, unguarded_from)


@pytest.mark.parametrize(
    ("judged", "status"),
    [
        (case([]), Status.FRESH),
        (case([], exact=[1]), Status.PARTIAL),
        (case([near(0.9, [0])]), Status.VERIFIED),
        (case([near(0.9, [0, 1])]), Status.VERIFIED),
        (case([near(0.95, [0, 1])]), Status.SEMANTIC),
        (case([near(0.95, [0, 1], is_alike=False)]), Status.VERIFIED),
        (case([near(0.79, [0, 1])]), Status.FRESH),
        (case([near(0.95, [0, 1])], exact=[0, 1]), Status.EXACT),
    ],
)
def test_with_which_status_a_case_is_answered(judged: Case, status: Status) -> None:
    assert judged.status_at(trust=0.95, reuse=0.8) is status
