"""Tells whether two queries of the same words say them the other way round: "from A to B", "A causes B"."""

from collections.abc import Sequence

from semcache.guards.cues import Kind, Role

Word = tuple[int, bytes]
"""(role, hash of the word)"""

# Dates are left out: "2023-05-01" and "1 May 2023" are the same in another order.
ORDERED_KINDS = frozenset({Kind.NUMBER, Kind.CODE, Kind.SCOPE, Kind.WORD, Kind.CHARACTER})


def is_swapped(ours: Sequence[Word], theirs: Sequence[Word]) -> bool:
    """Whether source and target, or what stands before and after a common word, have changed places.

    "In Excel, freeze a row" and "freeze a row in Excel" have not: moving one part past the rest reverses nothing.
    Words that only one of the queries has are ignored.
    """
    sources, their_sources = _in_role(ours, Role.SOURCE), _in_role(theirs, Role.SOURCE)
    if sources and their_sources and sources.isdisjoint(their_sources):
        return True
    # "miles to km" names no source by a preposition; the word before "to" is taken for one.
    starts = sources | _in_role(ours, Role.BEFORE_TARGET)
    their_starts = their_sources | _in_role(theirs, Role.BEFORE_TARGET)
    targets, their_targets = _in_role(ours, Role.TARGET), _in_role(theirs, Role.TARGET)
    if not (starts.isdisjoint(their_targets) and targets.isdisjoint(their_starts)):
        return True
    return _has_reversed_pivot(ours, theirs)


def _in_role(words: Sequence[Word], role: int) -> set[bytes]:
    return {word for its_role, word in words if its_role == role}


def _has_reversed_pivot(ours: Sequence[Word], theirs: Sequence[Word]) -> bool:
    """Whether there is a word, the pivot, of which one word before and one word after it have changed sides.

    If the pivot is active in one query and passive in the other ("caused by"), the words must have changed sides to say
    the same, and the queries differ when a word before and a word after have not.
    """
    our_roles, their_roles = _roles(ours), _roles(theirs)
    their_position = {word: position for position, word in enumerate(their_roles)}
    common = [word for word in our_roles if word in their_position]
    # Common words in our order, each as its position in their order: ascending where the orders agree.
    positions = [their_position[word] for word in common]
    # The first and the last common word have nothing before or after them.
    for index in range(1, len(common) - 1):
        before, pivot, after = positions[:index], positions[index], positions[index + 1 :]
        word = common[index]
        have_same_voice = (our_roles[word] == Role.PASSIVE) == (their_roles[word] == Role.PASSIVE)
        if have_same_voice and max(before) > pivot > min(after):
            return True
        if not have_same_voice and min(before) < pivot < max(after):
            return True
    return False


def _roles(words: Sequence[Word]) -> dict[bytes, int]:
    """Each word once, in the order of their first occurrence, with its role there."""
    roles: dict[bytes, int] = {}
    for role, word in words:
        roles.setdefault(word, role)
    return roles
