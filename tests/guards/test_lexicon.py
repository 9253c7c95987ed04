"""The lexeme of a written token."""

import pytest

from semcache.guards import ENGLISH, Vocabulary
from semcache.guards.cues import Kind
from semcache.guards.lexicon import BY, CURRENCY, DIGITS, IGNORED, NUMERAL, SCALE, SOURCE, TARGET, Lexeme, Lexicon

ENGLISH_LEXICON = Lexicon(ENGLISH)


@pytest.mark.parametrize(
    ("written", "tag", "value"),
    [
        ("Dogs", Kind.WORD, "dog"),
        ("5", DIGITS, "5"),
        ("-3.5", DIGITS, "-3.5"),
        ("0xFF", Kind.CODE, "0xFF"),
        ("--v", Kind.CODE, "--v"),
        ("Twelve", NUMERAL, "12"),
        ("million", SCALE, "million"),
        ("k", Kind.WORD, "k"),
        ("$", CURRENCY, "dollar"),
        ("€", CURRENCY, "euro"),
        ("%", Kind.WORD, "percent"),
        ("&", IGNORED, ""),
        ("==", Kind.CODE, "=="),
        ("get_a", Kind.CODE, "get_a"),
        ("C++", Kind.CODE, "c++"),
        ("C#", Kind.CODE, "c#"),
        ("not", Kind.NEGATION, "not"),
        ("isn't", Kind.NEGATION, "not"),
        ("Where", Kind.QUESTION, "where"),
        ("whose", Kind.QUESTION, "who"),
        ("Monday", Kind.DATE, "monday"),
        ("mar", Kind.DATE, "march"),
        ("maximum", Kind.SCOPE, "max"),
        ("fixed", Kind.WORD, "fix"),
        ("solving", Kind.WORD, "fix"),
        ("minutes", Kind.WORD, "minute"),
        ("min", Kind.SCOPE, "min"),
        ("am", IGNORED, ""),
        ("the", IGNORED, ""),
        ("by", BY, ""),
        ("from", SOURCE, "from"),
        ("to", TARGET, "to"),
        ("into", TARGET, "into"),
        ("France's", Kind.WORD, "franc"),
        ("i'd", IGNORED, ""),
    ],
)
def test_lexeme(written: str, tag: int, value: str) -> None:
    [lexeme] = ENGLISH_LEXICON.look_up(written)
    assert (lexeme.tag, lexeme.value) == (tag, value)


def test_the_spelling_is_kept_in_lower_case() -> None:
    assert ENGLISH_LEXICON.look_up("Dogs") == (Lexeme(Kind.WORD, "dog", "dogs"),)
    assert ENGLISH_LEXICON.look_up("Isn't") == (Lexeme(Kind.NEGATION, "not", "isn't"),)


@pytest.mark.parametrize("written", ["ฟก", "カナ"])
def test_a_script_without_spaces_is_read_letter_by_letter(written: str) -> None:
    assert ENGLISH_LEXICON.look_up(written) == tuple(Lexeme(Kind.WORD, letter, letter) for letter in written)


def test_characters_of_no_list_are_parts_of_words() -> None:
    assert ENGLISH_LEXICON.look_up("法国") == (Lexeme(Kind.CHARACTER, "法", "法"), Lexeme(Kind.CHARACTER, "国", "国"))


def test_of_several_lists_the_strongest_decides() -> None:
    everywhere = Vocabulary(
        ignored=frozenset({"x", "y", "by", "may"}),
        negations=frozenset({"x", "y", "z"}),
        questions={"z": "z", "q": "q"},
        scopes={"q": "q", "hour": "hour"},
        sources=frozenset({"x"}),
        targets=frozenset({"x", "by", "two"}),
    )
    look_up = Lexicon(everywhere).look_up
    tags = {word: look_up(word)[0].tag for word in ("x", "y", "z", "q", "by", "may", "two", "hour", "hours", "days")}
    assert tags == {
        "x": SOURCE,
        "y": IGNORED,
        "z": Kind.NEGATION,
        "q": Kind.QUESTION,
        "by": TARGET,
        "may": IGNORED,
        "two": NUMERAL,
        "hour": Kind.SCOPE,
        "hours": Kind.SCOPE,
        "days": Kind.WORD,
    }
