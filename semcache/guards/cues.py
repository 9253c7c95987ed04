"""Cues as bytes: three for each word of a query that matters, in the order of the query."""

from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b

# 16 bits on purpose: many words of a language share each value, so that a remembered query cannot be read back. Two
# different words are taken for the same one in 1 of 65,536 pairs.
_HASH_BYTES = 2
_CUE_BYTES = 1 + _HASH_BYTES
_HEADER_BYTES = 2
_REST_BYTES = 8
# 2 + 81 x 3 + 8 = 253 of the 255 bytes that a cue blob may have.
MAX_CUES = 81


Cue = tuple[int, int, str]
"""(kind, role, value), before it is encoded."""


class Kind:
    """The subject of a cue, in four bits; of several differences the first kind in this order is named."""

    NEGATION = 1
    NUMBER = 2
    DATE = 3
    UNIT = 4
    CODE = 5
    SCOPE = 6
    QUESTION = 7
    WORD = 8
    QUOTE = 9
    # Function words, see contrasts.py: they differ only where both queries have them.
    PERSON = 10
    MODAL = 11
    RELATION = 12
    OPPOSITE = 13
    PLACE = 14
    # A Han character that is in no list: part of a word, often of a name.
    CHARACTER = 15


class Role:
    """The part that a cue plays in its sentence, as far as a preposition tells."""

    NONE = 0
    SOURCE = 1  # "from Paris"
    BEFORE_TARGET = 2  # the miles of "miles to km"
    TARGET = 3  # "to Rome"
    PASSIVE = 4  # the caused of "caused by"


# Cached: queries repeat the words of earlier ones, and to make a hash takes many times as long as to find it here.
@lru_cache(maxsize=16384)
def encode_cue(kind: int, role: int, value: str) -> bytes:
    """One cue: kind and role in a byte, then the hash of the value."""
    # Text from outside may hold lone surrogates, which UTF-8 refuses otherwise.
    digest = blake2b(value.encode("utf-8", "surrogatepass"), digest_size=_HASH_BYTES).digest()
    return bytes((kind << 4 | role,)) + digest


def encode(header: bytes, cues: Sequence[bytes], rest: bytes) -> bytes:
    """The blob of a query. ``rest`` is text too long to be read; it and the cues that do not fit become a digest."""
    blob = header + b"".join(cues[:MAX_CUES])
    if not rest and len(cues) <= MAX_CUES:
        return blob
    return blob + blake2b(b"".join(cues[MAX_CUES:]) + rest, digest_size=_REST_BYTES).digest()


def decode(blob: bytes) -> tuple[bytes, list[bytes], bytes]:
    """Header, cues and digest of the rest (empty when there is none)."""
    body = blob[_HEADER_BYTES:]
    # Cues alone are a multiple of three bytes, cues with an eight byte digest never are.
    end = len(body) - (_REST_BYTES if len(body) % _CUE_BYTES else 0)
    cues, rest = body[:end], body[end:]
    return blob[:_HEADER_BYTES], [cues[at : at + _CUE_BYTES] for at in range(0, len(cues), _CUE_BYTES)], rest
