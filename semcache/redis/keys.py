"""Names of everything semcache keeps in Redis."""

import re
from dataclasses import dataclass
from typing import Self

from semcache.entries.checks import VERSION
from semcache.entries.fingerprint import entry_id, index_id, tenant_tag
from semcache.errors import ConfigurationError

# No braces (they would move the hash tag), no glob characters (SCAN patterns), nothing to quote in a terminal.
_NAMESPACE = re.compile(r"[A-Za-z0-9._:-]{1,100}")

_SCOPE_CHARS = 11
_PINNED = "p"
"""Behind these in a scope whose tenants are pinned: entries that lie elsewhere could not be found there."""


@dataclass(frozen=True, slots=True)
class KeyFamily:
    """The keys that share an index: an indexed hash per entry, and a string beside it with its scores.

    ``vectors`` and ``scores`` are the beginnings of the two kinds of keys. ``is_pinned``: the hash tag of a key is the
    tenant's tag, and else the entry's id.
    """

    index: str
    vectors: bytes
    scores: bytes
    is_pinned: bool = False

    @property
    def unfilled(self) -> bytes:
        """The key that says that the index does not hold all entries yet, see refilling.py."""
        return f"{self.index}:r".encode()

    def scores_beside(self, vector_key: bytes) -> bytes:
        """The key of the scores of the entry whose hash has this key."""
        return self.scores + vector_key[len(self.vectors) :]

    def vector_beside(self, scores_key: bytes) -> bytes:
        """The key of the hash of the entry whose scores have this key."""
        return self.vectors + scores_key[len(self.scores) :]

    def tag_in(self, vector_key: bytes) -> bytes:
        """The tag of the tenant in the key of a hash; empty for the empty tenant."""
        tail = vector_key[len(self.vectors) :]
        return tail[1:].partition(b"}")[0] if self.is_pinned else tail.partition(b"{")[0].removesuffix(b":")


