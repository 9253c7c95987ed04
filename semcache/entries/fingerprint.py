"""Fingerprints and ids of documents, queries and indexes: short, stable, and different for different things."""

import struct
import unicodedata
from base64 import urlsafe_b64encode
from collections.abc import Iterable
from functools import lru_cache
from hashlib import blake2b

FINGERPRINT_BYTES = 16
"""128 bits: two of a billion documents collide with probability 1.5e-21 (birthday bound n^2 / 2^129)."""


def document_fingerprint(text: str) -> bytes:
    """16 bytes that stand for exactly this text: the smallest change of the text gives other bytes.

    Example:
        cache.forget(document=document_fingerprint("the text that was sent to the reranker"))
    """
    return document_fingerprints((text,))[0]


def document_fingerprints(texts: Iterable[str]) -> tuple[bytes, ...]:
    """``document_fingerprint`` of each text."""
    # Popular passages come up again and again. An exact hit with 50 documents that were not seen before takes 0.03 ms
    # more than with documents that are recognised (benchmarks/results/client_cost.md). A list and not a generator
    # inside tuple(), which would resume a frame for every text.
    return tuple([_cached_digest(text) if len(text) <= _LONGEST_CACHED else _digest(text) for text in texts])


_SETTLED = b"settled:"


def settled_mark(fingerprints: Iterable[bytes], *conditions: float) -> bytes:
    """16 bytes that stand for a request for these documents, in whatever order, under these conditions.

    Kept among the scores of a query, they say that such a request was answered before without asking about all of its
    documents.
    """
    numbers = struct.pack(f"<{len(conditions)}d", *conditions)
    size = FINGERPRINT_BYTES - len(_SETTLED)
    return _SETTLED + blake2b(b"".join(sorted(fingerprints)), digest_size=size, key=numbers).digest()


def is_settled_mark(fingerprint: bytes) -> bool:
    """Whether a record of an entry stands for a request, and not for a document."""
    return fingerprint.startswith(_SETTLED)


def _digest(text: str) -> bytes:
    try:
        encoded = text.encode()
    except UnicodeEncodeError:
        # Lone surrogates are legal in str, and text from broken crawls has them. They must not fail a request.
        encoded = text.encode("utf-8", "surrogatepass")
    return blake2b(encoded, digest_size=FINGERPRINT_BYTES).digest()


_LONGEST_CACHED = 2000
"""Characters. With the size below, the cache keeps at most 32 MB of ASCII text in memory."""

_cached_digest = lru_cache(maxsize=16_384)(_digest)


def normalised_query(query: str) -> str:
    """The query in Unicode form NFC, with each run of white space as one blank.

    Such queries ask the same, so they share an entry. Most tokenizers do not tell them apart; a score by one that does,
    as of bytes, is that of the spelling that came first. Case is kept, since models may read it.
    """
    return " ".join(unicodedata.normalize("NFC", query).split())


def entry_id(tenant: str, query: str) -> str:
    """22 characters that name the entry of a tenant's query, which is normalised first."""
    return _id_of(tenant, normalised_query(query))


def index_id(reranker: str, embedder: str, *more: str) -> str:
    """11 characters that name a pair of models whose scores and vectors belong together. 64 bits: pairs are few.

    ``more`` is what else keeps entries apart.
    """
    return _id_of(reranker, embedder, *more, size=8)


def tenant_tag(tenant: str) -> str:
    """16 hexadecimal digits that stand for a tenant, which may be any string: so a TAG query needs no escaping."""
    return blake2b(tenant.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def tenant_group(tenant: str) -> str:
    """One of 16 groups of tenants that are counted together, by a hexadecimal digit; "" for the empty tenant alone.

    What is kept by tenant and shared by processes has to be bounded, and there may be any number of tenants.
    """
    return tenant_tag(tenant)[0] if tenant else ""


def _id_of(*parts: str, size: int = FINGERPRINT_BYTES) -> str:
    encoded = [part.encode("utf-8", "surrogatepass") for part in parts]
    # The length in front of each part keeps ("ab", "c") and ("a", "bc") apart.
    joined = b"".join([len(part).to_bytes(8, "little") + part for part in encoded])
    return urlsafe_b64encode(blake2b(joined, digest_size=size).digest()).rstrip(b"=").decode()
