"""Cues as bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from semcache.guards.cues import MAX_CUES, Kind, Role, decode, encode, encode_cue


def values_of(names: type) -> list[int]:
    """The constants of a class. From Python 3.13 on it also has the number of its first line."""
    return [value for name, value in vars(names).items() if name.isupper()]


KINDS = st.sampled_from(values_of(Kind))
ROLES = st.sampled_from(values_of(Role))
CUES = st.lists(st.builds(encode_cue, KINDS, ROLES, st.text(max_size=5)), max_size=200)


def test_a_cue_holds_kind_and_role_and_a_hash() -> None:
    cue = encode_cue(Kind.WORD, Role.TARGET, "password")
    assert (len(cue), cue[0] >> 4, cue[0] & 15) == (3, Kind.WORD, Role.TARGET)
    assert cue[1:] == encode_cue(Kind.NUMBER, Role.NONE, "password")[1:]
    assert cue[1:] != encode_cue(Kind.WORD, Role.TARGET, "passwords")[1:]


def test_kinds_and_roles_are_different_and_fit_into_four_bits() -> None:
    for names in (Kind, Role):
        values = values_of(names)
        assert len(set(values)) == len(values)
        assert set(values) <= set(range(16))


@given(CUES, st.binary(max_size=20))
def test_a_blob_is_decoded_into_what_was_encoded(cues: list[bytes], rest: bytes) -> None:
    blob = encode(b"hd", cues, rest)
    header, decoded, digest = decode(blob)
    assert len(blob) <= 255
    assert (header, decoded) == (b"hd", cues[:MAX_CUES])
    assert bool(digest) == (bool(rest) or len(cues) > MAX_CUES)


@pytest.mark.parametrize(("count", "length"), [(0, 2), (1, 5), (MAX_CUES, 245), (MAX_CUES + 1, 253), (500, 253)])
def test_length_of_a_blob(count: int, length: int) -> None:
    assert len(encode(b"hd", [encode_cue(Kind.WORD, Role.NONE, "a")] * count, b"")) == length


def test_the_digest_stands_for_all_that_does_not_fit() -> None:
    cues = [encode_cue(Kind.WORD, Role.NONE, str(number)) for number in range(MAX_CUES + 2)]
    digests = {
        decode(encode(b"hd", kept, rest))[2]
        for kept, rest in ((cues, b""), (cues[:-1], b""), (cues, b"x"), (cues[:MAX_CUES], b"x"))
    }
    assert len(digests) == 4