@dataclass(frozen=True, slots=True)
class KeySpace:
    """The names of one namespace and one pair of models.

    ============================  ======  ===================================================================
    ``{base}:v:{<id>}``           HASH    vector and cues of an entry without a tenant; written once, indexed
    ``{base}:s:{<id>}``           STRING  its scores
    ``{base}:tv:<tag>:{<id>}``    HASH    the same with a tenant, in an index of their own, filtered by the tag
    ``{base}:ts:<tag>:{<id>}``    STRING
    ``{base}:d:{<document>}``     STRING  the vector of a document, see document_vectors.py
    ``{base}:td:<tag>:{<doc.>}``  STRING  the same of a tenant
    ``{base}:e:{<scope>}:<n>``    HASH    how much better than others documents scored before, see earlier.py
    ``{base}:te:{<tag>}:<n>``     HASH    the same of a tenant
    ``{base}:n``                  HASH    how many of these vectors and differences were written lately
    ``{base}:q``                  HASH    what reuse was seen to cost, see quality_state.py
    ``{base}:z``, ``{base}:l``    both    what pruning was seen to cost, and sums it is learned from; pruning_state.py
    ``{base}:c:{<id>}:<name>``    STRING  token of the process that computes a request, see lease.py
    ``{base}:r``, ``{base}:rl``   STRING  since when the index is to be filled, and that it is; ``{base}:named:r``, too
    ``{base}:m``, ``{base}:ml``   STRING  how far entries were moved here, and who moves them; migration_state.py
    ``{base}:p<kind>:{<id>}``     any     written and removed at the start, see preflight.py
    ============================  ======  ===================================================================

    The braces round the id put both keys of an entry into one slot of a Redis Cluster. The tenant's tag stands in the
    key, so that a tenant can be forgotten for certain even when the index is missing.

    In a scope whose tenants are pinned, the braces of ``tv``, ``ts``, ``td`` and of a tenant's ``c`` are round the tag
    of the tenant instead, so that all of its keys are in one slot: ``{base}:tv:{<tag>}:<id>``.
    """

    base: str
    plain: KeyFamily
    named: KeyFamily

    @classmethod
    def of(
        cls,
        namespace: str,
        reranker: str,
        embedder: str,
        key_name: str = "",
        index: str = "",
        *,
        pins_tenants: bool = False,
    ) -> Self:
        """The names for these models, for entries signed with the key that ``key_name`` stands for, and for an index
        that is not the usual one, which ``index`` describes.

        Raises ConfigurationError for an impossible namespace.
        """
        # Entries of another format or another key could not be read. Here they do not even meet: while a new release or
        # a new key is rolled out, both are used, and neither removes the other's entries as damaged.
        more = [part for part in (key_name, index) if part]
        scope = index_id(reranker, embedder, VERSION.hex(), *more)
        return cls.at(namespace, scope + _PINNED if pins_tenants else scope)

    @classmethod
    def at(cls, namespace: str, scope: str) -> Self:
        """The names of a scope whose 11 characters are known, as ``scopes_of`` finds them; 12 if tenants are pinned."""
        base = f"{namespace_prefix(namespace)}{scope}"
        return cls(
            base,
            KeyFamily(base, f"{base}:v:".encode(), f"{base}:s:".encode()),
            KeyFamily(f"{base}:named", f"{base}:tv:".encode(), f"{base}:ts:".encode(), len(scope) > _SCOPE_CHARS),
        )

    def family(self, tenant: str) -> KeyFamily:
        """The keys that a tenant's entries belong to; the empty tenant has an index of its own."""
        return self.named if tenant else self.plain

    def tag(self, tenant: str) -> bytes:
        """The tag that stands for a tenant in its keys and hashes; empty for the empty tenant."""
        return tenant_tag(tenant).encode() if tenant else b""

    def start(self, tenant: str) -> bytes:
        """How the keys of all hashes of a tenant begin."""
        return self.family(tenant).vectors + (self.tail(self.tag(tenant).decode(), "").removesuffix(b"}"))

    def tail(self, tag: str, name: str) -> bytes:
        """The part of a key after its beginning, for the entry with this id, of the tenant with this tag."""
        if not tag:
            return f"{{{name}}}".encode()
        return (f"{{{tag}}}:{name}" if self.named.is_pinned else f"{tag}:{{{name}}}").encode()

    def pin(self, tenant: str) -> bytes | None:
        """A key in the slot that all entries of a tenant are in; None where they are spread over all slots."""
        return self.earlier(tenant) if tenant and self.named.is_pinned else None

    def scores(self, tenant: str, query: str) -> bytes:
        """The key of the scores of a query's entry."""
        return self.family(tenant).scores + self._tail(tenant, entry_id(tenant, query))

    def vector(self, tenant: str, query: str) -> bytes:
        """The key of the indexed hash of a query's entry."""
        return self.family(tenant).vectors + self._tail(tenant, entry_id(tenant, query))

    def lease(self, tenant: str, query: str, name: str) -> bytes:
        """The key of the lease of this name for a query; the id of the entry stands for the tenant, too."""
        tag = tenant_tag(tenant) if tenant and self.named.is_pinned else ""
        return b"%b:c:%b:%b" % (self.base.encode(), self.tail(tag, entry_id(tenant, query)), name.encode())

    def document(self, tenant: str, fingerprint: bytes) -> bytes:
        """The key of the vector of a document."""
        name = fingerprint.hex()
        is_pinned = tenant and self.named.is_pinned
        return self.documents(tenant) + (name if is_pinned else f"{{{name}}}").encode()

    def documents(self, tenant: str) -> bytes:
        """How the keys of the vectors of a tenant's documents begin."""
        return f"{self.base}:td:".encode() + self._of(tenant) if tenant else f"{self.base}:d:".encode()

    def all_documents(self, tenant: str | None) -> tuple[bytes, ...]:
        """How the keys of the vectors of documents begin, of one tenant or (None) of all."""
        if tenant is None:
            return f"{self.base}:d:".encode(), f"{self.base}:td:".encode()
        return (self.documents(tenant),)

    def earlier(self, tenant: str) -> bytes:
        """How the keys of what is known of a tenant's documents from earlier queries begin; a period follows."""
        if tenant:
            return f"{self.base}:te:{{{tenant_tag(tenant)}}}:".encode()
        return f"{self.base}:e:{{{self.base.rpartition(':')[2]}}}:".encode()

    def all_earlier(self, tenant: str | None) -> tuple[bytes, ...]:
        """How the keys of what is known of documents from earlier queries begin, of one tenant or (None) of all."""
        if tenant is None:
            return f"{self.base}:e:".encode(), f"{self.base}:te:".encode()
        return (self.earlier(tenant),)

    @property
    def document_counts(self) -> bytes:
        """The key of the numbers of vectors and of documents known from earlier queries that were written."""
        return f"{self.base}:n".encode()

    @property
    def migration(self) -> bytes:
        """The key that says how far the entries of a former embedder were moved here."""
        return f"{self.base}:m".encode()

    @property
    def migration_lease(self) -> bytes:
        """The key that names the process that moves them."""
        return f"{self.base}:ml".encode()

    def preflight(self, kind: str, name: str) -> bytes:
        """A key that no index covers; keys of one name share a slot."""
        return f"{self.base}:p{kind}:{{{name}}}".encode()

    def preflight_index(self, name: str) -> bytes:
        """An index that does not exist. Without braces: in a Redis Cluster the tag of the shard follows."""
        return f"{self.base}:pi:{name}".encode()

    def families(self, tenant: str | None) -> list[tuple[KeyFamily, bytes]]:
        """The families that hold entries of a tenant (None: of all tenants).

        Beside each stands what follows ``vectors`` and ``scores`` in all keys of that tenant.
        """
        if tenant is None:
            return [(self.plain, b""), (self.named, b"")]
        return [(self.family(tenant), self._of(tenant) if tenant else b"")]

    def pattern(self, tenant: str | None, kinds: str) -> bytes:
        """A pattern, as SCAN takes it, of how keys begin that are of these kinds and of one tenant or (None) of all.

        ``kinds`` are the letters in keys without a tenant: ``"sv"`` for entries. A few other keys fit, too.
        """
        if tenant is None:
            return f"{self.base}:*[{kinds}]:".encode()
        return (f"{self.base}:t[{kinds}]:*{tenant_tag(tenant)}" if tenant else f"{self.base}:[{kinds}]:").encode()

    def _of(self, tenant: str) -> bytes:
        tag = tenant_tag(tenant)
        return (f"{{{tag}}}:" if self.named.is_pinned else f"{tag}:").encode()

    def _tail(self, tenant: str, name: str) -> bytes:
        return self.tail(tenant_tag(tenant) if tenant else "", name)


def records_key(namespace: str, kind: str, name: str) -> bytes:
    """The key of the answers to probes under a name. ``kind`` keeps rerankers and embedders of one name apart."""
    # No index has such a name: their ids have 11 characters.
    return f"{namespace_prefix(namespace)}probes:{index_id(kind, name)}".encode()


def namespace_prefix(namespace: str) -> str:
    """How the names of all keys and indexes of a namespace begin. Raises ConfigurationError for an impossible one."""
    if not _NAMESPACE.fullmatch(namespace):
        raise ConfigurationError(
            f"namespace {namespace!r} cannot be used; take 1 to 100 letters, digits, or any of . _ : -"
        )
    return f"semcache:{namespace}:"


def entry_id_in(key: bytes) -> str:
    """The entry id that stands in a key."""
    return (key[key.rindex(b"{") + 1 : -1] if key.endswith(b"}") else key[key.rindex(b":") + 1 :]).decode()
