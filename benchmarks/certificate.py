"""Does pruning keep to its budget where the surrogate is wrong? ``python -m benchmarks.certificate``

How long it takes to see that a loss has risen follows from how few requests are scored whole, before anything is run.
While nothing is suspected, that is the share ``explore``. If a share p of the requests loses, the first such request is
seen within n requests but for a chance of (1 - p explore)^n, about exp(-n p explore). Doubt has half of the requests
scored whole from then on. Losses of L, and of 0 otherwise, with a mean of m = p L above the budget b, let a bet of size
s grow by g = p log(1 + s (L - b)) + (1 - p) log(1 - s b) each on average, and the alarm takes log(100 x bets) / g.
"""

import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import experiment, machine, scopes
from benchmarks.experiment import ExperimentResult, Target
from benchmarks.scopes import Course
from benchmarks.timing import Quantile
from semcache.flow.policy import PrunePolicy
from semcache.quality.pruning import ASK_ALL, EXPLORE_IN_DOUBT, LOG_E_VALUE_OF_ALARM
from semcache.quality.sequential_test import bet_sizes

SCOPES, QUICK_SCOPES = 200, 9
REQUESTS, QUICK_REQUESTS = 3000, 1000
BUDGET = 0.01
STATED_SHARE = 0.10
"""The level of the test that puts pruning in force (``semcache/quality/pruning.py``)."""
PRUNE = PrunePolicy(mode="on")
TYPICAL_LOSS = 0.1
"""Of a request that loses: that of another document in the place of the best but one or two of five."""
STATED_CHANCE = 1 / 200
"""That it takes longer than stated until a change is first seen, in a scope that changes."""


def stated_requests(loss: float = TYPICAL_LOSS, mean: float = 2 * BUDGET, explore: float = PRUNE.explore) -> float:
    """Requests for which the mean loss may be this, above the budget, when single losses are of this size.

    A mean just above the budget takes longer to be told from the budget, and costs as little.

    Example:
        >>> round(stated_requests(), -1), round(stated_requests(loss=0.02), -1)
        (1610.0, 300.0)
    """
    share, sizes = mean / loss, bet_sizes(BUDGET)
    growth = (share * np.log1p(sizes * (loss - BUDGET)) + (1 - share) * np.log1p(-sizes * BUDGET)).max()
    until_seen = math.log(1 / STATED_CHANCE) / (explore * share)
    return until_seen + (LOG_E_VALUE_OF_ALARM + math.log(len(sizes))) / float(growth) / EXPLORE_IN_DOUBT


def measure(quick: bool) -> ExperimentResult:
    """Simulate scopes, a third of them adverse, and compare the true loss of pruning with its budget."""
    count, requests = (QUICK_SCOPES, QUICK_REQUESTS) if quick else (SCOPES, REQUESTS)
    run = partial(scopes.run, requests=requests, prune=PRUNE, budget=BUDGET)
    courses = []
    with ProcessPoolExecutor() as pool:
        for number, course in enumerate(pool.map(run, range(count), scopes.kinds(count)), 1):
            courses.append(course)
            print(
                f"{number} of {count}: {course.kind}, loss {course.loss:.4f}, avoided {course.avoided:.2f}", flush=True
            )
    return ExperimentResult(
        name="certificate",
        question="Does pruning keep to its budget where the surrogate is wrong?",
        method=(
            f"{count} scopes of {requests} requests with 50 documents, a third of them adverse: the features say "
            "nothing; after a third of the requests, documents that the features like least are often the best (the "
            "corpus shifts); after a third, the scores follow other weights (the reranker is replaced, unnoticed). In "
            "half of all scopes some requests have a document that is better than any feature shows. The learner and "
            "its decisions are those of the library, with the shared state in memory, looked at every "
            f"{scopes.SHARE_EVERY} requests. The true loss is that of every {scopes.EVALUATED}th request at the "
            "confidence in force, scored whole unseen by the learner. A stretch is a time without a change of "
            "confidence or regime. How long the loss may be above twice the budget was stated before the run, by the "
            "formula in benchmarks/certificate.py, which takes nothing from it: with "
            f"{PRUNE.explore:.0%} of the requests scored whole, {stated_requests():,.0f} requests where single losses "
            f"are {TYPICAL_LOSS:g}, {stated_requests(loss=2 * BUDGET):,.0f} where each request loses a little."
        ),
        parameters={
            "budget": BUDGET,
            "confidence": PRUNE.confidence,
            "explore": PRUNE.explore,
            "scopes": count,
            "requests": requests,
        },
        machine=machine.describe(None),
        rows=[_row(kind, [course for course in courses if course.kind == kind]) for kind in _kinds(courses)],
        targets=list(_targets(courses)),
        more={
            "Scopes whose loss was above the budget for a time": [row for course in courses for row in _above(course)]
        },
    )


def _kinds(courses: Sequence[Course]) -> list[str]:
    return list(dict.fromkeys(course.kind for course in courses))


def _row(kind: str, courses: Sequence[Course]) -> dict[str, Any]:
    proven = [course.proven_after for course in courses if course.proven_after is not None]
    return {
        "scopes": kind,
        "n": len(courses),
        "pruned at all": len(proven),
        "requests until then (median)": float(np.median(proven)) if proven else 0.0,
        "pairs avoided": float(np.mean([course.avoided for course in courses])),
        "mean loss": float(np.mean([course.loss for course in courses])),
        "largest mean loss of a scope": max(course.loss for course in courses),
        "scopes above the budget": sum(course.loss > BUDGET for course in courses),
        "longest above the budget": max(course.longest_above(BUDGET) for course in courses),
        "longest above twice the budget": max(course.longest_above(2 * BUDGET) for course in courses),
    }


def _targets(courses: Sequence[Course]) -> Iterator[Target]:
    above = np.array([course.loss > BUDGET for course in courses])
    resampled = np.random.default_rng(0).choice(above, (2000, len(above))).mean(axis=1)
    low, high = np.quantile(resampled, (0.025, 0.975))
    yield Target(
        "share of scopes whose true loss is above the budget",
        Quantile(float(above.mean()), float(low), float(high)),
        at_most=STATED_SHARE,
    )
    longest = float(max(course.longest_above(2 * BUDGET) for course in courses))
    yield Target(
        "requests of the longest time above twice the budget",
        Quantile(longest, longest, longest),
        at_most=round(stated_requests()),
    )


def _above(course: Course) -> Iterator[dict[str, Any]]:
    for stretch in course.stretches:
        if stretch.confidence < ASK_ALL and stretch.loss > BUDGET:
            yield {
                "scope": course.kind,
                "after the change": stretch.is_after,
                "confidence": stretch.confidence,
                "requests": stretch.requests,
                "mean loss": stretch.loss,
            }


def plot(result: ExperimentResult, path: Path) -> None:
    """Mean loss of each kind of scope, against the budget."""
    from benchmarks import plots

    values = {
        f"{row['scopes']}: {name}": row[name]
        for row in result.rows
        for name in ("mean loss", "largest mean loss of a scope")
    }
    plots.bars({**values, "budget": BUDGET}, path, title=result.question, x="loss")


if __name__ == "__main__":
    experiment.main(measure, plot)
