"""How many bytes of Redis' memory the entries of a cache take, computed from what Redis and its search module allocate.

The formula follows the sources of Redis 8.2 and RediSearch 2.10 with its VectorSimilarity; each constant says where it
comes from. It agrees with ``used_memory`` to within 10 % (tests/redis/test_memory.py, benchmarks/results/size.md).
"""

from dataclasses import dataclass
from math import exp

from semcache.entries import codec
from semcache.entries.checks import check_bytes
from semcache.errors import InvalidInputError
from semcache.redis.keys import KeySpace
from semcache.redis.layout import VECTOR_TYPES, packaged_schema, vector_attributes

_QUERY = "a query, whose length does not change that of its keys"
_TENANT = "a tenant"
_CREATED_AT = len("1764311234.5678902")
_SIGNED = b"signed"

SLOTS = 16_384
"""Hash slots of a Redis Cluster."""

_BLOCK = 1024
"""Vectors for which VectorSimilarity allocates memory at a time (DEFAULT_BLOCK_SIZE), two pieces: vectors and links."""
_HEADER = 8
"""Bytes that VectorSimilarity writes before each allocation (VecSimAllocationHeader)."""
_LINK_HEAD = 72
"""Of a vector's lowest level: its top level, a mutex, and a pointer and a number per level (ElementGraphData)."""
_UPPER_HEAD = 16
"""Of each of its upper levels (LevelData)."""
_INCOMING = 64
"""The list of incoming links that every level of a vector has (vecsim_stl::vector), without links in it."""
_ONE_WAY = 30.0
"""Bytes of incoming links per vector: only those that the other side does not have are kept there, so it depends on the
vectors. Measured for M 4 to 64, with real and random vectors: 10 to 47."""
_METADATA = 9 + 2
"""Label and flags (ElementMetaData, packed), and the mark that a search leaves (tag_t)."""
_LABEL = 32 + 1.1 * 8
"""A node of the table from the number of a document to that of its vector (std::unordered_map), and its bucket."""

_DOCUMENT = 80 + 8 + 48
"""RSDocumentMetadata of RediSearch's table of documents; the number of a document, and a leaf and a share of the inner
nodes of the trie that finds it by its key."""
_FIRST_DOCUMENTS, _MOST_DOCUMENTS = 1000, 1_000_000
"""Buckets of 16 bytes that the table of documents has at first (INITIAL_DOC_TABLE_SIZE) and at last
(MAXDOCTABLESIZE). It grows by half with the number of documents ever written."""
_TAG, _TAG_DOCUMENT = 155, 2.0
"""Bytes that the index keeps for a tenant, and for each of its entries: an inverted index of document numbers."""

_KEY_HEAD, _KEY_EXPIRES = 16 + 1 + 3 + 1, 8
"""Of a key: the object, a byte for the length of the header of the name, that header, the byte behind the name; and the
time at which it expires (kvobj of Redis 8.2)."""
_BUCKET, _CHAINED = 8, 16
"""A bucket of a table of keys; an entry, which is allocated for keys that share a bucket (dictEntryNoValue)."""
_SLOT = 2048 + 64
"""In a Redis Cluster each slot that has keys has two tables of its own, one with a histogram of sizes (kvstore.c)."""

