"""A text as written tokens: words, numbers, signs, code, and the text in quotation marks."""

import re
import unicodedata

# Indic and Thai vowel signs are marks that \w leaves out; without them words that differ only in vowels look the same.
_LETTER = r"(?:[^\W\d_]|[\u0900-\u0963\u0971-\u0dff\u0e31\u0e34-\u0e3a\u0e47-\u0e4e])"
# Characters that may continue a token which begins with ASCII letters: "don't", "c++", "get_a", "x-ray", "5km".
_QUICK_STOP = r"[\w+\#'\u0900-\u0e4e-]"
# The first alternative that fits wins, so the order matters. Repetitions of signs are bounded or possessive in effect:
# a megabyte of any character must be short work (tests/guards/test_cue_guard.py).
_TOKEN = re.compile(
    rf"""
    [A-Za-z]+(?!{_QUICK_STOP})                      # most words: the quickest way out
    | 0[xX][0-9a-fA-F]+
    | (?<!\w)(?=\w{{0,100}}_)\w{{0,100}}_\w+        # snake_case, __dunder__
    | (?<![\w-])--?[A-Za-z][\w-]*                   # --flag, -f
    | \+\+\w+
    | \d{{4}}-\d\d?-\d\d?(?!\d)                     # 2024-01-15
    | (?:(?<![\w.)\]])-)?(?:\d{{1,3}}(?:[,'\x20]\d{{3}})+(?!\d)(?:\.\d+)?|\d+(?:[.,:/]\d+)*)
    | [A-Za-z](?:\+\+|\#)(?!\w)                     # C++, C#, i++
    | {_LETTER}+(?:'{_LETTER}+)*
    | [=!<>]=+ | [-=]> | && | \|\| | \*\* | << | >>
    | [+*=<>&|^\#@\\$€£¥₹%°]
    | [\u2190-\u2bff]
    | [\U0001f000-\U0001faff]
    """,
    re.VERBOSE,
)
# Most queries are plain words, which split() finds in a fraction of the time of the pattern. A hyphen before a word is
# a flag and an apostrophe may be a quotation mark, so only those between letters are plain.
_PLAIN = re.compile(r"[A-Za-z ,?.!():;/]*(?:(?<=[A-Za-z])[-'][A-Za-z][A-Za-z ,?.!():;/]*)*")
_SPACED = str.maketrans(dict.fromkeys(",?.!():;/-", " "))
_MARKS = '"“”„«»\u2039\u203a「」『』`'
_QUOTE_MARK = re.compile(f"[{_MARKS}']")
# The single quotation mark is also the apostrophe, so it counts only where a word ends or begins.
_QUOTED = re.compile(
    rf"[{_MARKS}]([^{_MARKS}]{{1,300}})[{_MARKS}] | (?<!\w)'([^']{{1,300}}(?:'\w[^']{{0,300}}){{0,3}})'(?!\w)",
    re.VERBOSE,
)
# NFKC leaves these apart: typographic apostrophes, the minus sign, and the soft hyphen, which is not seen.
_ONE_SPELLING = str.maketrans({"\u2018": "'", "\u2019": "'", "\u201b": "'", "\u2212": "-", "\u00ad": None})
_FOREIGN_DIGIT = re.compile(r"(?![0-9])\d")
_ORDINAL_ENDING = re.compile(r"(?<=\d)(?:st|nd|rd|th)\b", re.IGNORECASE)


def normalised(text: str) -> str:
    """The text with one spelling for each letter, digit and apostrophe: digits of any script become 0-9."""
    if text.isascii():
        return text
    text = unicodedata.normalize("NFKC", text).translate(_ONE_SPELLING)
    return _FOREIGN_DIGIT.sub(lambda found: str(unicodedata.decimal(found[0])), text)


def tokens(text: str) -> list[str]:
    """The written tokens of a normalised text, in order.

    Example:
        >>> tokens("is 5km more than 3 miles?")
        ['is', '5', 'km', 'more', 'than', '3', 'miles']
    """
    return text.translate(_SPACED).split() if _PLAIN.fullmatch(text) else tokens_by_pattern(text)


def tokens_by_pattern(text: str) -> list[str]:
    """The same tokens, found without the short cut for plain words."""
    return _TOKEN.findall(_ORDINAL_ENDING.sub("", text))


def quotations(text: str) -> list[str]:
    """The texts between quotation marks of any usual kind, in lower case, with single spaces."""
    if not _QUOTE_MARK.search(text):
        return []
    return [" ".join((double or single).casefold().split()) for double, single in _QUOTED.findall(text)]
