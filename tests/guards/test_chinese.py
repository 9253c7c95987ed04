"""How a run of Han characters is cut into words and numbers."""

import pytest

from semcache.guards import CueGuard
from semcache.guards.chinese import segments


@pytest.mark.parametrize(
    ("run", "known", "expected"),
    [
        ("", set(), []),
        ("退款", set(), ["退", "款"]),
        ("怎么退款", {"怎么", "退款"}, ["怎么", "退款"]),
        # Of words that begin alike the longest is meant.
        ("怎么样了", {"怎么", "怎么样"}, ["怎么样", "了"]),
        ("三十天", set(), ["30", "天"]),
        ("两百五十元", set(), ["250", "元"]),
        ("三万人", set(), ["30000", "人"]),
        ("一千零一夜", set(), ["1001", "夜"]),
        ("十二月", set(), ["12", "月"]),
        # Digits one by one, as years are read.
        ("二零二四年", set(), ["2024", "年"]),
        ("二\u3007一四年", set(), ["2014", "年"]),
        # A lone numeral is part of a word unless a measure follows.
        ("三天", set(), ["3", "天"]),
        ("三明治", set(), ["三", "明", "治"]),
    ],
)
def test_segments(run: str, known: set[str], expected: list[str]) -> None:
    assert list(segments(run, known)) == expected


def test_years_in_numerals_are_different_years() -> None:
    guard = CueGuard()
    ours, theirs, figures = map(guard.cues, ("二零二三年的税收政策", "二零一三年的税收政策", "2023年的税收政策"))
    assert guard.difference(ours, theirs, 0.99) == "number"
    assert guard.difference(ours, figures, 0.99) is None
