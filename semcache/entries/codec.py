"""Scores as bytes: a version byte, then 16 bytes of fingerprint and a little-endian float32 per document."""

import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache

from semcache.entries.fingerprint import FINGERPRINT_BYTES

VERSION = b"\x01"
_RECORD = struct.Struct(f"<{FINGERPRINT_BYTES}sf")
RECORD_BYTES = _RECORD.size


def pack(scores: Iterable[tuple[bytes, float]]) -> bytes:
    """Records without the version byte, ready to be appended to an entry's scores."""
    return b"".join(_RECORD.pack(fingerprint, score) for fingerprint, score in scores)


def unpack(blob: bytes | None) -> "PackedScores | None":
    """Scores by fingerprint; a later record of the same document wins. None if there is nothing or it is damaged."""
    if not blob or blob[:1] != VERSION or (len(blob) - 1) % RECORD_BYTES:
        return None
    return PackedScores(blob)


@lru_cache(maxsize=256)
def _flat(count: int) -> struct.Struct:
    """A whole entry of so many records: fingerprint, score, fingerprint, score, ..."""
    return struct.Struct(f"<{len(VERSION)}x" + f"{FINGERPRINT_BYTES}sf" * count)


class PackedScores(Mapping[bytes, float]):
    """Scores by fingerprint, decoded only when somebody looks for a single one: most that are read are not needed."""

    __slots__ = ("_blob", "_decoded")

    def __init__(self, blob: bytes) -> None:
        self._blob = blob
        self._decoded: dict[bytes, float] | None = None

    def _all(self) -> dict[bytes, float]:
        if self._decoded is None:
            self._decoded = dict(_RECORD.iter_unpack(memoryview(self._blob)[1:]))
        return self._decoded

    def scores_of(self, fingerprints: Sequence[bytes]) -> list[float | None]:
        """The score of each of these distinct documents, None where there is none."""
        # A repeated request mostly has the documents of the first in their order: a comparison instead of a table.
        if len(self._blob) == len(VERSION) + len(fingerprints) * RECORD_BYTES:
            flat = _flat(len(fingerprints)).unpack(self._blob)
            if flat[::2] == tuple(fingerprints):
                return list(flat[1::2])
        return list(map(self._all().get, fingerprints))

    def __getitem__(self, fingerprint: bytes) -> float:
        return self._all()[fingerprint]

    def __contains__(self, fingerprint: object) -> bool:
        return fingerprint in self._all()

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())

    def __repr__(self) -> str:
        return f"PackedScores({self._all()})"


def scores_of(known: Mapping[bytes, float], fingerprints: Sequence[bytes]) -> list[float | None]:
    """The known score of each of these distinct documents, None where there is none."""
    return known.scores_of(fingerprints) if isinstance(known, PackedScores) else list(map(known.get, fingerprints))
