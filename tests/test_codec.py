"""Scores come back from bytes as they went in, and damaged bytes are nothing."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from semcache.codec import RECORD_BYTES, VERSION, pack, unpack

FINGERPRINTS = st.binary(min_size=16, max_size=16)
SCORES = st.floats(width=32, allow_nan=False)
RECORDS = st.lists(st.tuples(FINGERPRINTS, SCORES), max_size=20)


@given(RECORDS)
def test_what_is_packed_is_unpacked(records):
    assert unpack(VERSION + pack(records)) == dict(records)


@given(RECORDS, RECORDS)
def test_appending_is_the_same_as_packing_together(first, then):
    assert unpack(VERSION + pack(first) + pack(then)) == dict([*first, *then])


@given(RECORDS.filter(bool), st.integers(1, RECORD_BYTES - 1))
def test_a_cut_record_is_nothing(records, missing):
    assert unpack((VERSION + pack(records))[:-missing]) is None


@pytest.mark.parametrize("blob", [None, b"", b"\x00", b"\x02" + bytes(20), b"[0.1, 0.2]"])
def test_what_is_not_scores_is_nothing(blob):
    assert unpack(blob) is None


def test_a_score_is_a_float32():
    score = float(np.float32(9.2213745))
    assert unpack(VERSION + pack([(bytes(16), 9.2213745)])) == {bytes(16): score}
