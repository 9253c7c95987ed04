"""Decides by evidence alone whether, and how surely, documents are skipped."""

import numpy as np
import pytest

from semcache.quality import sequential_test
from semcache.quality.pruning import (
    ASK_ALL,
    EXPLORE_IN_DOUBT,
    Doubt,
    LevelStatistics,
    Pruned,
    PruneStatistics,
    Pruning,
    decide,
    effective,
    is_anew,
    levels,
)
from semcache.quality.sequential_test import Rise

BUDGET = 0.01
GOOD, BAD = [0.0], [0.08]


def counted(losses: list[float]) -> np.ndarray:
    counts = np.zeros(sequential_test.BINS)
    for loss in losses:
        counts[sequential_test.bin_of(loss)] += 1
    return counts


def seen(recent: list[float], older: list[float] | None = None) -> PruneStatistics:
    return PruneStatistics(counted(recent), counted(older or []), sum(recent) + sum(older or []), 100.0, 40.0)


def all_levels(statistics: PruneStatistics) -> LevelStatistics:
    return dict.fromkeys(levels(1.5), statistics)


def test_levels_begin_with_the_users_and_are_few() -> None:
    assert levels(1.5) == (1.5, 2.0, 2.5, 3.0)
    assert levels(1.7) == (1.7, 2.0, 2.5, 3.0)
    assert levels(9.0) == (9.0,)


@pytest.mark.parametrize("requests", [0, 1, 30, 200])
def test_too_little_evidence_skips_nothing(requests: int) -> None:
    pruning = Pruning()
    assert decide(pruning, all_levels(seen(GOOD * requests)), 1.5, BUDGET) is pruning


def test_enough_evidence_puts_the_users_confidence_in_force() -> None:
    decided = decide(Pruning(), all_levels(seen(GOOD * 280)), 1.5, BUDGET)
    assert decided == Pruning(1.5, "pruning costs less than the budget")
    # Half the evidence is enough for twice the budget.
    assert decide(Pruning(), all_levels(seen(GOOD * 140)), 1.5, 2 * BUDGET).confidence == 1.5


@pytest.mark.parametrize(("losses", "in_force"), [(GOOD * 110, 2.0), (GOOD * 130, ASK_ALL), (GOOD * 280, 1.5)])
def test_half_way_to_the_proof_of_the_users_confidence_a_higher_one_waits(losses: list[float], in_force: float) -> None:
    statistics = {**all_levels(seen(GOOD * 280)), 1.5: seen(losses)}
    assert decide(Pruning(), statistics, 1.5, BUDGET).confidence == in_force


def test_the_lowest_confidence_that_is_proven_is_taken() -> None:
    statistics = {1.5: seen(BAD * 50), 2.0: seen([0.009] * 300), 2.5: seen(GOOD * 300), 3.0: seen(GOOD * 300)}
    assert decide(Pruning(), statistics, 1.5, BUDGET).confidence == 2.5


def test_losses_above_the_budget_raise_the_confidence_to_one_that_is_proven() -> None:
    statistics = {1.5: seen(BAD * 40, GOOD * 1000), 2.0: seen(BAD * 40, GOOD * 1000), 2.5: seen(GOOD * 300)}
    decided = decide(Pruning(1.5), statistics, 1.5, BUDGET)
    assert decided == Pruning(2.5, "pruning cost more than the budget")
    assert not is_anew(Pruning(1.5), decided)


def test_a_higher_confidence_that_recent_losses_speak_against_is_not_taken() -> None:
    statistics = {1.5: seen(BAD * 40, GOOD * 1000), 2.0: seen(BAD * 3 + GOOD * 9, GOOD * 1000)}
    statistics[2.5] = seen(BAD + GOOD * 9, GOOD * 1000)
    assert decide(Pruning(1.5), statistics, 1.5, BUDGET).confidence == 2.5
    del statistics[2.5]
    assert decide(Pruning(1.5), statistics, 1.5, BUDGET).confidence == ASK_ALL


def test_without_a_proven_one_everything_is_asked_and_counted_anew() -> None:
    decided = decide(Pruning(1.5), all_levels(seen(BAD * 40, GOOD * 1000)), 1.5, BUDGET)
    assert decided.confidence == ASK_ALL and is_anew(Pruning(1.5), decided)
    assert not is_anew(decided, decided)


