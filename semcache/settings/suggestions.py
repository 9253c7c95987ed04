"""Suggests the known name that a misspelt one was meant to be."""

from collections.abc import Collection
from difflib import get_close_matches

_CUTOFF = 0.5
"""Lower than difflib's 0.6: names of settings seldom look alike by chance, and a wrong suggestion does no harm."""

_MOST_LISTED = 40
"""Names in a list: more than the settings of any section, and fewer than there are settings."""


def nearest(name: str, known: Collection[str], separator: str = ".") -> str | None:
    """The known name that ends in the same word, or else looks most like this one; None when none does.

    Example:
        >>> nearest("cache.trust_threshold", ["cache.ttl_s", "reuse.trust_threshold"])
        'reuse.trust_threshold'
    """
    # The same last word first: to look for a setting in the wrong section is more common than to misspell it.
    last = name.rsplit(separator, 1)[-1]
    in_other_sections = [right for right in known if right.rsplit(separator, 1)[-1] == last]
    return next(iter(in_other_sections or get_close_matches(name, known, n=1, cutoff=_CUTOFF)), None)


def did_you_mean(name: str, known: Collection[str], separator: str = ".") -> str:
    """The last part of an error message: the nearest name as a question, or the known names."""
    right = nearest(name, known, separator)
    return f"did you mean {right}?" if right else known_are(known)


def known_are(known: Collection[str]) -> str:
    """The known names, or where they stand if they are too many to be read in an error message."""
    if len(known) > _MOST_LISTED:
        return f"semcache config lists the {len(known)} that there are"
    return "known are: " + ", ".join(sorted(known))
