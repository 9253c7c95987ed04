"""How a search is carried out follows from how many entries there are."""

from typing import Any

import pytest
from redis.exceptions import ResponseError

from semcache.redis.sizes import Sizes


def measured(entries: int, of_tenant: int | None = None) -> Sizes:
    sizes = Sizes(lambda: 0.0)
    tenant = "" if of_tenant is None else "t"
    sizes.record("i", tenant, [2 * entries, [of_tenant]][: len(sizes.commands_if_due("i", tenant))])
    return sizes


@pytest.mark.parametrize(("entries", "ef"), [(0, 20), (30_000, 20), (30_001, 40), (300_000, 40), (5_000_000, 100)])
def test_the_more_entries_the_more_candidates(entries: int, ef: int) -> None:
    assert measured(entries).ef("i", "") == ef


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
    assert measured(entries, of_tenant).policy("i", "t") == policy


def test_while_nothing_is_known_the_server_chooses() -> None:
    sizes = Sizes(lambda: 0.0)
    assert sizes.policy("i", "t") is None
    assert sizes.ef("i", "") == 40


@pytest.mark.parametrize("replies", [[ResponseError("no")] * 2, [7, ResponseError("no")]])
def test_a_server_that_refuses_is_asked_again_a_minute_later(replies: list[Any]) -> None:
    now = 0.0
    sizes = Sizes(lambda: now)
    sizes.record("i", "t", replies)
    assert sizes.policy("i", "t") is None
    assert sizes.ef("i", "t") == 40
    assert not sizes.commands_if_due("i", "t")
    now = 61.0
    assert len(sizes.commands_if_due("i", "t")) == 2


def test_no_replies_change_nothing() -> None:
    sizes = measured(100_000, 10)
    sizes.record("i", "t", [])
    assert sizes.policy("i", "t") == "ADHOC_BF"


def test_the_count_of_a_tenant_is_the_head_of_the_reply() -> None:
    sizes = Sizes(lambda: 0.0)
    sizes.record("i", "t", [2_000_000, [10_001]])
    assert sizes.policy("i", "t") == "BATCHES"
    assert sizes.ef("i", "t") == 100


def test_many_tenants_do_not_fill_the_memory() -> None:
    sizes = Sizes(lambda: 0.0)
    for tenant in range(25_000):
        sizes.record("i", f"t{tenant}", [7, [1]])
    assert len(sizes) <= 10_000
    assert not sizes.commands_if_due("i", "t24999")
