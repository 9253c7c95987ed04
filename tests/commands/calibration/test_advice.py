"""Which threshold is recommended."""

from collections.abc import Mapping

import pytest

from semcache.commands.calibration.advice import advised
from semcache.commands.calibration.figures import Figures


class TestAdvice:
    def rows(self, highs: Mapping[float, float], sampled: int = 100) -> list[Figures]:
        return [
            Figures(threshold, 0.1, 0.1, sampled, 1.0, high / 2, 0.0, high, high, 1.0, 1.0)
            for threshold, high in highs.items()
        ]

    @pytest.mark.parametrize(
        ("highs", "advice"),
        [
            ({0.9: 0.005, 0.8: 0.008, 0.7: 0.02}, 0.8),
            ({0.9: 0.005, 0.8: 0.02, 0.7: 0.005}, 0.9),
            ({0.9: 0.02, 0.8: 0.001}, None),
            ({0.9: 0.001}, 0.9),
        ],
    )
    def test_the_lowest_threshold_from_which_on_the_bound_keeps_the_budget(
        self, highs: Mapping[float, float], advice: float | None
    ) -> None:
        assert advised(self.rows(highs), 0.01).threshold == advice

    def test_too_few_hits_are_no_evidence(self) -> None:
        advice = advised(self.rows({0.9: 0.0}, sampled=29), 0.01)
        assert advice.threshold is None
        assert "longer log" in advice.reason
