"""Scores as bytes, in blocks that are appended to each other. A block is checked by itself.

=============  ============================================================
1 byte         version
3 bytes        number of records, little-endian
20 bytes each  records: fingerprint of the document (16), float32 (4), little-endian
4 or 16 bytes  check over all of these and the key in Redis, see ``checks``
=============  ============================================================
"""

import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from math import isfinite
from typing import Any

from semcache.entries.checks import VERSION, Damaged, check_bytes, check_of, verify
from semcache.entries.fingerprint import FINGERPRINT_BYTES
from semcache.errors import InvalidInputError

RECORD_BYTES = FINGERPRINT_BYTES + 4
_HEAD_BYTES = len(VERSION) + 3
LARGEST_SCORE = (2 - 2**-23) * 2.0**127
"""The largest number of float32."""
MAX_SCORES = 20_000
"""Scores that an entry can be set up to hold: 200 retrievals of 100 documents, 400 KB, decoded in 1 ms."""


def bytes_of(scores: int, key: bytes = b"") -> int:
    """The length of one block of so many scores."""
    return _HEAD_BYTES + scores * RECORD_BYTES + check_bytes(key)


MAX_BYTES = bytes_of(MAX_SCORES, b"signed")
"""Bytes of the longest entry. Anything longer is no entry, and is not read whole."""


def pack(owner: bytes, scores: Iterable[tuple[bytes, float]], key: bytes = b"") -> bytes:
    """One block of (document fingerprint, score), for the entry under the key ``owner``; see ``checks`` for ``key``.

    Raises InvalidInputError for a score that is no finite float32.
    """
    records = list(scores)
    for _, score in records:
        if not abs(score) <= LARGEST_SCORE:  # also NaN
            raise InvalidInputError(f"{score} is no score; give a finite number that float32 can hold")
    flat = _records(len(records)).pack(*(part for record in records for part in record))
    block = VERSION + len(records).to_bytes(_HEAD_BYTES - len(VERSION), "little") + flat
    return block + check_of(owner, block, key)


def unpack(owner: bytes, blob: bytes | None, key: bytes = b"") -> "PackedScores | None":
    """Scores by fingerprint of the bytes under the key ``owner``; None if there are none. Raises Damaged.

    A later record of the same document wins, since an entry grows by appending.
    """
    if not blob:
        return None
    if len(blob) > MAX_BYTES:
        raise Damaged("size")
    check_length = check_bytes(key)
    flat: tuple[Any, ...] = ()
    at = 0
    while at < len(blob):
        if blob[at] != VERSION[0]:
            raise Damaged("version")
        records = at + _HEAD_BYTES
        count = int.from_bytes(blob[at + 1 : records], "little")
        end = records + count * RECORD_BYTES
        behind = end + check_length
        if behind > len(blob):
            raise Damaged("layout")
        verify(blob[end:behind], owner, blob[at:end], key)
        flat += _records(count).unpack_from(blob, records)
        at = behind
    documents, scores = flat[::2], flat[1::2]
    # Finite float32 numbers never add up to more than a float64 holds.
    if not isfinite(sum(scores)):
        raise Damaged("number")
    return PackedScores(documents, scores)


# Making a Struct parses its format; requests have few different numbers of documents.
@lru_cache(maxsize=256)
def _records(count: int) -> struct.Struct:
    """The layout of so many records: fingerprint, score, fingerprint, score, ..."""
    return struct.Struct("<" + f"{FINGERPRINT_BYTES}sf" * count)


class PackedScores(Mapping[bytes, float]):
    """Scores by fingerprint as they stand in an entry, made a dictionary only when a single one is looked up.

    Equal requests need no dictionary at all, see ``scores_of``. Two threads that make it at the same time do the same
    work twice and keep one of two equal results, so there is no lock.
    """

    __slots__ = ("_dictionary", "_documents", "_scores")

    def __init__(self, documents: tuple[bytes, ...], scores: tuple[float, ...]) -> None:
        self._documents = documents
        self._scores = scores
        self._dictionary: dict[bytes, float] | None = None

    def _all(self) -> dict[bytes, float]:
        if self._dictionary is None:
            self._dictionary = dict(zip(self._documents, self._scores, strict=True))
        return self._dictionary

    def scores_of(self, fingerprints: Sequence[bytes]) -> list[float | None]:
        """The score of each of these distinct documents, None where there is none."""
        # A repeated request mostly has the same documents in the same order as the first. Then one comparison does
        # instead of a dictionary. An entry that has a document twice has a record more.
        if self._documents == tuple(fingerprints):
            return list(self._scores)
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
