"""How a store lays out its entries in Redis: names of keys, vectors as bytes, times to live, fields of the index."""

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from types import MappingProxyType
from typing import Any, Literal, Required, Self, TypedDict

import numpy as np

from semcache.entries import codec
from semcache.entries.checks import Damaged, derived_key, key_name
from semcache.errors import ConfigurationError, InvalidInputError
from semcache.flow.requests import check_ttl
from semcache.protocols import FloatArray
from semcache.redis.keys import KeySpace
from semcache.settings import Cache as CacheKnobs
from semcache.settings.yaml_files import load_yaml, schema_path

VECTOR_TYPES = {"float16": "<f2", "float32": "<f4"}
"""Types of vectors that semcache writes, as numpy names their bytes; Redis reads little-endian."""

_UNIT_TOLERANCE = 0.02
"""Of the squared length of a vector. Rounding to float16 changes it by 0.001 at most, and models that say that their
vectors have length 1 keep to that within 0.00001; what is further off was not meant to have length 1."""

_DEFAULTS = CacheKnobs()
"""The defaults stand in the settings, each with its reason."""


@dataclass(frozen=True, slots=True)
class VectorFormat:
    """Unit vectors of ``dims`` float32 here, of numpy type ``dtype`` in Redis."""

    dims: int
    dtype: str

    def pack(self, vector: FloatArray) -> bytes | None:
        """The bytes to store or to search by; None for a vector that is not finite or not of length 1.

        One zero or huge vector in the index is enough to hide others from searches. Raises InvalidInputError unless the
        shape is ``(dims,)``.
        """
        if vector.shape != (self.dims,):
            raise InvalidInputError(f"a vector of shape {vector.shape} does not fit this index of {self.dims} dims")
        exact = vector.astype(np.float64)  # in which no square of a float32 overflows
        return vector.astype(self.dtype).tobytes() if abs(exact @ exact - 1) < _UNIT_TOLERANCE else None  # not for NaN

    def unpack(self, blob: bytes) -> FloatArray:
        """The stored vector as float32 of length 1. Raises Damaged."""
        if len(blob) != self.dims * int(self.dtype[-1]):
            raise Damaged("layout")
        vector = np.frombuffer(blob, dtype=self.dtype).astype(np.float32)
        square = float(vector @ vector)
        if not abs(square - 1) < _UNIT_TOLERANCE:  # also NaN
            raise Damaged("number")
        # Rounding to float16 changed the length a little, and a cosine is only a dot product at length 1.
        return vector / np.float32(math.sqrt(square))

    def example(self) -> bytes:
        """The bytes of some vector."""
        vector = np.zeros(self.dims, dtype=self.dtype)
        vector[0] = 1
        return vector.tobytes()


@dataclass(frozen=True, slots=True)
class Lifetime:
    """How long entries live: ``ttl_s`` seconds (None: until evicted), give or take up to the share ``jitter``.

    Taking a vector out of the graph costs the server about as much as inserting it, 0.66 ms in an index of 100,000
    entries (benchmarks/results/recall.md). Entries written together must not expire together.
    """

    ttl_s: float | None
    jitter: float

    def __post_init__(self) -> None:
        check_ttl(self.ttl_s)
        if not 0 <= self.jitter < 1:
            raise InvalidInputError(f"ttl_jitter must be at least 0 and below 1, got {self.jitter}")

    def draw_ms(self, ttl_s: float | None, rng: random.Random) -> int:
        """Milliseconds that one new entry is to live; 0 means that it does not expire.

        ``ttl_s`` in seconds replaces the usual one. Raises ConfigurationError for an impossible one.
        """
        check_ttl(ttl_s)
        ttl = self.ttl_s if ttl_s is None else ttl_s
        return 0 if ttl is None else max(1, round(1000 * ttl * rng.uniform(1 - self.jitter, 1 + self.jitter)))


Pin = Literal["none", "tenant"]


class LayoutOptions(TypedDict, total=False):
    """How a store lays out its entries. See ``Layout.of`` for the defaults.

    ``scope``, the 11 characters in keys that follow from the names of reranker and embedder, stands in their place.
    ``listwise``: new scores replace those of an entry instead of joining them. ``ttl_s``: seconds that an entry lives,
    None until it is evicted, give or take up to the share ``ttl_jitter``. ``max_scores``: per entry. ``store_queries``:
    keep the text of queries. ``signing_key``: a secret; entries that were not written with it are not used. ``pin``:
    "tenant" keeps all keys of a tenant in one slot of a Redis Cluster, "none" spreads them. The last four replace
    values of ``index.yaml``: ``vector_type`` is "float16" or "float32",
    ``m`` the number of links per vector in the graph, ``ef_construction`` and ``ef_runtime`` how many candidates an
    insertion and a search keep. Without ``ef_runtime`` a search keeps more, the more entries there are. A changed
    ``vector_type`` needs another namespace, ``clear()`` first, or ``own_scope``: an index that differs from the usual
    one in the first three of these then has a scope of its own.
    """

    namespace: Required[str]
    reranker: Required[str]
    embedder: Required[str]
    dims: Required[int]
    scope: str
    listwise: bool
    ttl_s: float | None
    ttl_jitter: float
    max_scores: int
    store_queries: bool
    signing_key: str | None
    pin: Pin
    vector_type: str
    m: int
    ef_construction: int
    ef_runtime: int
    own_scope: bool


