"""Joins a number to its unit: "$5", "5 dollars" and "five dollars" become one number and one unit."""

import re
from collections.abc import Sequence
from operator import itemgetter

from semcache.guards.cues import Kind
from semcache.guards.lexicon import CURRENCY, DIGITS, NUMERAL, SCALE, Lexeme
from semcache.guards.numbers import SCALES, UNITS, is_year, month_name, number_text, scaled

_ISO_DATE = re.compile(r"(\d{4})-(\d\d?)-(\d\d?)")
_NUMBERS = frozenset({DIGITS, NUMERAL, SCALE})
_TAG = itemgetter(0)
_NOTHING = Lexeme(0, "", "")


def join_measures(lexemes: Sequence[Lexeme]) -> Sequence[Lexeme]:
    """The lexemes with every number written in figures, and after it the unit that is counted.

    The unit keeps its number, because "5 mg, 10 g" and "5 g, 10 mg" have the same numbers and the same units.
    """
    # Most queries have no number, and this is on the path of every look-up by meaning.
    if _NUMBERS.isdisjoint(map(_TAG, lexemes)):
        return lexemes
    joined: list[Lexeme] = []
    at = 0
    while at < len(lexemes):
        tag, _, word = lexemes[at]
        if tag in _NUMBERS or (tag == CURRENCY and _at(lexemes, at + 1).tag == DIGITS):
            at = _take_measure(lexemes, at, joined)
        elif word == "may" and ((joined and joined[-1].tag == Kind.NUMBER) or _at(lexemes, at + 1).tag == DIGITS):
            # The only month that is also an ignored word: a month beside a number, as in "5 May" and "May 2020".
            joined.append(Lexeme(Kind.DATE, "may", word))
            at += 1
        else:
            joined.append(lexemes[at])
            at += 1
    return joined


def _take_measure(lexemes: Sequence[Lexeme], at: int, joined: list[Lexeme]) -> int:
    """Append the date, year, number or measure that starts at this index; return the index after it."""
    unit = ""
    if lexemes[at].tag == CURRENCY:
        unit = lexemes[at].value
        at += 1
    date = _ISO_DATE.fullmatch(lexemes[at].value)
    if date:
        # As "5 January 2024" is read: a month by name, the day as a plain number.
        year, month, day = date.groups()
        joined += [_lexeme(Kind.DATE, year), _lexeme(Kind.DATE, month_name(month)), _lexeme(Kind.NUMBER, str(int(day)))]
        return at + 1
    number, at = _number(lexemes, at)
    if not unit:
        unit = UNITS.get(_at(lexemes, at).word, "")
        at += bool(unit)
        # "degrees celsius" is one unit of two words.
        finer = UNITS.get(_at(lexemes, at).word, "")
        if unit == "degree" and finer in ("celsius", "fahrenheit"):
            unit, at = finer, at + 1
    joined.append(_lexeme(Kind.DATE if not unit and is_year(number) else Kind.NUMBER, number))
    if unit:
        joined.append(_lexeme(Kind.UNIT, f"{number} {unit}"))
    return at


def _number(lexemes: Sequence[Lexeme], at: int) -> tuple[str, int]:
    """The number that starts at this index, and the index after it: "1.5 million" and "two hundred fifty" are one."""
    if lexemes[at].tag == DIGITS:
        number = number_text(lexemes[at].value)
        scale = _at(lexemes, at + 1).word
        return (scaled(number, SCALES[scale]), at + 2) if scale in SCALES else (number, at + 1)
    # Spelt: "hundred" multiplies what came since the last larger scale, "thousand" and above close a part of the sum.
    total, part = 0, 0
    while _at(lexemes, at).tag in (NUMERAL, SCALE):
        tag, value, word = lexemes[at]
        if tag == NUMERAL:
            part += int(value)
        elif SCALES[word] == 100:
            part = (part or 1) * 100
        else:
            total, part = total + (part or 1) * SCALES[word], 0
        at += 1
    return str(total + part), at


def _lexeme(kind: int, value: str) -> Lexeme:
    # Without a spelling, so that no later step takes it for a word.
    return Lexeme(kind, value, "")


def _at(lexemes: Sequence[Lexeme], at: int) -> Lexeme:
    return lexemes[at] if at < len(lexemes) else _NOTHING
