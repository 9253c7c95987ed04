"""Looks up a written token: which kind of cue it is, and which word it stands for."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import NamedTuple

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
_UNSPACED = (("\u3040", "\u30ff"), ("\u3400", "\u9fff"), ("\u0e00", "\u0e7f"))
"""Kana, Han and Thai: written without spaces, so each letter is taken for a word."""


class Lexicon:
    """Looks up tokens in a vocabulary. Thread-safe; the last 16,384 tokens are remembered."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._scopes = {stem(word): stem(value) for word, value in vocabulary.scopes.items()}
        self._same = {stem(word): stem(value) for word, value in vocabulary.same.items()}
        self._listed = _listed(vocabulary)
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
        if any(low <= first <= high for low, high in _UNSPACED):
            return tuple(Lexeme(Kind.WORD, letter, letter) for letter in word)
        # The tokens that contain these signs are code such as "get_a" or "c++"; no vocabulary changes that.
        if "_" in word or word[-1] in "+#":
            return (Lexeme(Kind.CODE, word, word),)
        return (self._listed.get(word) or self._by_stem(word),)

    def _by_stem(self, word: str) -> Lexeme:
        if word.endswith("n't"):
            return Lexeme(Kind.NEGATION, "not", word)
        root = stem(word)
        if root in self._scopes:
            return Lexeme(Kind.SCOPE, self._scopes[root], word)
        # After the scopes: without a number "min" is a minimum, while "minutes" is a unit in any case.
        if word in UNITS and word not in ONLY_BEHIND_NUMBERS:
            return Lexeme(Kind.WORD, UNITS[word], word)
        return Lexeme(Kind.WORD, self._same.get(root, root), word)


def _listed(vocabulary: Vocabulary) -> dict[str, Lexeme]:
    """Words that are looked up by their spelling and not by their stem."""
    # From the weakest list to the strongest: a word in several belongs to the last one.
    lists: tuple[tuple[int, Mapping[str, str]], ...] = (
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
