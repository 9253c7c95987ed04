"""A text as written tokens."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from semcache.guards.tokens import normalised, quotations, tokens, tokens_by_pattern


@given(st.text("abc DEf,.?!'-/():;+_5\"", max_size=60))
@settings(max_examples=300, deadline=None)
def test_the_short_cut_for_plain_text_finds_the_same_tokens(text: str) -> None:
    assert tokens(text) == tokens_by_pattern(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("How are you?", ["How", "are", "you"]),
        ("don't re-use it", ["don't", "re", "use", "it"]),
        ("5km in 1,000.5 or 3.11", ["5", "km", "in", "1,000.5", "or", "3.11"]),
        ("0xFF get_a __init__", ["0xFF", "get_a", "__init__"]),
        ("grep --color -v", ["grep", "--color", "-v"]),
        ("on 2024-01-15 at 10:30", ["on", "2024-01-15", "at", "10:30"]),
        ("from -5 to 7-3", ["from", "-5", "to", "7", "3"]),
        ("the 3rd and 21ST", ["the", "3", "and", "21"]),
        ("C++, C# or i++", ["C++", "C#", "or", "i++"]),
        ("a == b && c -> d", ["a", "==", "b", "&&", "c", "->", "d"]),
        ("$5 or 10%", ["$", "5", "or", "10", "%"]),
        ("法国 café", ["法国", "café"]),
        ("", []),
    ],
)
def test_tokens(text: str, expected: list[str]) -> None:
    assert tokens(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("plain", "plain"), ("it\u2019s \u0665", "it's 5"), ("\uff21\u00ad\uff22", "AB"), ("\u22125", "-5")],
)
def test_one_spelling(text: str, expected: str) -> None:
    assert normalised(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("no marks", []),
        ('say "To  Be" now', ["to be"]),
        ("\u201ea\u201c and \u00abb\u00bb", ["a", "b"]),
        ("'rock 'n roll'", ["rock 'n roll"]),
        ("it's John's", []),
    ],
)
def test_quotations(text: str, expected: list[str]) -> None:
    assert quotations(text) == expected
