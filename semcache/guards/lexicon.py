"""Looks up a written token: which kind of cue it is, and which word it stands for."""

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import NamedTuple

from semcache.guards.chinese import segments
from semcache.guards.cues import Kind
from semcache.guards.numbers import MONTHS, NUMERALS, ONLY_BEHIND_NUMBERS, SCALES, UNITS, WEEKDAYS
from semcache.guards.stems import stem
from semcache.guards.vocabulary import Vocabulary

# Negative, so that a tag says by its sign whether it is a kind of cue.
IGNORED, NUMERAL, SCALE, DIGITS, CURRENCY, SOURCE, TARGET, BY = range(-8, 0)
"""Tags beside the kinds of cues: tokens that matter only together with their neighbours."""


class Lexeme(NamedTuple):
    """A token: its tag (a ``Kind`` or a tag above), the value that it stands for, and its lower-case spelling."""

    tag: int
    value: str
    word: str


_SIGNS = {
    **{sign: Lexeme(CURRENCY, UNITS[sign], sign) for sign in "$€£₹¥"},
    **{sign: Lexeme(IGNORED, "", sign) for sign in "&#@°*|\\"},
    "%": Lexeme(Kind.WORD, "percent", "%"),
}
"""Signs that are words or nothing; every other sign counts as code."""
# Kana and Thai are written without spaces, so each letter is taken for a word. Han is cut into words, see chinese.py.
_UNSPACED = re.compile("[\u3040-\u30ff\u0e00-\u0e7f]")
_HAN = re.compile("[\u3400-\u9fff]")


class Lexicon:
    """Looks up tokens in a vocabulary. Thread-safe; the last 16,384 tokens are remembered."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._by_spelling = _by_spelling(vocabulary)
        # Scopes over synonyms, as over units below: to miss an opposition is worse than to see a needless difference.
        self._by_stem: dict[str, tuple[int, str]] = {
            **{stem(word): (Kind.WORD, stem(value)) for word, value in vocabulary.same.items()},
            **{stem(word): (Kind.SCOPE, stem(value)) for word, value in vocabulary.scopes.items()},
        }
        # Where Chinese is cut into words; a character that begins none of these is a word by itself.
        self._known = frozenset((*self._by_spelling, *self._by_stem, *UNITS))
        # Per instance, because another vocabulary gives other lexemes. Queries repeat the words of earlier ones.
        self.look_up: Callable[[str], tuple[Lexeme, ...]] = lru_cache(maxsize=16384)(self._look_up)

    def _look_up(self, written: str) -> tuple[Lexeme, ...]:
        """One lexeme; of a script without spaces, one per letter."""
        first = written[0]
        if written[-1].isdecimal() and first in "-0123456789":
            return (Lexeme(DIGITS, written, written),)
        if not (first.isalpha() or "_" in written):
            return (_SIGNS.get(written) or Lexeme(Kind.CODE, written, written),)
        word = written.casefold()
        if "'" in word and not word.endswith("n't"):
            # "france's" and "france" are the same, "i'd" is "i".
            word = word.split("'", maxsplit=1)[0]
        if _HAN.match(written):
            return tuple(self._of_han(segment) for segment in segments(word, self._known))
        if _UNSPACED.match(written):
            return tuple(Lexeme(Kind.WORD, letter, letter) for letter in word)
        # The tokens that contain these signs are code such as "get_a" or "c++"; no vocabulary changes that.
        if "_" in word or word[-1] in "+#":
            return (Lexeme(Kind.CODE, word, word),)
        return (self._of_word(word),)

    def _of_word(self, word: str) -> Lexeme:
        listed = self._by_spelling.get(word)
        if listed is None:
            root = stem(word)
            tag, value = (Kind.NEGATION, "not") if word.endswith("n't") else self._by_stem.get(root, (Kind.WORD, root))
            listed = Lexeme(tag, value, word)
        return listed

    def _of_han(self, segment: str) -> Lexeme:
        if segment.isdecimal():
            return Lexeme(DIGITS, segment, segment)
        return self._of_word(segment) if segment in self._known else Lexeme(Kind.CHARACTER, segment, segment)


def _by_spelling(vocabulary: Vocabulary) -> dict[str, Lexeme]:
    """Words that are looked up by their spelling and not by their stem."""
    scopes = set(map(stem, vocabulary.scopes))
    # From the weakest list to the strongest: a word in several belongs to the last one.
    lists: tuple[tuple[int, Mapping[str, str]], ...] = (
        # Units without a number. "Min" is not among them: there it is a minimum, a scope.
        (Kind.WORD, {word: UNITS[word] for word in UNITS.keys() - ONLY_BEHIND_NUMBERS if stem(word) not in scopes}),
        (Kind.DATE, WEEKDAYS | MONTHS),
        (Kind.QUESTION, vocabulary.questions),
        (Kind.NEGATION, dict.fromkeys(vocabulary.negations, "not")),
        (IGNORED, dict.fromkeys(vocabulary.ignored, "")),
        (TARGET, {word: word for word in vocabulary.targets}),
        (SOURCE, {word: word for word in vocabulary.sources}),
        # "k" is a scale only behind a number, where join_measures looks for it.
        (SCALE, {word: word for word in SCALES if word != "k"}),
        (NUMERAL, {word: str(value) for word, value in NUMERALS.items()}),
    )
    listed = {word: Lexeme(tag, value, word) for tag, words in lists for word, value in words.items()}
    if "by" in listed and listed["by"].tag == IGNORED:
        listed["by"] = Lexeme(BY, "", "by")
    return listed
