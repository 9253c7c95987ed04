"""A text as written tokens: words, numbers, signs, code, and what stands in quotation marks."""

import re
import unicodedata

# Indic and Thai vowel signs are marks that \w leaves out; without them two words of one skeleton look the same.
_LETTER = r"(?:[^\W\d_]|[\u0900-\u0963\u0971-\u0dff\u0e31\u0e34-\u0e3a\u0e47-\u0e4e])"
_QUICK_STOP = r"[\w+\#'\u0900-\u0e4e-]"
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
# Most queries are plain words, which split() finds in a fifth of the time of the pattern. A hyphen before a word is
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
_ONE_SPELLING = str.maketrans({"\u2018": "'", "\u2019": "'", "\u201b": "'", "\u2212": "-", "\u00ad": None})
_FOREIGN_DIGIT = re.compile(r"(?![0-9])\d")
_ORDINAL_ENDING = re.compile(r"(?<=\d)(?:st|nd|rd|th)\b", re.IGNORECASE)


def normal(text: str) -> str:
    """The text with one spelling for each letter, digit and apostrophe: digits of any script become 0-9."""
    if text.isascii():
        return text
    text = unicodedata.normalize("NFKC", text).translate(_ONE_SPELLING)
    return _FOREIGN_DIGIT.sub(_ascii_digit, text)


def tokens(text: str) -> list[str]:
    """The written tokens of a normal text, in order."""
    if _PLAIN.fullmatch(text):
        return text.translate(_SPACED).split()
    return _TOKEN.findall(_ORDINAL_ENDING.sub("", text))


def quotations(text: str) -> list[str]:
    """What stands between quotation marks of any usual kind, in lower case, with single spaces."""
    if not _QUOTE_MARK.search(text):
        return []
    return [" ".join((double or single).casefold().split()) for double, single in _QUOTED.findall(text)]


def _ascii_digit(found: re.Match[str]) -> str:
    return str(unicodedata.decimal(found[0]))
