"""Numbers joined to their units."""

from itertools import chain

import pytest

from semcache.guards import ENGLISH
from semcache.guards.cues import Kind
from semcache.guards.lexicon import Lexicon
from semcache.guards.measures import join_measures
from semcache.guards.tokens import tokens

LOOK_UP = Lexicon(ENGLISH).look_up
NUMBERS = {Kind.NUMBER: "number", Kind.UNIT: "unit", Kind.DATE: "date"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("5 dogs", ["number 5"]),
        ("$5", ["number 5", "unit 5 dollar"]),
        ("$5.00 fee", ["number 5", "unit 5 dollar"]),
        ("$ sign", []),
        ("$ 5 or $", ["number 5", "unit 5 dollar"]),
        ("five dollars", ["number 5", "unit 5 dollar"]),
        ("5km", ["number 5", "unit 5 km"]),
        ("$5 million", ["number 5000000", "unit 5000000 dollar"]),
        ("1.5 million people", ["number 1500000"]),
        ("5k run", ["number 5000"]),
        ("5 million 7 cats", ["number 5000000", "number 7"]),
        ("two hundred fifty", ["number 250"]),
        ("two hundred thousand three", ["number 200003"]),
        ("one hundred", ["number 100"]),
        ("hundred miles", ["number 100", "unit 100 mile"]),
        ("thousand", ["number 1000"]),
        ("three million two thousand five", ["number 3002005"]),
        ("5 degrees", ["number 5", "unit 5 degree"]),
        ("5 degrees celsius", ["number 5", "unit 5 celsius"]),
        ("5 degrees fahrenheit 6 miles", ["number 5", "unit 5 fahrenheit", "number 6", "unit 6 mile"]),
        ("5 degrees miles", ["number 5", "unit 5 degree"]),
        ("5 miles celsius", ["number 5", "unit 5 mile"]),
        ("in 2020", ["date 2020"]),
        ("2020 miles", ["number 2020", "unit 2020 mile"]),
        ("2024-03-05", ["date 2024", "date march", "number 5"]),
        ("2024-13-05 7 mg", ["date 2024", "date 13", "number 5", "number 7", "unit 7 mg"]),
        ("5 May 2020", ["number 5", "date may", "date 2020"]),
        ("May 5", ["date may", "number 5"]),
        ("May 5 dogs", ["date may", "number 5"]),
        ("dogs may 5 cats", ["date may", "number 5"]),
        ("5 dogs may run", ["number 5"]),
        ("may I", []),
        ("I may go 5 times", ["number 5", "unit 5 times"]),
        ("5 dogs may", ["number 5"]),
        ("may five", ["number 5"]),
    ],
)
def test_measures(text: str, expected: list[str]) -> None:
    lexemes = join_measures(list(chain.from_iterable(map(LOOK_UP, tokens(text)))))
    assert [f"{NUMBERS[each.tag]} {each.value}" for each in lexemes if each.tag in NUMBERS] == expected


def test_without_a_number_nothing_is_copied() -> None:
    lexemes = list(chain.from_iterable(map(LOOK_UP, tokens("how many miles may it be"))))
    assert join_measures(lexemes) is lexemes


def test_what_is_joined_has_no_spelling_and_the_rest_stays() -> None:
    lexemes = join_measures(list(chain.from_iterable(map(LOOK_UP, tokens("5 mg of salt")))))
    assert [each.word for each in lexemes] == ["", "", "of", "salt"]


def test_a_unit_of_two_words_is_taken_whole() -> None:
    lexemes = join_measures(list(chain.from_iterable(map(LOOK_UP, tokens("5 degrees celsius today")))))
    assert [each.word for each in lexemes] == ["", "", "today"]
