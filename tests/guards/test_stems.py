"""One form for the forms of a word."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from semcache.guards.stems import stem


@pytest.mark.parametrize(
    "forms",
    [
        "puppy puppies",
        "city cities",
        "box boxes",
        "church churches",
        "dish dishes",
        "class classes",
        "potato potatoes",
        "wolf wolves",
        "cave caves",
        "drive drives driving",
        "run runs running",
        "sell sells selling",
        "pass passing passed",
        "make makes making",
        "carry carries carried",
        "quick quickly",
        "need needs needed",
        "organise organised organizes organizing",
        "colour colours color coloring",
        "bus",
        "king",
        "only",
        "string",
    ],
)
def test_forms_of_one_word_have_one_stem(forms: str) -> None:
    assert len({stem(form) for form in forms.split()}) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [("install", "installer"), ("cardiology", "cardiologist"), ("king", "k"), ("four", "for")],
)
def test_different_words_have_different_stems(one: str, other: str) -> None:
    assert stem(one) != stem(other)


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        *[("as", "as"), ("its", "its"), ("gas", "gas"), ("cats", "cat"), ("used", "used"), ("lies", "lie")],
        *[("dies", "die"), ("flies", "fly"), ("lives", "liv"), ("vives", "viv"), ("elves", "elv"), ("selves", "self")],
        *[("seed", "seed"), ("baked", "bak"), ("being", "being"), ("string", "string"), ("early", "early")],
        *[("badly", "badly"), ("purely", "pur"), ("stopped", "stop"), ("added", "ad"), ("fizzing", "fizz")],
        *[
            ("hours", "hour"),
            ("labour", "labor"),
            ("court", "court"),
            ("basis", "basis"),
            ("oasis", "oasis"),
            ("crisis", "crisiz"),
        ],
    ],
)
def test_stem(word: str, expected: str) -> None:
    assert stem(word) == expected


@given(st.text(max_size=20))
def test_any_text_has_a_stem_that_is_not_longer(word: str) -> None:
    assert len(stem(word)) <= len(word)
