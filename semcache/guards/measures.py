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


def measured(lexemes: Sequence[Lexeme]) -> Sequence[Lexeme]:
    """The lexemes with every number written in figures, joined with what is counted."""
    if _NUMBERS.isdisjoint(map(_TAG, lexemes)):
        return lexemes
    found: list[Lexeme] = []
    at = 0
    while at < len(lexemes):
        tag, _, word = lexemes[at]
        if tag in _NUMBERS or (tag == CURRENCY and _at(lexemes, at + 1).tag == DIGITS):
            at = _take_number(lexemes, at, found)
        elif word == "may" and ((found and found[-1].tag == Kind.NUMBER) or _at(lexemes, at + 1).tag == DIGITS):
            found.append(Lexeme(Kind.DATE, "may", word))
            at += 1
        else:
            found.append(lexemes[at])
            at += 1
    return found


def _take_number(lexemes: Sequence[Lexeme], at: int, found: list[Lexeme]) -> int:
    unit = ""
    if lexemes[at].tag == CURRENCY:
        unit = lexemes[at].value
        at += 1
    date = _ISO_DATE.fullmatch(lexemes[at].value)
    if date:
        year, month, day = date.groups()
        found += [_lexeme(Kind.DATE, year), _lexeme(Kind.DATE, month_name(month)), _lexeme(Kind.NUMBER, str(int(day)))]
        return at + 1
    number, at = _number(lexemes, at)
    if not unit:
        unit, at = _unit(lexemes, at)
    found.append(_lexeme(Kind.DATE if not unit and is_year(number) else Kind.NUMBER, number))
    if unit:
        found.append(_lexeme(Kind.UNIT, f"{number} {unit}"))
    return at


def _lexeme(kind: int, value: str) -> Lexeme:
    return Lexeme(kind, value, "")


def _number(lexemes: Sequence[Lexeme], at: int) -> tuple[str, int]:
    """The number that starts here and where it ends: "1.5 million" and "two hundred fifty" are one."""
    if lexemes[at].tag != DIGITS:
        return _spelt(lexemes, at)
    number = number_text(lexemes[at].value)
    scale = _at(lexemes, at + 1).word
    if scale in SCALES:
        return scaled(number, SCALES[scale]), at + 2
    return number, at + 1


def _spelt(lexemes: Sequence[Lexeme], at: int) -> tuple[str, int]:
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


def _unit(lexemes: Sequence[Lexeme], at: int) -> tuple[str, int]:
    unit = UNITS.get(_at(lexemes, at).word, "")
    if unit == "degree":
        finer = UNITS.get(_at(lexemes, at + 1).word, "")
        return (finer, at + 2) if finer in ("celsius", "fahrenheit") else (unit, at + 1)
    return unit, at + 1 if unit else at


def _at(lexemes: Sequence[Lexeme], at: int) -> Lexeme:
    return lexemes[at] if at < len(lexemes) else _NOTHING
