"""Two queries of the same words, said the other way round."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from semcache.guards.cues import Role
from semcache.guards.order import Word, is_swapped

_ROLES = {">": Role.SOURCE, "~": Role.BEFORE_TARGET, "<": Role.TARGET, "!": Role.PASSIVE}


def words(text: str) -> list[Word]:
    """Words with their roles: >source, ~before a target, <target, !passive."""
    return [(_ROLES.get(word[0], Role.NONE), word.lstrip(">~<!").encode()) for word in text.split()]


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        # Source and target.
        (">a <b", ">b <a", True),
        (">a <b", "<b >a", False),
        (">a", ">b", True),
        (">a >b", ">b >c", False),
        (">a x", "a x", False),
        ("~a <b", "~b <a", True),
        ("~a <b", ">a <b", False),
        ("~a <b", "<a", True),
        ("<a", ">a", True),
        ("<a", "<b", False),
        # A pivot with one word before and one after it.
        ("a p b", "b p a", True),
        ("a p b", "a p b", False),
        ("a p b c", "b p a c", True),
        ("c a p b", "c b p a", True),
        ("a p", "p a", False),
        ("a b p", "p a b", False),
        ("p a b", "a b p", False),
        ("a b p c", "c a p b", True),
        ("a b p c", "a c p b", True),
        ("b a p c d", "a b d p c", False),
        ("x a p b", "b p a", True),
        ("a p b", "b y p z a", True),
        # Only the first occurrence of a word counts.
        ("a p b a", "b p a", True),
        ("a p b p a", "a p b", False),
        # Active in one, passive in the other: a word before and a word after must have changed sides.
        ("a p b", "b !p a", False),
        ("a p b", "a !p b", True),
        ("a !p b", "a p b", True),
        ("a !p b", "b !p a", True),
        ("a !p b", "a !p b", False),
        ("a c p b d", "c !p a b d", True),
        ("a p b", "p a !b", False),
        # Of several words on a side one that stayed is enough, whichever it is.
        ("a c p b", "a b !p c", False),
        ("a c p b d", "a b !p c d", True),
        ("a p b c", "b a !p c", True),
        ("a p c b", "b a !p c", True),
        # All have changed sides.
        ("a c p b d", "b d !p a c", False),
    ],
)
def test_is_swapped(ours: str, theirs: str, expected: bool) -> None:
    assert is_swapped(words(ours), words(theirs)) is expected
    assert is_swapped(words(theirs), words(ours)) is expected


@given(st.lists(st.sampled_from("abcdefg"), max_size=7), st.permutations("abcdefg"))
def test_words_of_which_only_one_query_has_some_say_nothing(ours: list[str], theirs: list[str]) -> None:
    others = [word.upper() for word in theirs]
    assert not is_swapped(words(" ".join(ours)), words(" ".join(others)))


@given(st.lists(st.sampled_from("abcdefg"), max_size=9, unique=True), st.integers(0, 9))
def test_to_move_one_part_past_the_rest_reverses_nothing(order: list[str], cut: int) -> None:
    assert not is_swapped(words(" ".join(order)), words(" ".join(order[cut:] + order[:cut])))
