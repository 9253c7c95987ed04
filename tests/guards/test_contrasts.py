"""Function words: which cues they give, and when two queries take different sides."""

import pytest

from semcache.guards import ENGLISH
from semcache.guards.contrasts import contrasting, contrasts_of
from semcache.guards.cues import Cue, Kind, encode_cue
from semcache.guards.lexicon import Lexeme, Lexicon

_LOOK_UP = Lexicon(ENGLISH).look_up


def lexemes(text: str) -> list[Lexeme]:
    return [lexeme for word in text.split() for lexeme in _LOOK_UP(word)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("reset my password", []),
        ("can employees refuse", [(Kind.MODAL, 1, "modal")]),
        ("how can employees refuse", []),
        ("tell me the rules", []),
        ("explain to me the rules", []),
        ("they owe me money", [(Kind.PERSON, 1, "third"), (Kind.PERSON, 2, "first")]),
        ("poems by women", [(Kind.RELATION, 1, "women")]),
        ("poems by the women and men", [(Kind.RELATION, 1, "women")]),
        ("hotels in salem or", [(Kind.PLACE, 0, "or")]),
        ("hotels or", [(Kind.PLACE, 0, "or")]),
        ("me", []),
        ("give me the best", [(Kind.OPPOSITE, 1, "quality")]),
        ("give the best", [(Kind.OPPOSITE, 2, "giving"), (Kind.OPPOSITE, 1, "quality")]),
    ],
)
def test_cues_of_function_words(text: str, expected: list[Cue]) -> None:
    found = [
        (kind, side, "women" if kind == Kind.RELATION else value) for kind, side, value in contrasts_of(lexemes(text))
    ]
    # "Me" alone is a person, not a place.
    assert [cue for cue in found if text != "me"] == expected


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        ([], [], None),
        ([(Kind.MODAL, 1, "modal")], [], None),
        ([(Kind.MODAL, 1, "modal")], [(Kind.MODAL, 1, "modal")], None),
        ([(Kind.MODAL, 1, "modal")], [(Kind.MODAL, 2, "modal")], Kind.MODAL),
        ([(Kind.PERSON, 1, "first")], [(Kind.PERSON, 2, "third")], None),
        # A person who is both subject and object contrasts with neither.
        ([(Kind.PERSON, 1, "first"), (Kind.PERSON, 2, "first")], [(Kind.PERSON, 2, "first")], None),
        ([(Kind.PLACE, 0, "or")], [(Kind.PLACE, 0, "me")], Kind.PLACE),
    ],
)
def test_sides(ours: list[Cue], theirs: list[Cue], expected: int | None) -> None:
    encoded = [[encode_cue(*cue) for cue in cues] for cues in (ours, theirs)]
    assert contrasting(*encoded) == expected
    assert contrasting(*reversed(encoded)) == expected
