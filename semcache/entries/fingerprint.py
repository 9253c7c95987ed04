"""Names of queries, documents and indexes: short, stable, and never equal for different things."""

import unicodedata
from base64 import urlsafe_b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b

FINGERPRINT_BYTES = 16
"""128 bits: two of a billion documents collide with probability 1.5e-21 (birthday bound n^2 / 2^129)."""


@dataclass(frozen=True, slots=True)
class Scope:
    """The wall between entries: nothing is ever read across it."""

    namespace: str
    tenant: str
    reranker: str
    embedder: str


def document_fingerprint(text: str) -> bytes:
    """16 bytes that name exactly this text; the smallest change of the text gives another name."""
    return document_fingerprints((text,))[0]


def document_fingerprints(texts: Iterable[str]) -> tuple[bytes, ...]:
    """``document_fingerprint`` of each text."""
    # Popular passages come up again and again. To hash 50 takes 0.09 ms more than to recognise them
    # (benchmarks/results/client_cost.md).
    return tuple([_remembered(text) if len(text) <= _LONGEST_REMEMBERED else _digest(text) for text in texts])


_LONGEST_REMEMBERED = 2000
"""Characters; with the size below at most 32 MB of ASCII text stay in memory."""


def _digest(text: str) -> bytes:
    try:
        encoded = text.encode()
    except UnicodeEncodeError:  # lone surrogates are legal in str (broken crawls have them) and must not fail a request
        encoded = text.encode("utf-8", "surrogatepass")
    return blake2b(encoded, digest_size=FINGERPRINT_BYTES).digest()


_remembered = lru_cache(maxsize=16_384)(_digest)


def normalised_query(query: str) -> str:
    """NFC, with runs of white space as one blank: what no tokenizer tells apart. Case is kept, since models read it."""
    return " ".join(unicodedata.normalize("NFC", query).split())


def entry_id(tenant: str, query: str) -> str:
    """22 characters that name the entry of a query of a tenant."""
    return _short(tenant, normalised_query(query))


def index_id(reranker: str, embedder: str) -> str:
    """11 characters (64 bits: there are few) that name a pair of models whose scores and vectors belong together."""
    return _short(reranker, embedder, size=8)


def tenant_tag(tenant: str) -> str:
    """16 hexadecimal digits that stand for any tenant string, so that nothing in a TAG query needs escaping."""
    return blake2b(tenant.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def _short(*parts: str, size: int = FINGERPRINT_BYTES) -> str:
    encoded = [part.encode("utf-8", "surrogatepass") for part in parts]
    # The length in front keeps ("ab", "c") and ("a", "bc") apart.
    named = b"".join([len(part).to_bytes(8, "little") + part for part in encoded])
    return urlsafe_b64encode(blake2b(named, digest_size=size).digest()).rstrip(b"=").decode()
