"""The plot of the demo."""

from pathlib import Path

import pytest

from semcache.commands.demo.plot import open_spells, plot
from semcache.commands.demo.run import DemoResult
from semcache.events import BreakerChanged


class TestPlot:
    def test_it_is_a_png(self, result: DemoResult, tmp_path: Path) -> None:
        plot(result, tmp_path / "latency.png")
        assert (tmp_path / "latency.png").read_bytes().startswith(b"\x89PNG")

    @pytest.mark.parametrize(
        ("transitions", "spells"),
        [
            ([], []),
            ([(5, "closed", "open"), (9, "open", "half-open"), (12, "half-open", "closed")], [(5, 12)]),
            ([(5, "closed", "open")], [(5, 10)]),
        ],
    )
    def test_when_the_breaker_was_not_closed(
        self, result: DemoResult, transitions: list[tuple[int, str, str]], spells: list[tuple[int, int]]
    ) -> None:
        changes = [(number, BreakerChanged(old, new, "x", None)) for number, old, new in transitions]
        assert list(open_spells(DemoResult(result.served[:10], [], changes, 1.0))) == spells
