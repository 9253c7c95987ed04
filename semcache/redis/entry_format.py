"""Entries as Redis holds them: vectors as bytes, fields of the hash, times to live."""

import math
import random
from dataclasses import dataclass

import numpy as np

from semcache.errors import InvalidInputError
from semcache.protocols import FloatArray


@dataclass(frozen=True, slots=True)
class VectorFormat:
    """Unit vectors of ``dims`` float32 here, of numpy type ``dtype`` in Redis."""

    dims: int
    dtype: str

    def pack(self, vector: FloatArray) -> bytes:
        if vector.shape != (self.dims,):
            raise InvalidInputError(f"a vector of shape {vector.shape} does not fit this index of {self.dims} dims")
        return vector.astype(self.dtype).tobytes()

    def unpack(self, blob: bytes | None) -> FloatArray | None:
        """The vector, of length 1 again although rounded. None if there is none or it is damaged."""
        if blob is None or len(blob) != self.dims * np.dtype(self.dtype).itemsize:
            return None
        vector = np.frombuffer(blob, dtype=self.dtype).astype(np.float32)
        length = float(np.linalg.norm(vector))
        return vector / np.float32(length) if length > 0 else None


@dataclass(frozen=True, slots=True)
class Lifetime:
    """How long entries live: ``ttl_s`` seconds, a share ``jitter`` more or less at random; None: until evicted.

    Deleting a vector costs the server more than inserting it (1.4 against 0.23 ms), so what was written together must
    not expire together.
    """

    ttl_s: float | None
    jitter: float

    def __post_init__(self) -> None:
        checked_ttl(self.ttl_s)
        if not 0 <= self.jitter < 1:
            raise InvalidInputError(f"ttl_jitter must be at least 0 and below 1, got {self.jitter}")

    def milliseconds(self, ttl_s: float | None, rng: random.Random) -> int:
        """The life of one new entry; 0 means that it has no end. ``ttl_s`` overrides the usual one."""
        ttl = self.ttl_s if ttl_s is None else checked_ttl(ttl_s)
        return 0 if ttl is None else max(1, round(1000 * ttl * rng.uniform(1 - self.jitter, 1 + self.jitter)))


def checked_ttl(ttl_s: float | None) -> float | None:
    """The same, or InvalidInputError if nothing can live that long."""
    if ttl_s is not None and not (math.isfinite(ttl_s) and ttl_s > 0):
        raise InvalidInputError(f"ttl must be more than 0 seconds, got {ttl_s}; use None for entries without an end")
    return ttl_s
