"""A small version of the certificate: pruning keeps to its budget also where the surrogate is wrong."""

import pytest

from benchmarks import scopes
from semcache.flow.policy import PrunePolicy
from semcache.quality.pruning import ASK_ALL

PRUNE = PrunePolicy(mode="on", explore=0.1)
BUDGET = 0.05
"""Five times the default, which a fifth of the requests prove."""


@pytest.mark.parametrize("kind", [scopes.HONEST, *scopes.ADVERSE])
def test_the_true_loss_stays_within_the_budget(kind: str) -> None:
    courses = [scopes.run(seed, kind, 400, PRUNE, BUDGET) for seed in range(3)]
    assert all(course.requests == 400 for course in courses)
    assert sum(course.loss > BUDGET for course in courses) == 0
    # Nothing is skipped before it is proven.
    assert all(course.stretches[0].confidence == ASK_ALL for course in courses)
    assert all((course.proven_after or 400) >= 50 for course in courses)


def test_a_third_of_the_scopes_is_adverse() -> None:
    kinds = list(scopes.kinds(90))
    assert kinds.count(scopes.HONEST) == 60
    assert {kinds.count(kind) for kind in scopes.ADVERSE} == {10}


def test_a_time_above_a_limit_is_the_longest_stretch() -> None:
    stretches = (
        scopes.Stretch(False, ASK_ALL, 100),
        scopes.Stretch(False, 1.5, 50, [0.2]),
        scopes.Stretch(True, 1.5, 70, [0.0]),
    )
    course = scopes.Course(scopes.HONEST, stretches, 0.5)
    assert course.longest_above(0.1) == 50 and course.longest_above(0.3) == 0
    assert course.proven_after == 100 and course.loss == pytest.approx(0.2 * 50 / 220)
