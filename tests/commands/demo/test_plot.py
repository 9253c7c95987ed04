"""The plot of the demo."""

from pathlib import Path

import pytest

from semcache.commands.demo.plot import MARKS, duration, open_spells, plot
from semcache.commands.demo.run import DemoResult
from semcache.events import BreakerChanged
from semcache.ranking import Status


class TestPlot:
    def test_it_is_a_png(self, result: DemoResult, tmp_path: Path) -> None:
        plot(result, tmp_path / "latency.png")
        assert (tmp_path / "latency.png").read_bytes().startswith(b"\x89PNG")

    def test_every_status_has_a_mark(self) -> None:
        # One without would be left out of the picture.
        assert MARKS.keys() == set(Status)

    @pytest.mark.parametrize(
        ("milliseconds", "shown"), [(0.1, "0.1 ms"), (10, "10 ms"), (966, "966 ms"), (1000, "1 s")]
    )
    def test_durations_have_their_unit(self, milliseconds: float, shown: str) -> None:
        assert duration(milliseconds) == shown

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
