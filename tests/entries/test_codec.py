"""Scores come back from bytes as they went in, and no other bytes are scores."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from semcache.entries.checks import Damaged, check_of, derived_key
from semcache.entries.codec import (
    MAX_BYTES,
    MAX_SCORES,
    RECORD_BYTES,
    PackedScores,
    bytes_of,
    pack,
    scores_of,
    unpack,
)
from semcache.errors import InvalidInputError

OWNER = b"semcache:default:abcdefghijk:s:{entry}"
KEY = derived_key("a secret of sixteen characters")
FINGERPRINTS = st.binary(min_size=16, max_size=16)
SCORES = st.floats(width=32, allow_nan=False, allow_infinity=False)
Records = Sequence[tuple[bytes, float]]
RECORDS = st.lists(st.tuples(FINGERPRINTS, SCORES), max_size=20)
SOME = [(bytes([number]) * 16, float(number)) for number in range(3)]


def unpacked(records: Records) -> PackedScores:
    """Records after they were packed and unpacked."""
    packed = unpack(OWNER, pack(OWNER, records))
    assert packed is not None
    return packed


def fault_of(blob: bytes, owner: bytes = OWNER, key: bytes = b"") -> str:
    """Why these bytes are not the scores of the owner."""
    with pytest.raises(Damaged) as caught:
        unpack(owner, blob, key)
    return caught.value.fault


@given(RECORDS, st.sampled_from([b"", KEY]))
def test_what_is_packed_is_unpacked(records: Records, key: bytes) -> None:
    assert unpack(OWNER, pack(OWNER, records, key), key) == dict(records)


@given(RECORDS, RECORDS)
def test_appending_is_the_same_as_packing_together(first: Records, then: Records) -> None:
    assert unpack(OWNER, pack(OWNER, first) + pack(OWNER, then)) == dict([*first, *then])


@given(RECORDS, RECORDS, st.data())
def test_no_bit_may_change(first: Records, then: Records, data: st.DataObject) -> None:
    blob = bytearray(pack(OWNER, first) + pack(OWNER, then))
    blob[data.draw(st.integers(0, len(blob) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    assert fault_of(bytes(blob)) in ("version", "layout", "check")


@given(RECORDS, st.data())
def test_nothing_may_be_missing_or_too_much(records: Records, data: st.DataObject) -> None:
    blob = pack(OWNER, records)
    assert fault_of(blob[: data.draw(st.integers(1, len(blob) - 1))]) == "layout"
    assert fault_of(blob + data.draw(st.binary(min_size=1, max_size=60))) in ("version", "layout", "check")


@given(RECORDS)
def test_another_owner_or_another_key_makes_other_checks(records: Records) -> None:
    blob = pack(OWNER, records, KEY)
    assert fault_of(blob, OWNER + b"x", KEY) == "check"
    assert fault_of(blob, OWNER, derived_key("another secret")) == "check"
    # Checks of another length, too.
    assert fault_of(blob) in ("check", "version", "layout")
    assert fault_of(pack(OWNER, records), OWNER, KEY) == "layout"


@given(st.binary(max_size=200))
def test_other_bytes_are_no_scores(blob: bytes) -> None:
    # No such blob can be drawn that meets its check, unless one in four billion.
    if blob:
        fault_of(blob)
    else:
        assert unpack(OWNER, blob) is None
    assert unpack(OWNER, None) is None


def test_another_version_is_a_miss() -> None:
    blob = pack(OWNER, SOME)
    assert fault_of(b"\x01" + blob[1:]) == "version"
    assert fault_of(blob + b"\x03" + blob[1:]) == "version"


def forged(record: bytes) -> bytes:
    """A block of one record with the right check, as a program that does not check numbers would write it."""
    block = b"\x02\x01\x00\x00" + record
    return block + check_of(OWNER, block, b"")


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_no_score(number: float) -> None:
    assert fault_of(forged(bytes(16) + np.float32(number).tobytes())) == "number"
    assert unpack(OWNER, forged(bytes(16) + np.float32(2.5).tobytes())) == {bytes(16): 2.5}
    with pytest.raises(InvalidInputError, match=f"{number} is no score; give a finite number"):
        pack(OWNER, [(bytes(16), 1.0), (bytes(16), number)])


def test_the_largest_numbers_are_scores_and_larger_ones_are_not() -> None:
    largest = float(np.finfo(np.float32).max)
    assert unpacked([(bytes([n]) * 16, sign * largest) for n, sign in enumerate((1, 1, -1))])[bytes(16)] == largest
    for score in (1.00000001 * largest, 1e39):
        with pytest.raises(InvalidInputError, match=r"e\+3[89] is no score"):
            pack(OWNER, [(bytes(16), score)])


def test_what_is_too_long_is_not_decoded() -> None:
    blob = pack(OWNER, [(bytes(16), 1.0)] * MAX_SCORES, KEY)
    assert len(blob) == MAX_BYTES == bytes_of(MAX_SCORES, KEY)
    assert unpack(OWNER, blob, KEY) == {bytes(16): 1.0}
    assert fault_of(blob + b"\x02", OWNER, KEY) == "size"


def test_the_format_is_that_of_entries_in_the_field() -> None:
    """If this fails, what other releases have written cannot be read: then VERSION must change."""
    stored = bytes.fromhex((Path(__file__).parent / "scores_v2.hex").read_text())
    assert unpack(OWNER, stored) == {bytes(16): 0.5, bytes(range(16)): -3.25, b"\xff" * 16: 1024.0}
    assert pack(OWNER, [(bytes(16), 0.5), (bytes(range(16)), -3.25)]) + pack(OWNER, [(b"\xff" * 16, 1024.0)]) == stored
    signed = bytes.fromhex((Path(__file__).parent / "signed_scores_v2.hex").read_text())
    assert unpack(OWNER, signed, KEY) == {bytes(16): 0.5}
    assert pack(OWNER, [(bytes(16), 0.5)], KEY) == signed
    assert len(signed) == bytes_of(1, KEY) == 4 + RECORD_BYTES + 16
    assert bytes_of(1) == 4 + RECORD_BYTES + 4


@given(RECORDS, st.data())
def test_in_any_order_is_as_one_by_one(records: Records, data: st.DataObject) -> None:
    known = dict(records)
    asked = data.draw(st.permutations(list(known)) | st.lists(st.sampled_from([*known, bytes(16)]), unique=True))
    packed = unpacked(records)
    assert packed.scores_of(asked) == list(map(known.get, asked))
    assert scores_of(packed, asked) == scores_of(known, asked)


def test_a_later_record_wins_also_where_the_order_is_asked_for() -> None:
    one, other = bytes([1]) * 16, bytes([2]) * 16
    packed = unpacked([(one, 1.0), (other, 2.0), (one, 3.0)])
    assert packed.scores_of([one, other, bytes(16)]) == [3.0, 2.0, None]


@given(RECORDS)
def test_unpacked_scores_are_a_mapping_like_any_other(records: Records) -> None:
    packed, known = unpacked(records), dict(records)
    assert (dict(packed), len(packed), list(packed)) == (known, len(known), list(known))
    assert all(packed[fingerprint] == score and fingerprint in packed for fingerprint, score in known.items())
    assert packed.get(b"nothing") is None
    assert repr(packed) == f"PackedScores({known})"


def test_a_score_is_a_float32() -> None:
    assert unpacked([(bytes(16), 9.2213745)]) == {bytes(16): float(np.float32(9.2213745))}
