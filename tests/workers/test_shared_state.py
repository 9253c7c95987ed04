"""Workers add up what reuse and pruning cost without losing an update, and follow what any of them has found."""

from collections.abc import Iterator
from math import inf
from typing import Any

import pytest

from semcache.quality.statistics import EXACT
from tests.workers import state_jobs
from tests.workers.crew import Crew, Worker

WORKERS, TIMES = 8, 40


def test_no_observation_of_what_reuse_costs_is_lost(crew: Crew, redis_url: str, namespace: str) -> None:
    crew.do(state_jobs.add_observations, [(redis_url, namespace, TIMES)] * WORKERS)
    # Read by a process that has added nothing: it starts with what the others have seen.
    (state,) = crew.do(state_jobs.read_quality, [(redis_url, namespace)])
    total = WORKERS * TIMES
    seen = state.statistics
    assert {band: one.losses.sum() for band, one in seen.items()} == {"0.98": total, EXACT: total}
    assert {group: set(bands) for group, bands in state.by_tenants.items()} == {"": {"0.98"}, "7": {EXACT}}
    # Numbers that floats hold exactly: a drift of an eighth of each of 20 documents.
    assert (seen["0.98"].loss, seen["0.98"].drift, seen["0.98"].overlap) == (0.0, total * 20 / 8, total)
    assert seen["0.98"].drifts.sum() == seen[EXACT].drifts.sum() == total * 20


def test_no_request_that_pruning_learns_from_is_lost(crew: Crew, redis_url: str, namespace: str) -> None:
    crew.do(state_jobs.add_sums, [(redis_url, namespace, TIMES)] * WORKERS)
    ((state, sums),) = crew.do(state_jobs.read_pruning, [(redis_url, namespace)])
    total = WORKERS * TIMES
    assert sums == [float(total)] + [total / 4] * (len(sums) - 1)
    cheap, costly = state.statistics[1.5], state.statistics[2.0]
    assert (cheap.losses.sum(), cheap.documents, cheap.avoided, cheap.loss) == (2 * total, 100 * total, 40 * total, 0.0)
    assert (costly.losses.sum(), costly.loss) == (total, total / 4)


@pytest.fixture
def watched(crew: Crew, namespace: str) -> Iterator[Crew]:
    yield crew
    crew.do(state_jobs.close, [(namespace,)] * WORKERS)


@pytest.mark.usefixtures("watched")
def test_an_alarm_of_two_reaches_one_that_runs_and_one_that_starts(crew: Crew, redis_url: str, namespace: str) -> None:
    one, other, third, later = crew.workers[:4]

    def ask(worker: Worker, seed: int, topics: range) -> Any:
        worker.begin(state_jobs.ask, redis_url, namespace, seed, topics)
        return worker.result()

    for worker in (one, other, third):
        assert ask(worker, 0, range(12)) == {"trusts": (True, True), "changes": []}
    # The reranker changes under its name; half of the evidence each.
    for topic in range(12):
        ask(one, 1, range(topic, topic + 1))
        last = ask(other, 1, range(topic, topic + 1))
    assert last["trusts"] == (False, False)
    assert last["changes"] == [inf]
    # One that has answered well all the time looks at the state with every eighth observation, or after 10 s.
    followed = ask(third, 0, range(8))
    assert followed["trusts"] == (False, False)
    assert ask(later, 0, range(0)) == {"trusts": (False, False), "changes": [inf]}
