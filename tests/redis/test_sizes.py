"""How a search is carried out follows from how much there is to be searched."""

from typing import Any

import pytest
from redis.exceptions import ResponseError

from semcache.redis.search import KnnCommand
from semcache.redis.sizes import Sizes


def learnt(entries: int, of_tenant: int | None = None) -> Sizes:
    sizes = Sizes(lambda: 0.0)
    tenant = "" if of_tenant is None else "t"
    sizes.learn("i", tenant, [2 * entries, [of_tenant]][: len(sizes.questions("i", tenant))])
    return sizes


@pytest.mark.parametrize(("entries", "ef"), [(0, 20), (30_000, 20), (30_001, 40), (300_000, 40), (5_000_000, 100)])
def test_the_more_entries_the_more_candidates(entries: int, ef: int) -> None:
    assert learnt(entries).ef("i", "") == ef


@pytest.mark.parametrize(
    ("entries", "of_tenant", "policy"),
    [
        (100_000, 10, "ADHOC_BF"),
        (100_000, 1_000, "ADHOC_BF"),
        (100_000, 10_000, "BATCHES"),
        (100_000_000, 10_000, "ADHOC_BF"),
        (100_000_000, 10_001, "BATCHES"),
        (20, 20, "ADHOC_BF"),
        (0, 0, "BATCHES"),
    ],
)
def test_small_tenants_are_compared_one_by_one(entries: int, of_tenant: int, policy: str) -> None:
    assert learnt(entries, of_tenant).policy("i", "t") == policy


def test_while_nothing_is_known_the_server_chooses() -> None:
    sizes = Sizes(lambda: 0.0)
    assert sizes.policy("i", "t") is None
    assert sizes.ef("i", "") == 40


@pytest.mark.parametrize("answers", [[ResponseError("no")] * 2, [7, ResponseError("no")]])
def test_who_refuses_to_say_is_asked_again_a_minute_later(answers: list[Any]) -> None:
    now = 0.0
    sizes = Sizes(lambda: now)
    sizes.learn("i", "t", answers)
    assert sizes.policy("i", "t") is None
    assert sizes.ef("i", "t") == 40
    assert not sizes.questions("i", "t")
    now = 61.0
    assert len(sizes.questions("i", "t")) == 2


def test_no_answers_to_no_questions_change_nothing() -> None:
    sizes = learnt(100_000, 10)
    sizes.learn("i", "t", [])
    assert sizes.policy("i", "t") == "ADHOC_BF"


def test_answers_of_both_protocols() -> None:
    sizes = Sizes(lambda: 0.0)
    sizes.learn("i", "t", [2_000_000, {b"total_results": 10_001}])
    assert sizes.policy("i", "t") == "BATCHES"
    assert sizes.ef("i", "t") == 100


def test_many_tenants_do_not_fill_the_memory() -> None:
    sizes = Sizes(lambda: 0.0)
    for tenant in range(25_000):
        sizes.learn("i", f"t{tenant}", [7, [1]])
    assert len(sizes._told) <= 10_000
    assert not sizes.questions("i", "t24999")


def test_the_command_says_how_to_search() -> None:
    graph = KnnCommand.build("i", 4, "float16", 2, is_named=True, ef=40, policy="BATCHES").near("t", b"1234")
    assert "HYBRID_POLICY BATCHES" in str(graph[2])
    assert graph[-5:] == (4, "EF", 40, "vector", b"1234")
    compared = KnnCommand.build("i", 4, "float16", 2, is_named=True, ef=None, policy="ADHOC_BF").near("t", b"1234")
    assert "HYBRID_POLICY ADHOC_BF" in str(compared[2])
    assert compared[-3:] == (2, "vector", b"1234")
