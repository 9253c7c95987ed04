"""Does pruning keep to its budget where the surrogate is wrong? ``python -m benchmarks.certificate``"""

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
from semcache.quality.pruning import ASK_ALL

SCOPES, QUICK_SCOPES = 200, 9
REQUESTS, QUICK_REQUESTS = 3000, 1000
BUDGET = 0.01
STATED_SHARE = 0.10
"""The level of the test that puts pruning in force (``semcache/quality/pruning.py``)."""
STATED_REQUESTS = 1000
"""Requests for which the loss may be above twice the budget. A loss just above the budget takes longer to be told from
the budget, and costs as little."""
PRUNE = PrunePolicy(mode="on")


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
            "nothing; from the middle on, documents that the features like least are often the best (the corpus "
            "shifts); from the middle on, the scores follow other weights (the reranker is replaced, unnoticed). In "
            "half of all scopes some requests have a document that is better than any feature shows. The learner and "
            "its decisions are those of the library, with the shared state in memory, looked at every "
            f"{scopes.SHARE_EVERY} requests. The true loss is that of every {scopes.EVALUATED}th request at the "
            "confidence in force, scored whole unseen by the learner. A stretch is a time without a change of "
            "confidence or regime."
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
        at_most=STATED_REQUESTS,
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
