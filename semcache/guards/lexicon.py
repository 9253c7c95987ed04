"""What one written token is: a word and its meaning, looked up once and remembered."""

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

from semcache.guards.cues import Kind
from semcache.guards.numbers import MONTHS, NUMERALS, ONLY_BEHIND_NUMBERS, SCALES, UNITS, WEEKDAYS
from semcache.guards.stems import stem
from semcache.guards.vocabulary import Vocabulary

IGNORED, NUMERAL, SCALE, DIGITS, CURRENCY, SOURCE, TARGET, BY = range(-8, 0)
"""Tags beside the kinds of cues: what only matters together with its neighbours."""


class Lexeme(NamedTuple):
    """A token: what it is (a ``Kind`` or a tag above), what it stands for, and its lower-case spelling."""

    tag: int
    value: str
    word: str


_SIGNS = frozenset("&#@°*|\\")
_CURRENCIES = frozenset("$€£₹¥")
_UNSPACED = (("\u3040", "\u30ff"), ("\u3400", "\u9fff"), ("\u0e00", "\u0e7f"))
"""Kana, Han and Thai: written without spaces, so each letter is taken for a word."""


class Lexicon:
    """Looks up a written token. Thread-safe; the last 16,384 tokens are remembered, about 3 MB."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._scopes = {stem(word): stem(value) for word, value in vocabulary.scopes.items()}
        self._same = {stem(word): stem(value) for word, value in vocabulary.same.items()}
        self.look_up: Callable[[str], tuple[Lexeme, ...]] = lru_cache(maxsize=16384)(self._look_up)

    def _look_up(self, written: str) -> tuple[Lexeme, ...]:
        """One lexeme; of a script without spaces, one per letter."""
        first = written[0]
        if written[-1].isdecimal() and first in "-0123456789":
            return (Lexeme(DIGITS, written, written),)
        if not (first.isalpha() or "_" in written):
            return (_sign(written),)
        word = _bare(written.casefold())
        if any(low <= first <= high for low, high in _UNSPACED):
            return tuple(Lexeme(Kind.WORD, letter, letter) for letter in word)
        return (_numeral(word) or _code(word) or self._listed(word) or self._plain(word),)

    def _listed(self, word: str) -> Lexeme | None:
        known = self._vocabulary
        if word in known.sources or word in known.targets:
            return Lexeme(SOURCE if word in known.sources else TARGET, word, word)
        if word in known.ignored:
            return Lexeme(BY if word == "by" else IGNORED, "", word)
        if word in known.negations or word.endswith("n't"):
            return Lexeme(Kind.NEGATION, "not", word)
        if word in known.questions:
            return Lexeme(Kind.QUESTION, known.questions[word], word)
        return None

    def _plain(self, word: str) -> Lexeme:
        root = stem(word)
        if word in MONTHS or word in WEEKDAYS:
            return Lexeme(Kind.DATE, MONTHS.get(word) or WEEKDAYS[word], word)
        if root in self._scopes:
            return Lexeme(Kind.SCOPE, self._scopes[root], word)
        if word in UNITS and word not in ONLY_BEHIND_NUMBERS:
            return Lexeme(Kind.WORD, UNITS[word], word)
        return Lexeme(Kind.WORD, self._same.get(root, root), word)


def _bare(word: str) -> str:
    """Without the ending that an apostrophe brings: "france's" as "france", "i'd" as "i"; "isn't" stays."""
    if "'" not in word or word.endswith("n't"):
        return word
    return word.split("'", maxsplit=1)[0]


def _numeral(word: str) -> Lexeme | None:
    if word in NUMERALS:
        return Lexeme(NUMERAL, str(NUMERALS[word]), word)
    if word in SCALES and word != "k":
        return Lexeme(SCALE, word, word)
    return None


def _code(word: str) -> Lexeme | None:
    is_code = "_" in word or word[-1] in "+#"
    return Lexeme(Kind.CODE, word, word) if is_code else None


def _sign(written: str) -> Lexeme:
    if written in _CURRENCIES:
        return Lexeme(CURRENCY, UNITS[written], written)
    if written == "%":
        return Lexeme(Kind.WORD, "percent", written)
    if written in _SIGNS:
        return Lexeme(IGNORED, "", written)
    return Lexeme(Kind.CODE, written, written)
