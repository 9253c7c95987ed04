"""Function words that change who does what to whom: pronouns, modal verbs, prepositions, small place names.

Each of them is harmless in most queries, so a query that merely lacks one is not refused. Two queries differ only where
both say something on the same axis and say different things: "can I sue" and "can she sue me" differ in the part of the
first person, "poems by women" and "poems about women" in what relates "women" to the poems.
"""

from collections.abc import Iterable, Mapping, Sequence

from semcache.guards.cues import Cue, Kind
from semcache.guards.lexicon import Lexeme

_SUBJECT, _OBJECT = 1, 2
# "You" and "it" are the same in both cases, "her" is also possessive, and "us" is also a country.
_PERSONS: Mapping[str, tuple[str, int]] = {
    "i": ("first", _SUBJECT),
    "me": ("first", _OBJECT),
    "he": ("third", _SUBJECT),
    "she": ("third", _SUBJECT),
    "they": ("third", _SUBJECT),
    "him": ("third", _OBJECT),
    "them": ("third", _OBJECT),
}
# "Tell me how ...", "explain to me": these address the reader and say nothing about who does what.
_ADDRESSING = frozenset(("tell", "give", "show", "let", "help", "teach", "explain", "for", "to", "with"))

# The first word of a yes-or-no question. Behind a question word ("how can I", "how should I") they ask the same.
_MODALS: Mapping[str, int] = {
    **dict.fromkeys(("can", "could", "may", "might"), 1),
    **dict.fromkeys(("must", "shall"), 2),
    **dict.fromkeys(("should", "ought"), 3),
    **dict.fromkeys(("will", "would"), 4),
}
# "May I" asks for a permission, "can employees" for an ability, but people use the one for the other; "must" and "may"
# are opposites.

_RELATIONS: Mapping[str, int] = {
    "by": 1,
    **dict.fromkeys(("about", "regarding", "concerning"), 2),
    "for": 3,
    **dict.fromkeys(("via", "through"), 4),
    **dict.fromkeys(("between", "among"), 5),
    "against": 6,
}

# Opposites that are too common to count where only one query has them: axis and side.
_OPPOSITES: Mapping[str, tuple[str, int]] = {
    **dict.fromkeys(("get", "gets", "got", "getting", "receive"), ("giving", 1)),
    **dict.fromkeys(("give", "gives", "gave", "giving"), ("giving", 2)),
    "best": ("quality", 1),
    "worst": ("quality", 2),
    "most": ("degree", 1),
    "least": ("degree", 2),
    **dict.fromkeys(("all", "every", "each"), ("quantity", 1)),
    **dict.fromkeys(("some", "few"), ("quantity", 2)),
}

# Postal codes of states that are also common words. They are places only as the last word, behind a word that matters.
_PLACES = frozenset(("or", "me", "in", "hi", "ok", "oh", "pa", "ma", "la", "de", "id", "al", "co", "mo", "ne"))

_ALL = frozenset({*_PERSONS, *_MODALS, *_RELATIONS, *_OPPOSITES, *_PLACES})


def contrasts_of(lexemes: Sequence[Lexeme]) -> list[Cue]:
    """The cues of the function words above; their role is the side that they take on their axis.

    Example:
        >>> lexicon = Lexicon(ENGLISH)
        >>> contrasts_of([*lexicon.look_up("by"), *lexicon.look_up("women")])
        [(12, 1, 'women')]
    """
    words = [lexeme.word for lexeme in lexemes]
    if _ALL.isdisjoint(words):
        return []
    cues: list[Cue] = []
    if words[0] in _MODALS:
        cues.append((Kind.MODAL, _MODALS[words[0]], "modal"))
    relation, before = 0, ""
    for position, (tag, value, word) in enumerate(lexemes):
        if word in _PERSONS and before not in _ADDRESSING:
            person, case = _PERSONS[word]
            cues.append((Kind.PERSON, case, person))
        elif word in _OPPOSITES and words[position + 1 : position + 2] != ["me"]:
            axis, side = _OPPOSITES[word]
            cues.append((Kind.OPPOSITE, side, axis))
        elif word in _RELATIONS:
            relation = _RELATIONS[word]
        elif tag > 0 and relation:
            cues.append((Kind.RELATION, relation, value))
            relation = 0
        before = word
    if len(lexemes) > 1 and words[-1] in _PLACES and lexemes[-2].tag > 0:
        cues.append((Kind.PLACE, 0, words[-1]))
    return cues


def contrasting(ours: Iterable[bytes], theirs: Iterable[bytes]) -> int | None:
    """The first kind of function word in which two queries take different sides, or None.

    Both arguments are encoded cues of the kinds PERSON to PLACE.
    """
    our_sides, their_sides = _sides(ours), _sides(theirs)
    for kind, axis in sorted(our_sides.keys() & their_sides.keys()):
        if our_sides[kind, axis].isdisjoint(their_sides[kind, axis]):
            return kind
    return None


def _sides(cues: Iterable[bytes]) -> dict[tuple[int, bytes], set[bytes]]:
    """The sides taken, by kind and axis. All places are on one axis, and each is a side of its own."""
    sides: dict[tuple[int, bytes], set[bytes]] = {}
    for cue in cues:
        kind = cue[0] >> 4
        axis, side = (b"", cue[1:]) if kind == Kind.PLACE else (cue[1:], bytes((cue[0] & 15,)))
        sides.setdefault((kind, axis), set()).add(side)
    return sides
