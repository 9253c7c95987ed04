"""Vectors for more entries than there are real queries, as near to each other as so many real ones would be.

The similarity of a real query to its nearest neighbour grows with the number of queries. Each of its quantiles is taken
to grow linearly with the logarithm of that number, as it does among real ones. A made vector is a real one turned to a
similarity that is drawn from the distribution for the number wanted, half towards one of its neighbours and for the
rest along differences of others: it has neighbours about as near as a real query would have. ``check`` makes eight
times as many vectors as it takes real ones, and compares them with as many real ones.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import vectors
from benchmarks.workload import HELD_OUT, SEED

_PROBES = 1500
_QUANTILES = np.linspace(0.005, 0.995, 199)
_SHOWN = (0.05, 0.25, 0.5, 0.75, 0.95)
_MOST = 0.995
"""Similarity that no made vector exceeds: beyond it are equal queries, and entries are different ones."""
_SAME = 0.999
_TOWARDS = 0.5
"""How far towards a neighbour a vector is turned. Towards nothing but others the nearest is right, and the tenth is too
far; wholly towards it the nearest is too near."""
_EVERY, _NEIGHBOURS = 4, 5
"""The five nearest among every fourth of the real ones are a sample of the twenty nearest of all."""
REAL = 8 * vectors.PART
"""Real vectors used; the first ``HELD_OUT`` are probes and never stored."""

Unit = NDArray[np.float32]


def entries(count: int, real: int = REAL) -> NDArray[np.float16]:
    """Vectors of ``count`` entries: real ones first, and made ones where these do not suffice."""
    base = vectors.real(min(real, HELD_OUT + count))[HELD_OUT:]
    if count <= len(base):
        return base[:count]
    return np.concatenate([base, *_made(base, count - len(base), near_by(count, base), SEED)])


def probes_like(stored: NDArray[np.float16], real: int, count: int) -> Unit:
    """Vectors that were drawn as those of the entries beyond ``real`` were, and are not stored."""
    base = stored[:real]
    return np.concatenate(list(_made(base, count, near_by(len(stored), base), SEED + 1))).astype(np.float32)


def near_by(count: int, base: NDArray[np.float16]) -> NDArray[np.float64]:
    """Quantiles of the similarity to the nearest among ``count``, by how they grow among those of ``base``."""
    probes = vectors.real(HELD_OUT)[:_PROBES].astype(np.float32)
    sizes = [size for size in (len(base) // 8, len(base) // 4, len(base) // 2, len(base)) if size]
    seen = [np.quantile(ranked(probes, base[:size], 1)[:, 0], _QUANTILES) for size in sizes]
    slope, level = np.polyfit(np.log(sizes), np.array(seen), 1)
    return np.maximum.accumulate(np.minimum(level + slope * np.log(count), _MOST))


def ranked(probes: Unit, stored: NDArray[Any], rank: int) -> Unit:
    """The ``rank`` greatest similarities of each probe to stored vectors, by comparing with all of them."""
    best = np.full((len(probes), rank), -1, dtype=np.float32)
    for start in range(0, len(stored), vectors.PART):
        cosines = probes @ stored[start : start + vectors.PART].astype(np.float32).T
        top = -np.partition(-cosines, min(rank, cosines.shape[1]) - 1, axis=1)[:, :rank]
        best = -np.sort(-np.concatenate([best, top], axis=1), axis=1)[:, :rank]
    return best


def _made(base: NDArray[np.float16], count: int, near: NDArray[np.float64], seed: int) -> Iterator[NDArray[np.float16]]:
    rng = np.random.default_rng(seed)
    beside = _neighbours(base)
    for start in range(0, count, vectors.PART):
        drawn = min(vectors.PART, count - start)
        at = rng.integers(0, len(base), drawn)
        chosen = base[at].astype(np.float32)
        towards = base[beside[at, rng.integers(0, _NEIGHBOURS, drawn)]].astype(np.float32)
        one, other, third, fourth = (base[rng.integers(0, len(base), drawn)].astype(np.float32) for _ in range(4))
        # Differences of others: towards a single one, the made vector would come as near to that as to the first.
        aside = vectors.turned(chosen, one - other + third - fourth, 0.0)
        across = vectors.turned(aside, vectors.turned(chosen, towards, 0.0), (1 - _TOWARDS**2) ** 0.5)
        cosines = np.interp(rng.uniform(0, 1, drawn), _QUANTILES, near)
        yield vectors.turned(chosen, across, cosines).astype(np.float16)


def _neighbours(base: NDArray[np.float16]) -> NDArray[np.int64]:
    """Places of some of the nearest of each of these vectors, kept on disk: it takes a minute for all real ones."""
    path = vectors.CACHE / f"neighbours-{len(base)}.npy"
    if not path.exists():
        some = base[::_EVERY].astype(np.float32)
        found = []
        for start in range(0, len(base), 1024):
            cosines = base[start : start + 1024].astype(np.float32) @ some.T
            cosines[cosines > _SAME] = -1  # itself
            found.append(np.argpartition(-cosines, _NEIGHBOURS, axis=1)[:, :_NEIGHBOURS] * _EVERY)
        np.save(path, np.concatenate(found))
    return np.asarray(np.load(path))


def check() -> list[dict[str, Any]]:
    """Quantiles of the similarity to the nearest and to the tenth, of eight times as many vectors: real, and made."""
    real = vectors.real(REAL)
    base = REAL // 8
    made = entries(REAL - HELD_OUT, real=HELD_OUT + base)
    sides = {
        "real": (real[:_PROBES].astype(np.float32), real[HELD_OUT:]),
        "made": (probes_like(made, base, _PROBES), made),
    }
    rows = []
    for side, (probes, stored) in sides.items():
        best = ranked(probes, stored, 10)
        for rank in (1, 10):
            found = np.quantile(best[:, rank - 1], _SHOWN)
            shown = {f"q{share * 100:g}": float(value) for share, value in zip(_SHOWN, found, strict=True)}
            rows.append({"vectors": side, "entries": len(stored), "neighbour": rank, **shown})
    return rows