def test_a_long_good_past_does_not_hide_recent_losses() -> None:
    recently = seen(BAD * 30, GOOD * 4000)
    assert recently.loss / recently.losses.sum() < BUDGET
    assert decide(Pruning(1.5), all_levels(recently), 1.5, BUDGET).confidence == ASK_ALL


def test_between_the_two_tests_a_decision_stays() -> None:
    pruning = Pruning(2.0)
    assert decide(pruning, all_levels(seen([0.009] * 40)), 1.5, BUDGET) is pruning


def test_the_users_confidence_is_the_least() -> None:
    assert effective(Pruning(1.5), 2.0) == 2.0 and effective(Pruning(), 2.0) == ASK_ALL
    # The one in force is what another process proved that asks for less; ours is judged by its own losses.
    statistics = {1.5: seen(GOOD * 300), 2.0: seen(BAD * 40)}
    assert decide(Pruning(1.5), statistics, 2.0, BUDGET).confidence == ASK_ALL


def doubt_after(losses: list[float]) -> Doubt:
    doubt = Doubt(Rise(BUDGET))
    for loss in losses:
        doubt = doubt.after(loss)
    return doubt


@pytest.mark.parametrize(
    ("losses", "share"),
    [
        ([], 0.02),
        ([0.03], 0.02),
        ([0.02] * 4, 0.02),
        # However long nothing was lost before.
        ([0.0] * 1000 + [0.1], EXPLORE_IN_DOUBT),
        ([0.0] * 1000 + [0.02] * 5, EXPLORE_IN_DOUBT),
        # Laid to rest by what follows.
        ([0.1] + [0.0] * 60, EXPLORE_IN_DOUBT),
        ([0.1] + [0.0] * 75, 0.02),
        # Seen in one of ten, it is not.
        (([0.3] + [0.0] * 9) * 8, EXPLORE_IN_DOUBT),
    ],
)
def test_more_is_explored_while_there_is_doubt(losses: list[float], share: float) -> None:
    assert doubt_after(losses).explore_share(0.02) == share
    assert doubt_after(losses).explore_share(0.5) == 0.5


def test_doubt_is_confirmed_by_losses_above_the_budget_however_long_they_were_below() -> None:
    assert not doubt_after(GOOD * 1000 + [0.1]).is_confirmed
    assert doubt_after(GOOD * 1000 + BAD * 10).is_confirmed
    assert not doubt_after([0.009] * 1000).is_confirmed


def test_confirmed_doubt_ends_pruning_whatever_was_proven_before() -> None:
    good = all_levels(seen(GOOD * 1000))
    assert decide(Pruning(1.5), good, 1.5, BUDGET).confidence == 1.5
    assert decide(Pruning(1.5), good, 1.5, BUDGET, is_doubt_confirmed=True).confidence == ASK_ALL


def test_what_is_added_up_can_be_shown() -> None:
    one, other = Pruned(1.5, 50, 30, 0.0), Pruned(1.5, 100, 60, 0.02)
    numbers: dict[str, float] = {}
    for seen_one in (one, other):
        for name, amount in seen_one.increments().items():
            numbers[name] = numbers.get(name, 0.0) + amount
    summary = PruneStatistics.of(numbers).summary()
    assert summary["n"] == 2
    assert summary["avoided"] == pytest.approx(0.4)
    assert summary["loss"] == pytest.approx(0.01)
    assert summary["loss_low"] < 0.001 and 0.01 < summary["loss_high"] <= 1.0
    assert PruneStatistics().summary() == {"n": 0}


@pytest.mark.parametrize("mean", [0.02])
def test_a_loss_above_the_budget_is_hardly_ever_proven_to_be_below_it(mean: float) -> None:
    rng = np.random.default_rng(7)
    proven = 0
    for _ in range(50):
        losses = np.where(rng.random(600) < 0.1, np.minimum(rng.exponential(10 * mean, 600), 1), 0.0)
        for count in range(100, 601, 100):
            if decide(Pruning(), {1.5: seen(losses[:count].tolist())}, 1.5, BUDGET).confidence < ASK_ALL:
                proven += 1
                break
    assert proven <= 5
