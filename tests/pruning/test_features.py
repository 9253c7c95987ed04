"""Features of candidates: differences from the request's mean, with anything missing."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from semcache.pruning.features import FEATURES, features, overlap

NAN = float("nan")
TEXTS = ["fleas live for weeks", "the moon", "a flea in the ear", "cats and dogs"]
VECTORS = np.array([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8], [0.8, 0.6]])


def column(name: str) -> int:
    return FEATURES.index(name)


def test_of_texts_alone_rank_words_and_length_are_known() -> None:
    known = features("flea", TEXTS)
    assert {name for name, is_known in zip(FEATURES, known.available, strict=True) if is_known} == {
        "log_rank",
        "overlap",
        "log_length",
    }


def test_every_column_is_a_difference_from_the_mean() -> None:
    known = features(
        "flea",
        TEXTS,
        retrieval_scores=[9.0, 7.0, 6.0, 1.0],
        query_vector=VECTORS[0],
        document_vectors=VECTORS,
        earlier=[0.1, NAN, 0.2, 0.0],
        cheap_scores=[1.0, 2.0, 3.0, 4.0],
    )
    assert known.available.all()
    assert known.values.sum(axis=0) == pytest.approx(0, abs=1e-12)


def test_a_missing_value_counts_as_the_mean_of_the_others() -> None:
    known = features("flea", TEXTS, retrieval_scores=[4.0, None, 2.0, 3.0])
    assert known.values[1, column("retrieval_score")] == 0
    vectors = VECTORS.copy()
    vectors[2] = NAN
    known = features("flea", TEXTS, query_vector=VECTORS[0], document_vectors=vectors)
    assert known.values[2, column("cosine")] == known.values[2, column("relative_cosine")] == 0
    assert np.isfinite(known.values).all()


@pytest.mark.parametrize("scores", [None, [None] * 4, [NAN] * 4])
def test_a_column_without_any_value_is_not_available(scores: list[float | None] | None) -> None:
    assert not features("flea", TEXTS, retrieval_scores=scores).available[column("retrieval_score")]


def test_the_scale_of_a_retriever_does_not_matter() -> None:
    one = features("flea", TEXTS, retrieval_scores=[4.0, 3.0, 2.0, 1.0])
    other = features("flea", TEXTS, retrieval_scores=[40.5, 30.5, 20.5, 10.5])
    assert one.values == pytest.approx(other.values)


def test_without_the_query_there_is_no_overlap() -> None:
    assert not features(None, TEXTS).available[column("overlap")]


def test_longer_words_say_more_and_words_are_found_in_longer_ones() -> None:
    assert overlap("is flea", ["Fleas", "This is it", "none"]) == pytest.approx([4 / 6, 2 / 6, 0])


def test_chinese_is_compared_by_pairs_of_letters() -> None:
    near, far = overlap("数据库的索引", ["关于数据库", "天气很好"])
    assert near > far == 0


@settings(deadline=None, max_examples=50)
@given(st.text(max_size=30), st.lists(st.text(max_size=30), max_size=6))
def test_any_text_has_finite_features(query: str, texts: list[str]) -> None:
    known = features(query, texts)
    assert known.values.shape == (len(texts), len(FEATURES))
    assert np.isfinite(known.values).all()
