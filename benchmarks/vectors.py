"""Vectors of the real queries, embedded once and kept on disk in parts, so that a stopped run can go on."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.data import queries

CACHE = Path(__file__).parent / ".cache" / "minilm"
PART = 16_384
DIMS = 384

Vectors = NDArray[np.float16] | NDArray[np.float32]
Encode = Callable[[Sequence[str]], NDArray[np.float32]]


def real(stop: int) -> NDArray[np.float16]:
    """Unit vectors (all-MiniLM-L6-v2, full precision, kept as float16) of the first ``stop`` queries."""
    stop = min(stop, len(queries()))
    encode: Encode | None = None
    for part in range(-(-stop // PART)):
        if not _path(part).exists():
            encode = encode or _encoder()
            _embed(part, encode)
    return np.concatenate([np.load(_path(part), mmap_mode="r") for part in range(-(-stop // PART))])[:stop]


def extended(start: int, stop: int, seed: int) -> NDArray[np.float16]:
    """Vectors ``start`` to ``stop``. Those beyond the real queries are made from real ones.

    A real vector is turned towards another real one, to a cosine of 0.75 to 0.95 with the first. It then still lies
    among real queries; noise in a random direction would move it away from them.
    """
    known = len(queries())
    if stop <= known:
        return real(stop)[start:]
    base = real(known)
    rng = np.random.default_rng(seed)
    made = [_mixed(base, min(PART, stop - at), rng) for at in range(known, stop, PART)]
    return np.concatenate([base[start:], *made])


def _mixed(base: NDArray[np.float16], count: int, rng: np.random.Generator) -> NDArray[np.float16]:
    chosen, towards = (base[rng.integers(0, len(base), count)].astype(np.float32) for _ in range(2))
    return turned(chosen, towards, rng.uniform(0.75, 0.95, count)).astype(np.float16)


def turned(vectors: Vectors, towards: Vectors, cosine: float | NDArray[np.float64]) -> NDArray[np.float32]:
    """Unit vectors at a given cosine to ``vectors``, in the plane with ``towards``; the same where both are equal."""
    unit = _unit(np.asarray(vectors, dtype=np.float32))
    other = np.asarray(towards, dtype=np.float32)
    across = _unit(other - (other * unit).sum(axis=1, keepdims=True) * unit)
    share = np.broadcast_to(np.asarray(cosine, dtype=np.float32), (len(unit),))[:, None]
    return _unit(share * unit + np.sqrt(1 - share**2) * across)


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows of length 1. Rows of zeros stay as they are."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(lengths > 0, lengths, 1))


def nearest(probes: Vectors, vectors: Vectors) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Position and cosine of the nearest vector of each probe, by comparing all with all."""
    unit_probes = _unit(np.asarray(probes, dtype=np.float32))
    position, best = np.zeros(len(probes), dtype=np.int64), np.full(len(probes), -1, dtype=np.float32)
    for start in range(0, len(vectors), PART):
        cosines = unit_probes @ _unit(np.asarray(vectors[start : start + PART], dtype=np.float32)).T
        found = cosines.max(axis=1)
        better = found > best
        position[better] = start + cosines.argmax(axis=1)[better]
        best[better] = found[better]
    return position, best


def _embed(part: int, encode: Encode) -> None:
    texts = queries()[part * PART : (part + 1) * PART]
    CACHE.mkdir(parents=True, exist_ok=True)
    partial = _path(part).with_suffix(".partial.npy")
    np.save(partial, encode(texts).astype(np.float16))
    partial.replace(_path(part))  # a run that is stopped in between leaves no half-written part


def _path(part: int) -> Path:
    return CACHE / f"{part:03d}.npy"


def _encoder() -> Encode:
    from semcache.embedders import SentenceTransformerEmbedder

    return SentenceTransformerEmbedder(backend="onnx", threads=1).embed
