"""Turns what an embedder returned into unit vectors, or into an error that names the fault."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from semcache.errors import EmbedderError, InvalidInputError, described
from semcache.models.foreign import as_float32
from semcache.protocols import FloatArray


def unit_vectors(vectors: Any, texts: Sequence[str], dims: int, embedder: str) -> FloatArray:
    """Vectors as float32 rows of length 1, shape ``(len(texts), dims)``.

    Raises EmbedderError for anything that is not one finite, non-zero vector of ``dims`` numbers per text.

    Example:
        ``unit_vectors([[3.0, 4.0]], ["a text"], 2, "mine")`` gives ``array([[0.6, 0.8]], dtype=float32)``.
    """
    rows = unit_rows(vectors, texts, dims, embedder)
    bad = np.flatnonzero(np.isnan(rows[:, 0]))
    if bad.size:
        row = int(bad[0])
        fault = "has NaN or infinite numbers" if as_rows(vectors, embedder)[row].any() else "is zero"
        raise EmbedderError(
            f"{embedder} gave a vector that {fault} for text {row} ({texts[row][:40]!r}); embed another text or check "
            "the model"
        )
    return rows


def unit_rows(vectors: Any, texts: Sequence[str], dims: int, embedder: str) -> FloatArray:
    """``unit_vectors``, but with a row of NaN where a vector is zero or not finite, so that others can be used."""
    array = as_rows(vectors, embedder)
    if array.shape[0] != len(texts):
        raise EmbedderError(
            f"{embedder} gave {array.shape[0]} vectors for {len(texts)} texts; it must give one per text"
        )
    if array.shape[1] != dims:
        raise EmbedderError(
            f"{embedder} gave vectors of {array.shape[1]} numbers where {dims} were expected; "
            f"set dims={array.shape[1]} if the model has changed"
        )
    # In float64: the squares of large float32 numbers overflow, those of small ones vanish.
    exact = array.astype(np.float64)
    lengths = np.sqrt(np.einsum("ij,ij->i", exact, exact))
    # A NaN or an infinite number anywhere in a row makes its length the same, so one look at the lengths is enough.
    lengths[~np.isfinite(lengths) | (lengths == 0.0)] = np.nan
    return np.asarray(exact / lengths[:, None], dtype=np.float32)


def given_vector(vector: FloatArray, dims: int) -> FloatArray:
    """A caller's own query vector as float32 of length 1, shape ``(dims,)``, checked as if an embedder had made it."""
    if isinstance(vector, np.ndarray) and vector.dtype == np.float32 and vector.shape == (dims,):
        # The full check costs several times as much. No NaN passes this one, nor what over- or underflows.
        square = float(vector @ vector)
        if 0.25 < square < 4:
            return vector if abs(square - 1) < 1e-5 else vector / np.float32(math.sqrt(square))
    checked: FloatArray = unit_vectors([vector], ["(given vector)"], dims, "the caller")[0]
    return checked


def given_vectors(vectors: Any, documents: int, dims: int) -> FloatArray:
    """A caller's own vectors of documents as float32 rows of length 1, shape ``(documents, dims)``.

    Raises InvalidInputError for anything that is not one finite, non-zero vector of ``dims`` numbers per document.
    """
    try:
        return unit_vectors(vectors, ["(given vector)"] * documents, dims, "document_vectors")
    except EmbedderError as error:
        raise InvalidInputError(
            f"{error}; give one vector per document by the embedder of the cache, which has {dims} dims, or leave out "
            "document_vectors"
        ) from error


def as_rows(vectors: Any, embedder: str) -> FloatArray:
    """Any nested sequence, array or tensor as a float32 matrix of one row per text; EmbedderError for anything else."""
    try:
        array = as_float32(vectors)
    except (TypeError, ValueError) as error:
        raise EmbedderError(
            f"{embedder} gave {described(vectors)} instead of one vector per text, all of one length"
        ) from error
    if array.ndim != 2:
        raise EmbedderError(f"{embedder} gave an array of shape {array.shape}; a row of numbers per text is needed")
    return array
