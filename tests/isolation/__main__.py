"""Takes many random steps: ``python -m tests.isolation [--steps N]``, each run with caches that begin empty."""

import argparse
import sys
from time import monotonic

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from semcache.redis.server.embedded import EmbeddedRedis
from tests.isolation.machine import Isolation, steps
from tests.isolation.world import World

_STEPS_OF_A_RUN = 50


def run(url: str, least: int, *, shrinks: bool = True) -> None:
    """Take at least so many steps on this Redis. Raises what was found, after the shortest steps that lead to it.

    Without ``shrinks`` it is raised at once.
    """
    world = World(url)
    machine = type("OnThisServer", (Isolation,), {"world": world})
    begun = steps["all"]
    try:
        # Hypothesis ends some runs early, so that several rounds may be needed.
        while (left := least - (steps["all"] - begun)) > 0:
            run_state_machine_as_test(  # type: ignore[no-untyped-call]
                machine,
                settings=settings(
                    max_examples=-(-left // _STEPS_OF_A_RUN),
                    stateful_step_count=_STEPS_OF_A_RUN,
                    deadline=None,
                    database=None,
                    phases=[Phase.generate, Phase.shrink] if shrinks else [Phase.generate],
                    suppress_health_check=list(HealthCheck),
                ),
            )
    except BaseException:  # also an interrupt: what was found until then is worth the most
        print(f"found first: {world.found[:1]}")
        raise
    finally:
        world.close()


def main() -> int:
    parser = argparse.ArgumentParser(description="Random steps of tenants on a real Redis, against a plain model.")
    parser.add_argument("--steps", type=int, default=20_000, help="how many at least")
    parser.add_argument("--no-shrink", action="store_true", help="do not look for the shortest steps that fail")
    options = parser.parse_args()
    began = monotonic()
    with EmbeddedRedis() as server:
        run(server.url, options.steps, shrinks=not options.no_shrink)
    print(f"{steps['all']:,} steps in {monotonic() - began:.0f} s, nothing was served across a wall:")
    for name, count in sorted(steps.items()):
        if name != "all":
            print(f"  {name:<18} {count:>7,}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
