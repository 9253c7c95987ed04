"""The sample that is scored."""

import pytest

from semcache.commands.calibration.sampling import draw_sample
from tests.commands.calibration.test_cases import case, near


def test_weights_of_the_sample_stand_for_all_cases() -> None:
    cases = [case([near(0.5, [0])])] * 50 + [case([near(0.99, [0, 1])])] * 5
    sample = draw_sample(cases, 100, 1)
    assert sum(sample.weights) == pytest.approx(55)
