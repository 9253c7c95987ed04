"""The one place where what an embedder gave becomes unit vectors, or an error that says what was wrong with it."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from semcache.errors import EmbedderError, described
from semcache.protocols import FloatArray


def unit_vectors(vectors: Any, texts: Sequence[str], dims: int, embedder: str) -> FloatArray:
    """Vectors as float32 rows of length 1, shape ``(len(texts), dims)``.

    Raises EmbedderError for anything that is not one finite, non-zero vector of ``dims`` numbers per text.
    """
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
    return _normalised(array, texts, embedder)


def as_rows(vectors: Any, embedder: str) -> FloatArray:
    """Any nested sequence, array or tensor as a float32 matrix."""
    try:
        with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite and is reported as such
            array = np.asarray(_on_the_cpu(vectors), dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise EmbedderError(
            f"{embedder} gave {described(vectors)} instead of one vector per text, all of one length"
        ) from error
    if array.ndim != 2:
        raise EmbedderError(f"{embedder} gave an array of shape {array.shape}; a row of numbers per text is needed")
    return array


def _on_the_cpu(vectors: Any) -> Any:
    """Tensors, also in a list, of any device and type (numpy knows no bfloat16) as lists; the rest as it is."""
    if hasattr(vectors, "detach"):
        return vectors.tolist()
    if isinstance(vectors, (list, tuple)) and vectors and hasattr(vectors[0], "detach"):
        return [vector.tolist() for vector in vectors]
    return vectors


def _normalised(array: FloatArray, texts: Sequence[str], embedder: str) -> FloatArray:
    # In float64: the squares of large float32 numbers overflow, those of small ones vanish.
    exact = array.astype(np.float64)
    lengths = np.sqrt(np.einsum("ij,ij->i", exact, exact))
    bad = np.flatnonzero(~np.isfinite(lengths) | (lengths == 0.0))
    if bad.size:
        raise EmbedderError(_unusable(array, texts, int(bad[0]), embedder))
    return np.asarray(exact / lengths[:, None], dtype=np.float32)


def _unusable(array: FloatArray, texts: Sequence[str], row: int, embedder: str) -> str:
    what = "is zero" if not array[row].any() else "has NaN or infinite numbers"
    text = texts[row][:40]
    return f"{embedder} gave a vector that {what} for text {row} ({text!r}); embed another text or check the model"
