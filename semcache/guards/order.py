"""Whether two queries of the same words say them the other way round: "from A to B", "A causes B"."""

from collections.abc import Sequence

from semcache.guards.cues import Kind, Role

Word = tuple[int, bytes]
"""(role, what is said)"""

# Dates are left out: "2023-05-01" says in another order what "1 May 2023" says.
ORDERED_KINDS = frozenset({Kind.NUMBER, Kind.CODE, Kind.SCOPE, Kind.WORD})


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


def _said(words: Sequence[Word], role: int) -> set[bytes]:
    return {word for own, word in words if own == role}


def _has_reversed_pivot(ours: Sequence[Word], theirs: Sequence[Word]) -> bool:
    """Whether some word has one word before it and another behind it that have changed sides.

    Active in one query and passive in the other ("caused by"), they must change sides to say the same.
    """
    our_roles, their_roles = _first_said(ours), _first_said(theirs)
    place = {word: at for at, word in enumerate(their_roles)}
    common = [word for word in our_roles if word in place]
    places = [place[word] for word in common]
    for at, word in enumerate(common):
        before, behind = places[:at], places[at + 1 :]
        if not (before and behind):
            continue
        voices_differ = (our_roles[word] == Role.PASSIVE) != (their_roles[word] == Role.PASSIVE)
        if voices_differ and min(before) < places[at] < max(behind):
            return True
        if not voices_differ and max(before) > places[at] > min(behind):
            return True
    return False


def _first_said(words: Sequence[Word]) -> dict[bytes, int]:
    """Each word once, in the order in which they are first said, with its role there."""
    roles: dict[bytes, int] = {}
    for role, word in words:
        roles.setdefault(word, role)
    return roles
