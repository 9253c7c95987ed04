"""Turns what a reranker returned into float32 scores, or into an error that names the fault."""

from typing import Any

import numpy as np

from semcache.causes import message_of
from semcache.errors import RerankerError, described
from semcache.models.foreign import as_float32
from semcache.protocols import FloatArray


def checked_scores(scores: Any, pairs: int, reranker: str) -> FloatArray:
    """Scores as float32 of shape ``(pairs,)``; a column ``(pairs, 1)`` is flattened, a bare number is one score.

    Raises RerankerError for scores that are no numbers, too few, too many, several per pair, NaN or infinite.

    Example:
        ``checked_scores([[0.5], [1.5]], 2, "mine")`` gives ``array([0.5, 1.5], dtype=float32)``.
    """
    return finite(one_per_pair(scores, pairs, reranker), reranker)


def one_per_pair(scores: Any, pairs: int, reranker: str) -> FloatArray:
    """Scores as float32 of shape ``(pairs,)``, finite or not.

    Raises RerankerError for scores that are no numbers, too few, too many, or several per pair.
    """
    try:
        array = as_float32(scores)
    except (TypeError, ValueError) as error:
        raise RerankerError(
            f"{reranker} gave {described(scores)} instead of one number per pair: {message_of(error)}"
        ) from error
    # FlagEmbedding and others give a bare number for a single pair.
    if array.ndim == 0:
        array = array[np.newaxis]
    # Models with one label return their logits as a column.
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim > 1:
        raise RerankerError(
            f"{reranker} gave scores of shape {array.shape} for {pairs} pairs; one number per pair is needed, "
            "so use a model with a single label"
        )
    if array.shape != (pairs,):
        raise RerankerError(f"{reranker} gave {array.size} scores for {pairs} pairs; it must give one per pair")
    return array


def finite(array: FloatArray, reranker: str) -> FloatArray:
    """The same scores; RerankerError with the position of the first pair whose score is NaN or infinite."""
    bad = np.flatnonzero(~np.isfinite(array))
    if bad.size:
        first = int(bad[0])
        raise RerankerError(
            f"{reranker} gave {bad.size} of {array.size} scores that are not finite, first {array[first]} for pair "
            f"{first}; check the model's precision (float16 overflows) and that text"
        )
    return array
