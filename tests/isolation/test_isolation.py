"""A bounded number of random steps with every run of the tests; ``python -m tests.isolation`` takes more."""

import pytest

from tests.isolation.__main__ import run
from tests.isolation.machine import steps

STEPS = 1_500
FEWER = 500


def test_nothing_is_served_across_the_wall_of_a_scope(redis_url: str) -> None:
    before = steps["all"]
    run(redis_url, STEPS)
    assert steps["all"] - before >= STEPS
    assert steps["move scores"]
    assert steps["move a vector"]
    assert steps["rerank together"]


def test_nor_where_tenants_are_pinned(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEMCACHE_CACHE__PIN", "tenant")
    before = steps["all"]
    run(redis_url, FEWER)
    assert steps["all"] - before >= FEWER