_TEACHING = 75.0
"""Bytes of a document in the hashes of what documents scored for earlier queries (docs/redis.md)."""
_FIXED = 1_230_000
"""A server without entries, with the search module and an empty index; scripts, connections, statistics of a scope."""
_FIXED_CLUSTER = 1_900_000
"""Bytes that a node of a cluster takes beyond that: tables of slots and of nodes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """The contents that a cache is to hold. Raises InvalidInputError for numbers that cannot be.

    ``scores`` are per entry. ``documents`` are the different ones of which something is kept beyond the scores, and
    ``has_document_vectors`` says that this is their vectors too (``prune.document_vectors: embed``). ``tenants`` is the
    number of named tenants, among which the entries are shared out; 0: all entries are without. ``cue_bytes`` is what a
    guard keeps of a query, 3 bytes for each word that matters. ``query_bytes`` is more than 0 with
    ``cache.store_queries`` alone. ``listpack_value`` is ``hash-max-listpack-value`` of the server: a hash without
    a longer field lies in one piece. Why this default: that of the embedded server; a server's own is 64.
    """

    entries: int
    dims: int
    scores: int = 50
    vector_type: str = packaged_schema()["fields"][1]["attrs"]["datatype"]
    m: int = packaged_schema()["fields"][1]["attrs"]["m"]
    tenants: int = 0
    documents: int = 0
    has_document_vectors: bool = False
    namespace: str = "default"
    expires: bool = True
    is_signed: bool = False
    cue_bytes: int = 15
    query_bytes: int = 0
    listpack_value: int = 4096

    def __post_init__(self) -> None:
        for name, least, most in (
            ("entries", 1, 10**12),
            ("dims", 1, 32_768),
            ("scores", 1, codec.MAX_SCORES),
            ("m", 2, 512),
            ("tenants", 0, 10**9),
            ("documents", 0, 10**12),
        ):
            number = getattr(self, name)
            if not least <= number <= most:
                raise InvalidInputError(f"{name} is {number}; take a number from {least} to {most}")
        vector_attributes(datatype=self.vector_type)  # refuses an unknown type

    @property
    def vector_bytes(self) -> int:
        """Bytes of one vector."""
        return self.dims * int(VECTOR_TYPES[self.vector_type][-1])


@dataclass(frozen=True, slots=True)
class Footprint:
    """Bytes that Redis' ``used_memory`` has for the contents of one server, by part.

    ``hashes`` and ``strings`` are the two keys of the entries, as ``MEMORY USAGE`` counts them. ``key_tables`` are
    Redis' own tables of keys, ``graph`` is the HNSW index with its copy of the vectors, ``document_table`` what the
    search module knows of the hashes, ``documents`` what is kept beyond the scores, ``fixed`` what does not grow.
    """

    entries: int
    hashes: float
    strings: float
    key_tables: float
    graph: float
    document_table: float
    documents: float
    fixed: float

    @property
    def total(self) -> float:
        """All parts together."""
        return self.per_entry * self.entries + self.documents + self.fixed

    @property
    def per_entry(self) -> float:
        """Bytes per entry: all that grows with their number."""
        return (self.hashes + self.strings + self.key_tables + self.graph + self.document_table) / self.entries


def footprint(contents: Contents, slots: int = 0) -> Footprint:
    """Bytes that these contents take in one server; in a shard of a Redis Cluster that serves so many ``slots``.

    Example:
        >>> round(footprint(Contents(entries=1_000_000, dims=384)).per_entry, -2)
        3700.0
    """
    entries = contents.entries
    key_bytes = len(_keys(contents)[0])
    return Footprint(
        entries=entries,
        hashes=entries * (_key(contents) + _hash_value(contents)),
        strings=entries * (_key(contents) + scores_bytes(contents)),
        key_tables=_key_tables(contents, slots),
        graph=_graph(contents),
        document_table=_document_table(contents, key_bytes),
        documents=_documents(contents),
        fixed=_FIXED + (_FIXED_CLUSTER if slots else 0),
    )


def size_class(size: float) -> int:
    """The bytes that jemalloc sets aside for so many.

    As Redis builds it (``--with-lg-quantum=3``): multiples of 8 up to 64 and of 16 up to 128, then four sizes for each
    doubling (jemalloc(3), "size classes").
    """
    wanted = max(8, -int(-size // 1))
    if wanted <= 64:
        return -(-wanted // 8) * 8
    step = 1 << max(4, (wanted - 1).bit_length() - 3)
    return -(-wanted // step) * step


def scores_bytes(contents: Contents) -> int:
    """The value of the string of an entry whose scores were written at once."""
    block = codec.bytes_of(contents.scores, _SIGNED if contents.is_signed else b"")
    return size_class(_sds(block))


def grown_scores_bytes(contents: Contents) -> int:
    """The most that the value of a string takes whose scores were added bit by bit.

    APPEND sets twice the bytes aside (sdsMakeRoomFor), until the blocks are made one.
    """
    return size_class(2 * _sds(codec.bytes_of(contents.scores, _SIGNED if contents.is_signed else b"")))


def _keys(contents: Contents) -> tuple[bytes, bytes]:
    keys = KeySpace.of(contents.namespace, "reranker", "embedder")
    tenant = _TENANT if contents.tenants else ""
    return keys.vector(tenant, _QUERY), keys.scores(tenant, _QUERY)


def _key(contents: Contents) -> int:
    return size_class(_KEY_HEAD + len(_keys(contents)[0]) + (_KEY_EXPIRES if contents.expires else 0))


def _sds(length: int) -> int:
    """A string of Redis: header, content and a byte behind it (sds.h)."""
    return length + 1 + (1 if length < 32 else 3 if length < 256 else 5)


def _hash_value(contents: Contents) -> int:
    check = 1 + check_bytes(_SIGNED if contents.is_signed else b"")
    fields = {"embedding": contents.vector_bytes, "created_at": _CREATED_AT, "check": check}
    if contents.tenants:
        fields["tenant"] = len(KeySpace.of("n", "r", "e").tag(_TENANT))
    if contents.cue_bytes:
        fields["cues"] = contents.cue_bytes
    if contents.query_bytes:
        fields["query"] = contents.query_bytes
    if max(fields.values()) <= contents.listpack_value:
        # A header of 6 bytes, the entries, and an end mark (listpack.c).
        return size_class(7 + sum(_listed(len(name)) + _listed(length) for name, length in fields.items()))
    # A table (dict.h), and for each field an entry of 24 bytes, its name (mstr.h) and its value.
    table = size_class(56) + size_class(8 * _buckets(len(fields)))
    return table + sum(24 + size_class(len(name) + 2) + size_class(_sds(length)) for name, length in fields.items())


def _listed(length: int) -> int:
    """An entry of a listpack: its length in 1, 2 or 5 bytes, the content, and the way back to its beginning."""
    head = 1 if length < 64 else 2 if length < 4096 else 5
    return head + length + (1 if head + length < 128 else 2 if head + length < 16_384 else 3)


def _buckets(keys: float) -> int:
    """Buckets of a table of Redis with so many keys, which doubles when it is full (dict.c)."""
    return 1 << max(2, (-int(-keys // 1) - 1).bit_length())


def _key_table(keys: float) -> float:
    buckets = _buckets(keys)
    # Of keys that fall into buckets at random; the last one of a bucket lies in the bucket itself.
    occupied = buckets * (1 - exp(-keys / buckets))
    return _BUCKET * buckets + _CHAINED * (keys - occupied)


def _key_tables(contents: Contents, slots: int) -> float:
    keys, tables = 2 * contents.entries, 2 if contents.expires else 1
    if not slots:
        return tables * _key_table(keys)
    # Both keys of an entry lie in one slot, which hashing chooses at random.
    used = slots * (1 - exp(-contents.entries / slots))
    return used * (_SLOT + tables * _key_table(keys / used))


def _graph(contents: Contents) -> float:
    blocks = -(-contents.entries // _BLOCK)
    links = _LINK_HEAD + 4 * 2 * contents.m  # the lowest level has twice M links of 4 bytes
    in_blocks = sum(size_class(_BLOCK * size + _HEADER) for size in (contents.vector_bytes, links))
    upper = size_class(_UPPER_HEAD + 4 * contents.m + _HEADER) + _INCOMING
    # A vector is in the next level with probability 1 / M.
    per_entry = _INCOMING + _ONE_WAY + _LABEL + upper / (contents.m - 1)
    return blocks * (in_blocks + _BLOCK * _METADATA) + contents.entries * per_entry


def _document_table(contents: Contents, key_bytes: int) -> float:
    per_entry = _DOCUMENT + size_class(_sds(key_bytes)) + (_TAG_DOCUMENT if contents.tenants else 0)
    buckets = _FIRST_DOCUMENTS
    while buckets < min(contents.entries + 1, _MOST_DOCUMENTS):
        buckets = min(_MOST_DOCUMENTS, buckets + 1 + min(buckets // 2, 2**20))
    return contents.entries * per_entry + 16 * buckets + _TAG * contents.tenants


def _documents(contents: Contents) -> float:
    per_document = _TEACHING
    if contents.has_document_vectors:
        key = _KEY_HEAD + len(KeySpace.of(contents.namespace, "r", "e").document(_TENANT, bytes(16))) + _KEY_EXPIRES
        # Vectors of documents are float16, whatever those of queries are.
        per_document += size_class(key) + size_class(_sds(2 * contents.dims)) + 4 * _BUCKET
    return contents.documents * per_document
