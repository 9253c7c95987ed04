"""The fields of the hash that an entry is found by, with the check over them."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite

from semcache.entries.checks import VERSION, Damaged, check_of, verify

_CHECK = b"check"


@dataclass(frozen=True, slots=True)
class Fields:
    """The fields of the hash. ``vector`` is as the index holds it; ``tenant`` is the tenant's tag, or empty.

    ``created_at`` is in seconds since the epoch. ``query`` is None unless ``store_queries`` is on.
    """

    vector: bytes
    tenant: bytes
    created_at: float
    cues: bytes = b""
    query: str | None = None

    def pack(self, owner: bytes, key: bytes = b"") -> list[bytes]:
        """Names and values in turn, for the hash under the key ``owner``; see ``checks`` for ``key``."""
        values = {b"embedding": self.vector, b"created_at": repr(self.created_at).encode()}
        if self.tenant:
            values[b"tenant"] = self.tenant
        if self.cues:
            values[b"cues"] = self.cues
        if self.query is not None:
            values[b"query"] = self.query.encode("utf-8", "surrogatepass")
        values[_CHECK] = VERSION + check_of(owner, _content(values, self.tenant), key)
        return [part for field in values.items() for part in field]


def unpack(owner: bytes, values: Mapping[bytes, bytes], tenant: bytes, key: bytes = b"") -> Fields:
    """The fields with these values, of a tenant with this tag. Raises Damaged."""
    check = values.get(_CHECK, b"")
    if check[: len(VERSION)] != VERSION:
        raise Damaged("version")
    verify(check[len(VERSION) :], owner, _content(values, tenant), key)
    query = values.get(b"query")
    try:
        created_at = float(values[b"created_at"])
        text = None if query is None else query.decode("utf-8", "surrogatepass")
        vector = values[b"embedding"]
    # Only where another program made the check.
    except (KeyError, ValueError) as error:
        raise Damaged("layout") from error
    if not isfinite(created_at):
        raise Damaged("number")
    return Fields(vector, tenant, created_at, values.get(b"cues", b""), text)


def _content(values: Mapping[bytes, bytes], tenant: bytes) -> bytes:
    vector, created_at = values.get(b"embedding", b""), values.get(b"created_at", b"")
    cues, query = values.get(b"cues", b""), values.get(b"query", b"")
    # The lengths keep (b"ab", b"c") and (b"a", b"bc") apart.
    lengths = len(tenant), len(vector), len(created_at), len(cues)
    return b"%d %d %d %d %b%b%b%b%b" % (*lengths, tenant, vector, created_at, cues, query)
