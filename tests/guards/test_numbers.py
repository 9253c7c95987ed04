"""One spelling for numbers, years and months."""

import pytest

from semcache.guards.numbers import MONTHS, NUMERALS, WEEKDAYS, is_year, month_name, number_text, scaled


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("1,000", "1000"),
        ("1 000", "1000"),
        ("1'000'000", "1000000"),
        ("-12,345.5", "-12345.5"),
        ("1000.00", "1000"),
        ("5.00", "5"),
        ("5.0", "5.0"),
        ("3,14", "3,14"),
        ("1234,567", "1234,567"),
        ("3.10", "3.10"),
        ("10:30", "10:30"),
    ],
)
def test_number_text(written: str, expected: str) -> None:
    assert number_text(written) == expected


@pytest.mark.parametrize(
    ("number", "scale", "expected"),
    [
        ("1.5", 10**6, "1500000"),
        ("2.01", 10**6, "2010000.00"),
        ("-2", 1000, "-2000"),
        ("0.25", 10, "2.50"),
        ("3.11.4", 1000, "3.11.4*1000"),
        ("9" * 18, 100, "9" * 18 + "00"),
        ("9" * 19, 100, "9" * 19 + "*100"),
    ],
)
def test_scaled(number: str, scale: int, expected: str) -> None:
    assert scaled(number, scale) == expected


@pytest.mark.parametrize(
    ("number", "expected"),
    [("1499", False), ("1500", True), ("2100", True), ("2101", False), ("02020", False), ("20.5", False), ("", False)],
)
def test_is_year(number: str, expected: bool) -> None:
    assert is_year(number) is expected


@pytest.mark.parametrize(
    ("number", "expected"), [("05", "may"), ("1", "january"), ("12", "december"), ("0", "0"), ("13", "13")]
)
def test_month_name(number: str, expected: str) -> None:
    assert month_name(number) == expected


def test_spelt_numbers_months_and_days() -> None:
    assert [NUMERALS[word] for word in ("zero", "two", "nineteen", "first", "second", "third", "sixteenth")] == [
        *(0, 2, 19, 1, 2, 3, 16),
    ]
    assert [NUMERALS[word] for word in ("twenty", "ninety", "dozen", "xiv")] == [20, 90, 12, 14]
    assert "one" not in NUMERALS and "_" not in NUMERALS
    assert (MONTHS["feb"], MONTHS["sept"], WEEKDAYS["fridays"], WEEKDAYS["tues"]) == (
        *("february", "september", "friday", "tuesday"),
    )
