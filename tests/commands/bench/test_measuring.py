"""Taking turns, budgets and quantiles."""

from collections.abc import Sequence

import numpy as np
import pytest

from semcache.commands.bench.measuring import Budget, Operation, Timing, affordable, alternate
from semcache.errors import StoreError


class TestMeasuring:
    def test_blocks_alternate(self) -> None:
        order: list[str] = []
        operations = [Operation(name, lambda number: number, lambda _, name=name: order.append(name)) for name in "ab"]
        alternate(operations, Budget(60, samples=4, blocks=4, warm_up=1))
        assert "".join(order[-8:]) == "abbaabba"

    def test_preparing_is_done_with_the_number(self) -> None:
        seen: list[int] = []
        operation = Operation("a", lambda number: number * 10, seen.append)
        assert alternate([operation], Budget(60, samples=6, blocks=3, warm_up=1))["a"].n == 6
        assert seen[-6:] == [0, 10, 20, 30, 40, 50]

    def test_a_wrong_answer_is_an_error(self) -> None:
        with pytest.raises(StoreError, match="a answered 'x' although"):
            alternate([Operation("a", str, lambda _: "x", lambda answer: answer == "y")], Budget(1))

    @pytest.mark.parametrize(
        ("taken", "block", "expected_s", "calls"),
        [
            ([], 0, 0.01, 10),  # a twentieth of two seconds
            ([], 0, 1e-6, 100),
            ([0.5], 1, 0.5, 1),
            ([0.01] * 10, 10, 9, 19),  # 1.9 s for 10 blocks
            ([1.0, 1.1], 2, 1, 1),
            ([0.7] * 3, 3, 1, 0),
            ([7.0], 1, 7, 0),
        ],
    )
    def test_how_many_calls_a_block_affords(
        self, taken: Sequence[float], block: int, expected_s: float, calls: int
    ) -> None:
        assert affordable(np.array(taken), block, expected_s, Budget(2.0)) == calls

    @pytest.mark.parametrize(("n", "blank"), [(3, [True, True]), (20, [False, True]), (100, [False, False])])
    def test_quantiles_that_would_be_the_maximum_are_left_out(self, n: int, blank: list[bool]) -> None:
        timing = Timing.of(np.arange(1, n + 1) / 1000)
        assert [timing.p95_ms is None, timing.p99_ms is None] == blank
        assert timing.p50_ms == pytest.approx((n + 1) / 2)
