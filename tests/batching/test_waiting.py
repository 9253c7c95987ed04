"""The load of a model: what a new request would wait for, however many calls may run at once."""

from dataclasses import dataclass

import pytest

from semcache.batching.admission import Load
from semcache.batching.service_time import Cost
from semcache.batching.waiting import load_of

# A call takes 0.2 s, whatever it holds.
FLAT = Cost(fixed_s=0.2, per_pair_s=0.0, evidence=10.0)
# And one that takes 10 ms for each pair.
BY_PAIR = Cost(fixed_s=0.0, per_pair_s=0.01, evidence=10.0)


@dataclass(frozen=True)
class Call:
    pairs: int
    since: float


def load(running: list[float], waiting: int = 0, **given: object) -> Load:
    """Of calls of 8 pairs that began so many seconds ago, and as many requests of 8 pairs that wait."""
    known: dict[str, object] = {"concurrency": 50, "cost": FLAT, "now": 100.0, "rate_wait_s": 0.0, "abandoned": 0}
    calls = [Call(8, 100.0 - ago) for ago in running]
    return load_of(calls, (8 * waiting, waiting), (8, 1), **{**known, **given})  # type: ignore[arg-type]


def test_while_one_more_call_may_run_nothing_waits() -> None:
    assert (load([0.1] * 49).busy, load([0.1] * 49).wait_s) == (False, 0.0)


@pytest.mark.parametrize(("waiting", "wait_s"), [(0, 0.05), (50, 0.05 + 0.2), (450, 0.05 + 1.8)])
def test_what_waits_is_shared_by_the_calls_at_once(waiting: int, wait_s: float) -> None:
    found = load([0.15] * 50, waiting)
    assert found.busy
    assert found.wait_s == pytest.approx(wait_s)
    assert found.expected_s(8) == pytest.approx(wait_s + 0.2)


def test_one_call_at_a_time_waits_for_all_before_it() -> None:
    assert load([0.02], 10, concurrency=1, cost=BY_PAIR).wait_s == pytest.approx(0.06 + 0.8)


def test_the_rate_limit_counts_where_it_holds_longer() -> None:
    found = load([0.1], rate_wait_s=3.0)
    assert (found.busy, found.wait_s) == (True, 3.0)
    assert load([0.15] * 50, 450, rate_wait_s=1.0).wait_s == pytest.approx(1.85)


def test_the_oldest_call_and_how_long_all_have_taken() -> None:
    found = load([0.1, 5.0, 0.3])
    assert (found.since, found.running_pairs) == (95.0, 8)
    assert found.all_for_s == pytest.approx(0.1)
    idle = load([])
    assert (idle.since, idle.running_pairs, idle.all_for_s) == (None, 0, 0.0)


def test_without_a_call_so_far_only_the_rate_limit_is_known() -> None:
    found = load([0.1], 5, concurrency=1, cost=None)
    assert found.busy
    assert found.expected_s(8) is None
