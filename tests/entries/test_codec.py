"""Scores come back from bytes as they went in, and damaged bytes are nothing."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from semcache.entries.codec import RECORD_BYTES, VERSION, PackedScores, pack, scores_of, unpack

FINGERPRINTS = st.binary(min_size=16, max_size=16)
SCORES = st.floats(width=32, allow_nan=False)
Records = Sequence[tuple[bytes, float]]
RECORDS = st.lists(st.tuples(FINGERPRINTS, SCORES), max_size=20)


def unpacked(records: Records) -> PackedScores:
    """Records after they were packed and unpacked."""
    packed = unpack(VERSION + pack(records))
    assert packed is not None
    return packed


@given(RECORDS)
def test_what_is_packed_is_unpacked(records: Records) -> None:
    assert unpack(VERSION + pack(records)) == dict(records)


@given(RECORDS, RECORDS)
def test_appending_is_the_same_as_packing_together(first: Records, then: Records) -> None:
    assert unpack(VERSION + pack(first) + pack(then)) == dict([*first, *then])


@given(RECORDS.filter(bool), st.integers(1, RECORD_BYTES - 1))
def test_a_cut_record_is_nothing(records: Records, missing: int) -> None:
    assert unpack((VERSION + pack(records))[:-missing]) is None


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


@pytest.mark.parametrize("blob", [None, b"", b"\x00", b"\x02" + bytes(20), b"[0.1, 0.2]"])
def test_what_is_not_scores_is_nothing(blob: bytes | None) -> None:
    assert unpack(blob) is None


def test_a_score_is_a_float32() -> None:
    score = float(np.float32(9.2213745))
    assert unpack(VERSION + pack([(bytes(16), 9.2213745)])) == {bytes(16): score}
