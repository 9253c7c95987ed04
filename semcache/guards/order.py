"""Whether two queries of the same words say them the other way round: "from A to B", "A causes B"."""

from collections.abc import Sequence

from semcache.guards.cues import Kind, Role

Word = tuple[int, bytes]
"""(role, what is said)"""

# Dates are left out: "2023-05-01" says in another order what "1 May 2023" says.
ORDERED_KINDS = frozenset({Kind.NUMBER, Kind.CODE, Kind.SCOPE, Kind.WORD})

# A name of three words on either side of a verb is still found; wider windows only find more false alarms.
_WINDOW = 3


def is_swapped(ours: Sequence[Word], theirs: Sequence[Word]) -> bool:
    """Whether source and target, or what stands before and behind a common word, have changed places.

    "In Excel, freeze a row" and "freeze a row in Excel" have not: moving one part past the rest reverses nothing.
    """
    return _has_other_direction(ours, theirs) or _has_reversed_pivot(ours, theirs)


def _has_other_direction(ours: Sequence[Word], theirs: Sequence[Word]) -> bool:
    sources, their_sources = _said(ours, Role.SOURCE), _said(theirs, Role.SOURCE)
    if sources and their_sources and sources.isdisjoint(their_sources):
        return True
    starts = sources | _said(ours, Role.BEFORE_TARGET)
    their_starts = their_sources | _said(theirs, Role.BEFORE_TARGET)
    targets, their_targets = _said(ours, Role.TARGET), _said(theirs, Role.TARGET)
    return not (starts.isdisjoint(their_targets) and targets.isdisjoint(their_starts))


def _said(words: Sequence[Word], role: Role) -> set[bytes]:
    return {word for own, word in words if own == role}


def _has_reversed_pivot(ours: Sequence[Word], theirs: Sequence[Word]) -> bool:
    our_places, their_places = _places(ours), _places(theirs)
    said, their = list(our_places), list(their_places)
    for at, pivot in enumerate(said):
        if pivot not in their_places:
            continue
        before, behind = _around(said, at, our_places[pivot])
        their_before, their_behind = _around(their, their.index(pivot), their_places[pivot])
        if not (before.isdisjoint(their_behind) or behind.isdisjoint(their_before)):
            return True
    return False


def _places(words: Sequence[Word]) -> dict[bytes, int]:
    """Each word once, where it is first said, with its role there."""
    places: dict[bytes, int] = {}
    for role, word in words:
        places.setdefault(word, role)
    return places


def _around(words: Sequence[bytes], at: int, role: int) -> tuple[set[bytes], set[bytes]]:
    """What is said before and behind a word; in the passive, who acts stands behind."""
    before, behind = set(words[max(0, at - _WINDOW) : at]), set(words[at + 1 : at + 1 + _WINDOW])
    return (behind, before) if role == Role.PASSIVE else (before, behind)
