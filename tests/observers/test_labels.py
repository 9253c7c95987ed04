"""The values of labels: all that occur are known before they do."""

from typing import get_args

from semcache.flow.steps import Refuse, Score, Step
from semcache.observers.labels import STEPS


def test_every_step_of_a_request_that_can_fail_has_a_time_series_of_its_own() -> None:
    of_requests = {step.__name__ for step in get_args(Step) if step not in (Score, Refuse)}
    assert of_requests - set(STEPS) == set()
