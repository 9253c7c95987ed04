"""Scores as bytes: a version byte, then 16 bytes of fingerprint and a little-endian float32 per document."""

import struct
from collections.abc import Iterable, Mapping

from semcache.fingerprint import FINGERPRINT_BYTES

VERSION = b"\x01"
_RECORD = struct.Struct(f"<{FINGERPRINT_BYTES}sf")
RECORD_BYTES = _RECORD.size


def pack(scores: Iterable[tuple[bytes, float]]) -> bytes:
    """Records without the version byte, ready to be appended to an entry's scores."""
    return b"".join(_RECORD.pack(fingerprint, score) for fingerprint, score in scores)


def unpack(blob: bytes | None) -> Mapping[bytes, float] | None:
    """Scores by fingerprint; a later record of the same document wins. None if there is nothing or it is damaged."""
    if not blob or blob[:1] != VERSION or (len(blob) - 1) % RECORD_BYTES:
        return None
    return dict(_RECORD.iter_unpack(memoryview(blob)[1:]))
