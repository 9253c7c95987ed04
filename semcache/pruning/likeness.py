"""How much of what a surrogate is off by two documents of one request share: like texts are misjudged alike."""

import numpy as np
from numpy.typing import NDArray

from semcache.pruning.features import FEATURES, Features, Floats

VECTOR_SHARE = 0.85
"""Share of the variance that follows the document vectors; the rest is each document's own."""
LENGTH = 0.5
"""Squared length scale of the kernel, in mean squared distances of the request's documents, so that embedders whose
cosines lie close together are treated like others."""
FEATURE_SHARE = 0.05
"""Variance of each feature's own weight in one request, in variances of the residual: for this query, rank may say less
and words more than on average."""
VARYING = ("log_rank", "cosine", "overlap")
"""The features whose weights vary from request to request."""

_VARYING = [FEATURES.index(name) for name in VARYING]


def likeness(features: Features, document_vectors: NDArray[np.floating] | None = None) -> Floats:
    """Covariance of the residuals of all documents, of shape ``(documents, documents)``, in variances of one residual.

    ``document_vectors`` are as for ``features``; without them, documents share the weights of the features only.
    """
    varying = features.values[:, _VARYING]
    varying = varying / np.maximum(varying.std(axis=0), 1e-12)
    shared = FEATURE_SHARE * (varying @ varying.T)
    if document_vectors is None or not len(document_vectors):
        return np.asarray(shared + np.eye(len(varying)))
    shared += VECTOR_SHARE * _kernel(np.asarray(document_vectors, dtype=np.float32))
    shared[np.diag_indices(len(varying))] += 1 - VECTOR_SHARE
    return np.asarray(shared)


def _kernel(vectors: NDArray[np.float32]) -> Floats:
    """A Gaussian kernel on the squared distances of unit vectors; documents without one are like no other."""
    missing = ~np.isfinite(vectors.sum(axis=1))
    if missing.any():
        vectors = np.where(missing[:, None], 0, vectors)
    count = len(vectors) - int(missing.sum())
    # From their mean, since 1 less the cosine is nothing but rounding where all vectors are nearly the same, and a
    # kernel of such distances is no covariance.
    vectors = vectors - vectors.sum(axis=0) / np.float32(max(count, 1))
    products = vectors @ vectors.T
    lengths = products.diagonal() / 2
    squares = np.maximum(lengths[:, None] + lengths - products, 0)
    squares[missing] = squares[:, missing] = np.inf
    np.fill_diagonal(squares, 0)
    mean = float(squares[np.isfinite(squares)].sum() if missing.any() else squares.sum()) / max(count * (count - 1), 1)
    return np.asarray(np.exp(squares / (-2 * LENGTH * max(mean, 1e-12))), dtype=float)