def options_of(knobs: CacheKnobs, *, reranker: str, embedder: str, dims: int, listwise: bool = False) -> LayoutOptions:
    """How the settings of a cache lay out the entries of a reranker and an embedder."""
    return {
        "namespace": knobs.namespace,
        "reranker": reranker,
        "embedder": embedder,
        "dims": dims,
        "listwise": listwise,
        "ttl_s": knobs.ttl_s,
        "ttl_jitter": knobs.ttl_jitter,
        "max_scores": knobs.max_scores,
        "store_queries": knobs.store_queries,
        "vector_type": knobs.vector_type,
        "m": knobs.m,
        "ef_construction": knobs.ef_construction,
        "own_scope": True,
        "signing_key": None if knobs.signing_key is None else knobs.signing_key.get_secret_value(),
        "pin": knobs.pin,
    }


@dataclass(frozen=True, slots=True)
class Layout:
    """Everything about a store that never changes, so that any thread may read it.

    ``attributes`` are those of the index's vector field, as RedisVL names them. ``ef_runtime`` is how many candidates a
    search of the graph keeps; None lets the number of entries decide. ``max_scores`` is per entry. ``signing_key`` is
    empty where entries are only checked for damage.
    """

    keys: KeySpace
    attributes: Mapping[str, Any]
    vectors: VectorFormat
    lifetime: Lifetime
    listwise: bool
    max_scores: int
    store_queries: bool
    ef_runtime: int | None
    signing_key: bytes = field(default=b"", repr=False)

    @classmethod
    def of(
        cls,
        *,
        namespace: str,
        reranker: str,
        embedder: str,
        dims: int,
        scope: str = "",
        listwise: bool = False,
        ttl_s: float | None = _DEFAULTS.ttl_s,
        ttl_jitter: float = _DEFAULTS.ttl_jitter,
        max_scores: int = _DEFAULTS.max_scores,
        store_queries: bool = _DEFAULTS.store_queries,
        signing_key: str | None = None,
        pin: Pin = _DEFAULTS.pin,
        vector_type: str | None = None,
        m: int | None = None,
        ef_construction: int | None = None,
        ef_runtime: int | None = None,
        own_scope: bool = False,
    ) -> Self:
        """Check the options of a store, which ``LayoutOptions`` explains. Raises ConfigurationError."""
        if not 1 <= max_scores <= codec.MAX_SCORES:
            raise ConfigurationError(f"max_scores must be 1 to {codec.MAX_SCORES}, got {max_scores}")
        key = derived_key(signing_key)
        attributes = vector_attributes(
            dims=dims, datatype=vector_type, m=m, ef_construction=ef_construction, ef_runtime=ef_runtime
        )
        return cls(
            # Orders have keys of their own: an order must never be merged with scores that another process remembers
            # under the same name, because it took the reranker for one of the other kind.
            keys=KeySpace.at(namespace, scope)
            if scope
            else KeySpace.of(
                namespace,
                f"{reranker} (order)" if listwise else reranker,
                embedder,
                key_name(key),
                _unusual(attributes) if own_scope else "",
                pins_tenants=pin == "tenant",
            ),
            attributes=MappingProxyType(attributes),
            vectors=VectorFormat(dims, VECTOR_TYPES[attributes["datatype"]]),
            lifetime=Lifetime(ttl_s, ttl_jitter),
            listwise=listwise,
            max_scores=max_scores,
            store_queries=store_queries,
            ef_runtime=ef_runtime,
            signing_key=key,
        )


@cache
def packaged_schema() -> Mapping[str, Any]:
    """The content of ``index.yaml``, where each value has its reason. It is shared: read it only."""
    return load_yaml(schema_path("index.yaml"))


def _unusual(attributes: Mapping[str, Any]) -> str:
    """The attributes of an index that are not as usual and cannot be changed afterwards; empty for the usual index."""
    usual = vector_attributes()
    names = ("datatype", "m", "ef_construction")
    return " ".join(f"{name} {attributes[name]}" for name in names if attributes[name] != usual[name])


def vector_attributes(**changes: int | str | None) -> dict[str, Any]:
    """Attributes of the vector field: those of ``index.yaml`` with the changes that are not None.

    Raises ConfigurationError when semcache cannot write vectors of that datatype.
    """
    field = next(field for field in packaged_schema()["fields"] if field["type"] == "vector")
    attributes = {**field["attrs"], **{name: value for name, value in changes.items() if value is not None}}
    if attributes["datatype"] not in VECTOR_TYPES:
        raise ConfigurationError(
            f"vector type {attributes['datatype']!r} cannot be written; take one of {', '.join(VECTOR_TYPES)}"
        )
    return attributes
