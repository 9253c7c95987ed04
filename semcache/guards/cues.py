"""A query's cues as bytes: what it says, in order, three bytes for each word that matters."""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from hashlib import blake2b

# A remembered query's words cannot be read back from 16 bits each: about 8 English words in use share a value. Two
# different words are taken for one once in 65,536 pairs.
_HASH_BYTES = 2
_CUE_BYTES = 3
_HEADER_BYTES = 2
_REST_BYTES = 8
# 2 + 81 x 3 + 8 = 253 of the 255 bytes a cue blob may have.
MAX_CUES = 81


class Kind:
    """What a cue is about; of several differences the first kind is named.

    Plain ints: an Enum's hash runs in Python and would double the time of a look-up.
    """

    NEGATION = 1
    NUMBER = 2
    DATE = 3
    UNIT = 4
    CODE = 5
    SCOPE = 6
    QUESTION = 7
    WORD = 8
    QUOTE = 9


class Role:
    """What a cue does in its sentence, as far as a preposition tells."""

    NONE = 0
    SOURCE = 1
    BEFORE_TARGET = 2
    TARGET = 3
    PASSIVE = 4


@lru_cache(maxsize=16384)
def packed(kind: int, role: int, value: str) -> bytes:
    """One cue: kind and role in a byte, then the hash of the value."""
    digest = blake2b(value.encode("utf-8", "surrogatepass"), digest_size=_HASH_BYTES).digest()
    return bytes((kind << 4 | role,)) + digest


def joined(header: bytes, cues: Sequence[bytes], rest: bytes) -> bytes:
    """The blob of a query. ``rest`` is text too long to be read; it and the cues that do not fit become a digest."""
    blob = header + b"".join(cues[:MAX_CUES])
    if not rest and len(cues) <= MAX_CUES:
        return blob
    return blob + blake2b(b"".join(cues[MAX_CUES:]) + rest, digest_size=_REST_BYTES).digest()


def parted(blob: bytes) -> tuple[bytes, list[bytes], bytes]:
    """Header, cues and digest of the rest (empty when there is none)."""
    body = blob[_HEADER_BYTES:]
    end = len(body) - (_REST_BYTES if len(body) % _CUE_BYTES else 0)
    return blob[:_HEADER_BYTES], list(_slices(body[:end])), body[end:]


def _slices(body: bytes) -> Iterator[bytes]:
    return (body[start : start + _CUE_BYTES] for start in range(0, len(body), _CUE_BYTES))
