"""Phrases, roles, and the cues of a query."""

from itertools import chain

import pytest

from semcache.guards import ENGLISH, Vocabulary
from semcache.guards.cues import Kind, Role, encode_cue
from semcache.guards.lexicon import Lexeme, Lexicon
from semcache.guards.reading import cues_of, replace_phrases
from semcache.guards.tokens import tokens

NONE, SOURCE, BEFORE, TARGET, PASSIVE = Role.NONE, Role.SOURCE, Role.BEFORE_TARGET, Role.TARGET, Role.PASSIVE


def lexemes_of(text: str, vocabulary: Vocabulary = ENGLISH) -> list[Lexeme]:
    return list(chain.from_iterable(map(Lexicon(vocabulary).look_up, tokens(text))))


def words_with_roles(text: str) -> list[bytes]:
    """The cues of a text without its contrasts, which have a test of their own."""
    return [cue for cue in cues_of(lexemes_of(text)) if cue[0] >> 4 <= Kind.QUOTE]


def cues(*words: tuple[str, int]) -> list[bytes]:
    return [encode_cue(Kind.WORD, role, word) for word, role in words]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("paris rome", [("paris", NONE), ("rom", NONE)]),
        ("from paris to rome", [("paris", SOURCE), ("rom", TARGET)]),
        ("to rome from paris", [("rom", NONE), ("paris", SOURCE)]),
        ("fly to rome", [("fly", BEFORE), ("rom", TARGET)]),
        ("miles to km", [("mile", BEFORE), ("km", TARGET)]),
        ("stress caused by pain", [("stress", NONE), ("caus", PASSIVE), ("pain", NONE)]),
        ("by pain", [("pain", NONE)]),
        ("stand the by pain", [("stand", NONE), ("pain", NONE)]),
        # A name of three words has the role, the clause behind it has not.
        ("from paris lyon nice rome", [("paris", SOURCE), ("lyon", SOURCE), ("rom", SOURCE)]),
        ("from aa bb cc dd ee", [("aa", SOURCE), ("bb", SOURCE), ("cc", SOURCE), ("dd", NONE), ("ee", NONE)]),
        ("aa to bb cc dd ee", [("aa", BEFORE), ("bb", TARGET), ("cc", TARGET), ("dd", TARGET), ("ee", NONE)]),
        # The last cue before "to" keeps the role that it has.
        ("from aa to bb", [("aa", SOURCE), ("bb", TARGET)]),
        ("aa into bb", [("aa", BEFORE), ("bb", TARGET)]),
        ("the into bb", [("bb", TARGET)]),
        ("the to bb", [("bb", NONE)]),
        ("aa the to bb", [("aa", NONE), ("bb", NONE)]),
        ("$ sign", [("dollar", NONE), ("sign", NONE)]),
    ],
)
def test_roles(text: str, expected: list[tuple[str, int]]) -> None:
    assert words_with_roles(text) == cues(*expected)


@pytest.mark.parametrize(
    ("text", "asks"),
    [
        ("who lives here", ["who"]),
        ("experts who know", ["who"]),
        ("which experts who know", []),
        ("who knows when it rains", ["who"]),
        ("how many dogs", ["many"]),
        ("how much", ["many"]),
        ("so many dogs", []),
        ("dogs when it rains", ["when"]),
        ("what is it when it rains", ["when"]),
    ],
)
def test_question_words_that_ask(text: str, asks: list[str]) -> None:
    questions = [cue for cue in words_with_roles(text) if cue[0] >> 4 == Kind.QUESTION]
    assert questions == [encode_cue(Kind.QUESTION, NONE, word) for word in asks]


def test_negations_are_numbered() -> None:
    found = [cue for cue in words_with_roles("never say not to dogs without names") if cue[0] >> 4 == Kind.NEGATION]
    assert [cue[1:] for cue in found] == [encode_cue(Kind.NEGATION, NONE, f"not {number}")[1:] for number in (1, 2, 3)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("what is it", ["what", "is", "it"]),
        ("", []),
    ],
)
def test_a_query_of_ignored_words_is_taken_word_by_word(text: str, expected: list[str]) -> None:
    assert words_with_roles(text) == cues(*((word, NONE) for word in expected))


def test_a_question_and_a_negation_alone_say_nothing_either() -> None:
    assert words_with_roles("who is not")[2:] == cues(("who", NONE), ("is", NONE), ("not", NONE))
    assert len(words_with_roles("who is not here")) == 6
    assert len(words_with_roles("who is not tall")) == 3


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("turn off sync", "disable sync"),
        ("sync turn off", "sync disable"),
        ("turn sync", "turn sync"),
        ("no longer open", "not open"),
        ("get rid of it", "remove it"),
        ("united states of america now", "usa now"),
        ("united states now", "usa now"),
        ("turn off turn on", "disable enable"),
    ],
)
def test_phrases(text: str, expected: str) -> None:
    phrases = {"turn": [], "no": [], "get": [], "united": []}
    for phrase in sorted(ENGLISH.phrases, key=len, reverse=True):
        phrases.setdefault(phrase[0], []).append((phrase, ENGLISH.phrases[phrase]))
    look_up = Lexicon(ENGLISH).look_up
    replaced = replace_phrases(lexemes_of(text), phrases, look_up)
    assert [(each.tag, each.value) for each in replaced] == [(each.tag, each.value) for each in lexemes_of(expected)]


def test_a_phrase_that_means_nothing_leaves_a_gap() -> None:
    look_up = Lexicon(ENGLISH).look_up
    replaced = replace_phrases(lexemes_of("stand right way by it"), {"right": [(("right", "way"), "")]}, look_up)
    assert [each.word for each in replaced] == ["stand", "", "by", "it"]
    assert cues_of(replaced) == cues(("stand", NONE))


def test_without_the_beginning_of_a_phrase_nothing_is_copied() -> None:
    lexemes = lexemes_of("open the door")
    assert replace_phrases(lexemes, {"turn": [(("turn", "off"), "disable")]}, Lexicon(ENGLISH).look_up) is lexemes
