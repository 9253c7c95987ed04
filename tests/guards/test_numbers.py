"""One spelling for numbers, years and months."""

import pytest

from semcache.guards.numbers import (
    MONTHS,
    NUMERALS,
    ONLY_BEHIND_NUMBERS,
    SCALES,
    WEEKDAYS,
    is_year,
    month_name,
    number_text,
    scaled,
)


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
        ("2.01", 10**6, "2010000"),
        ("2.25", 10**6, "2250000"),
        ("1.50", 1000, "1500"),
        ("-2", 1000, "-2000"),
        ("0.25", 10, "2.5"),
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


@pytest.mark.parametrize(
    ("words", "value"),
    [
        *[("zero", 0), ("first", 1), ("two second ii", 2), ("three third iii", 3), ("seven seventh vii", 7)],
        *[("eight viii", 8), ("twelve twelfth dozen xii", 12), ("thirteen xiii", 13), ("xiv", 14)],
        *[("sixteen sixteenth xvi", 16), ("nineteen", 19), ("twenty twentieth", 20), ("fifty fiftieth", 50)],
        *[("ninety", 90), ("hundredth", 100)],
    ],
)
def test_spelt_numbers(words: str, value: int) -> None:
    assert {NUMERALS[word] for word in words.split()} == {value}


@pytest.mark.parametrize(
    ("words", "zeros"),
    [
        *[("hundred", 2), ("thousand k", 3), ("lakh lakhs", 5), ("million millions mn", 6), ("crore crores", 7)],
        *[("billion billions bn", 9), ("trillion", 12)],
    ],
)
def test_scales(words: str, zeros: int) -> None:
    assert {SCALES[word] for word in words.split()} == {10**zeros}


def test_words_that_are_often_no_numbers_or_units() -> None:
    assert NUMERALS.keys().isdisjoint({"one", "_", "iv", "vi"})
    assert {"m", "g", "s", "x", "min", "am", "pound"} <= ONLY_BEHIND_NUMBERS
    assert ONLY_BEHIND_NUMBERS.isdisjoint({"km", "kg", "minutes", "dollar", "$", "%"})


def test_months_and_days() -> None:
    months = [MONTHS[word] for word in ("feb", "february", "may", "sept", "sep")]
    assert months == ["february", "february", "may", "september", "september"]
    days = [WEEKDAYS[word] for word in ("friday", "fridays", "tues", "thurs")]
    assert days == ["friday", "friday", "tuesday", "thursday"]
