"""Scores as bytes: a version byte, then 16 bytes of fingerprint and a little-endian float32 per document."""

import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache

from semcache.entries.fingerprint import FINGERPRINT_BYTES

VERSION = b"\x01"
"""Stands at the beginning of every entry. Another layout of the records needs another version."""
_RECORD = struct.Struct(f"<{FINGERPRINT_BYTES}sf")
RECORD_BYTES = _RECORD.size


def pack(scores: Iterable[tuple[bytes, float]]) -> bytes:
    """Records of (document fingerprint, score), without the version byte: they can be appended to an entry."""
    return b"".join(_RECORD.pack(fingerprint, score) for fingerprint, score in scores)


def unpack(blob: bytes | None) -> "PackedScores | None":
    """Scores by fingerprint of an entry's bytes. None if there are none or they are damaged, which is a miss.

    A later record of the same document wins, since an entry grows by appending.
    """
    # An unknown version is a miss, too: it was written by another release, and is replaced when it expires.
    if not blob or blob[:1] != VERSION or (len(blob) - 1) % RECORD_BYTES:
        return None
    return PackedScores(blob)


# Making a Struct parses its format; requests have few different numbers of documents.
@lru_cache(maxsize=256)
def _flat(count: int) -> struct.Struct:
    """The layout of an entry of so many records: fingerprint, score, fingerprint, score, ..."""
    return struct.Struct(f"<{len(VERSION)}x" + f"{FINGERPRINT_BYTES}sf" * count)


class PackedScores(Mapping[bytes, float]):
    """Scores by fingerprint in the bytes of an entry, decoded into a dictionary only when a single one is looked up.

    Equal requests need no dictionary at all, see ``scores_of``. Two threads that decode at the same time do the same
    work twice and keep one of two equal results, so there is no lock.
    """

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
        # A repeated request mostly has the same documents in the same order as the first. Then one comparison does
        # instead of a dictionary. An entry that grew by appending has another length, or a document twice.
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
