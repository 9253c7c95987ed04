"""What documents share of what a surrogate is off by."""

import numpy as np
import pytest

from semcache.pruning.features import features
from semcache.pruning.likeness import FEATURE_SHARE, VECTOR_SHARE, likeness

TEXTS = [f"text {number}" for number in range(12)]


def unit_vectors(count: int, near: float = 0.0) -> np.ndarray:
    vectors = np.random.default_rng(3).normal(size=(count, 16)) + near
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)


@pytest.mark.parametrize("near", [0.0, 5.0])
def test_it_is_a_covariance_whatever_the_vectors(near: float) -> None:
    vectors = unit_vectors(12, near)
    vectors[3] = vectors[4]
    found = likeness(features("text", TEXTS, query_vector=vectors[0], document_vectors=vectors), vectors)
    assert found == pytest.approx(found.T)
    assert np.linalg.eigvalsh(found).min() > 0


@pytest.mark.parametrize("near", [1e3, 1e5, 1e7])
def test_it_is_one_for_vectors_that_differ_by_little_more_than_rounding(near: float) -> None:
    # Long passages that begin alike: an embedder reads no more than their first words.
    vectors = unit_vectors(60, near)
    vectors[7] = np.nan
    found = likeness(features(None, [f"text {number}" for number in range(60)]), vectors)
    assert np.linalg.eigvalsh(found).min() > 0.1


def test_nearer_documents_share_more() -> None:
    vectors = unit_vectors(3)
    vectors[1] = vectors[0]
    found = likeness(features(None, ["a", "a", "a"]), vectors)
    ranks = found - VECTOR_SHARE * np.eye(3)
    assert ranks[0, 1] > ranks[0, 2]


def test_a_scale_of_distances_does_not_matter() -> None:
    # Cosines around 0.97 in place of 0: embedders differ in that, and their documents do not.
    wide, narrow = (likeness(features(None, TEXTS), unit_vectors(12, near)) for near in (0.0, 1.0))
    assert np.corrcoef(wide[np.triu_indices(12, 1)], narrow[np.triu_indices(12, 1)])[0, 1] > 0.5


def test_a_document_without_a_vector_shares_features_only() -> None:
    vectors = unit_vectors(12)
    vectors[5] = np.nan
    known = features("text", TEXTS)
    with_vectors, without = likeness(known, vectors), likeness(known)
    assert np.delete(with_vectors[5], 5) == pytest.approx(np.delete(without[5], 5))
    assert with_vectors[5, 5] == pytest.approx(without[5, 5])


def test_equal_texts_without_anything_to_tell_them_apart_share_nothing_but_rank() -> None:
    found = likeness(features(None, ["same"] * 4))
    ranks = np.log([1.0, 2.0, 3.0, 4.0])
    ranks = (ranks - ranks.mean()) / ranks.std()
    assert found == pytest.approx(np.eye(4) + FEATURE_SHARE * np.outer(ranks, ranks))
