"""A bounded number of random steps with every run of the tests; ``python -m tests.isolation`` takes more."""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.isolation.machine import Isolation, steps
from tests.isolation.world import World

RUNS, STEPS = 30, 50


@pytest.fixture
def world(redis_url: str) -> Iterator[World]:
    world = World(redis_url)
    yield world
    world.close()


def test_nothing_is_served_across_the_wall_of_a_scope(world: World) -> None:
    before = steps["all"]
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        type("OnThisServer", (Isolation,), {"world": world}),
        settings=settings(
            max_examples=RUNS,
            stateful_step_count=STEPS,
            deadline=None,
            database=None,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
        ),
    )
    assert steps["all"] - before >= RUNS * STEPS / 2
