"""Finds the name that somebody meant."""

from collections.abc import Collection
from difflib import get_close_matches

_CUTOFF = 0.5
"""Looser than difflib's 0.6: names of settings share few letters by accident, and a suggestion costs nothing."""


def nearest(name: str, known: Collection[str], separator: str = ".") -> str | None:
    """The known name that looks most like this one, or that ends in the same word; None when nothing does."""
    last = name.rsplit(separator, 1)[-1]
    at_home_elsewhere = [right for right in known if right.rsplit(separator, 1)[-1] == last]
    return next(iter(at_home_elsewhere or get_close_matches(name, known, n=1, cutoff=_CUTOFF)), None)


def did_you_mean(name: str, known: Collection[str], separator: str = ".") -> str:
    """A remedy in words; without a near name, all of them."""
    right = nearest(name, known, separator)
    return f"did you mean {right}?" if right else "known are: " + ", ".join(sorted(known))
