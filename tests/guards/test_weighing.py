"""The weighing of differing words."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from semcache.guards.weighing import Weighing, WordDifference, features, learned

HASHES = st.frozensets(st.binary(min_size=2, max_size=2), max_size=6)
NOTHING = WordDifference(frozenset(), frozenset(), frozenset(), 0, 0, 0, 0.9)


@given(ours=HASHES, theirs=HASHES, shared=HASHES, similarity=st.floats(-1, 1))
def test_both_directions_weigh_the_same(
    ours: frozenset[bytes], theirs: frozenset[bytes], shared: frozenset[bytes], similarity: float
) -> None:
    there = WordDifference(ours, theirs, shared, 0, 1, 0, similarity)
    back = replace(there, ours=theirs, theirs=ours)
    assert learned().logit(there) == pytest.approx(learned().logit(back))


@given(ours=HASHES, theirs=HASHES, similarity=st.floats(0.5, 0.98))
def test_more_similar_is_never_less_harmless(
    ours: frozenset[bytes], theirs: frozenset[bytes], similarity: float
) -> None:
    far = WordDifference(ours, theirs, frozenset(), 0, 0, 0, similarity)
    assert learned().logit(far) <= learned().logit(replace(far, similarity=similarity + 0.02))


def test_words_count_by_their_hash() -> None:
    weighing = Weighing(
        1.0, (0.0,) * len(features(NOTHING, frozenset())), {b"ab": -2.0}, {b"cd": 0.5}, frozenset(), threshold=0.0
    )
    assert weighing.logit(NOTHING) == 1.0
    assert weighing.is_harmless(replace(NOTHING, shared=frozenset([b"cd"])))
    assert weighing.logit(replace(NOTHING, theirs=frozenset([b"ab", b"xx"]))) == -1.0


def test_the_shipped_weights_fit_the_features() -> None:
    assert len(learned().dense) == len(features(NOTHING, frozenset()))
    assert len(learned().common) == 3000
