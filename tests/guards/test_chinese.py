"""How a run of Han characters is cut into words and numbers."""

import pytest

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
        # A lone numeral is part of a word unless a measure follows.
        ("三天", set(), ["3", "天"]),
        ("三明治", set(), ["三", "明", "治"]),
    ],
)
def test_segments(run: str, known: set[str], expected: list[str]) -> None:
    assert list(segments(run, known)) == expected
