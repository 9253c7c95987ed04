"""Looks over what is stored: how many entries, which, and some of them whole."""

from collections.abc import Sequence
from typing import Any

from semcache.entries import codec
from semcache.entries.entry import StoredEntry
from semcache.errors import InvalidInputError
from semcache.redis.client.failures import is_missing_index
from semcache.redis.index import total
from semcache.redis.keys import KeyFamily, entry_id_in
from semcache.redis.operation import Operation, Setup, scan


def count(setup: Setup) -> Operation[int]:
    # FT.INFO would hold up the server for longer.
    indexes = [family.index for family, _ in setup.keys.families(None)]
    found = yield [("FT.SEARCH", index, "*", "NOCONTENT", "LIMIT", 0, 0, "DIALECT", 2) for index in indexes]
    return sum(total(setup.value(reply)) for reply in found if not is_missing_index(reply))


def entry_ids(setup: Setup, tenant: str | None) -> Operation[list[str]]:
    names: set[str] = set()  # SCAN may give a key twice
    for family, tail in setup.keys.families(tenant):
        cursor: int | None = 0
        while cursor is not None:
            cursor, found = yield from scan(setup, family.scores + tail, cursor)
            names.update(map(entry_id_in, found))
    return sorted(names)


def sample(setup: Setup, n: int, tenant: str | None) -> Operation[list[StoredEntry]]:
    if n < 1:
        raise InvalidInputError(f"a sample has at least 1 entry, got {n}")
    entries: dict[str, StoredEntry] = {}
    for family, tail in setup.keys.families(tenant):
        cursor: int | None = 0
        while cursor is not None and len(entries) < n:
            cursor, found = yield from scan(setup, family.scores + tail, cursor)
            for entry in (yield from _whole(setup, family, found[: n - len(entries)])):
                entries[entry.id] = entry
    return list(entries.values())


def _whole(setup: Setup, family: KeyFamily, keys: Sequence[bytes]) -> Operation[list[StoredEntry]]:
    if not keys:
        return []
    commands = [command for key in keys for command in (("GET", key), ("HGETALL", family.vector_beside(key)))]
    replies = [setup.value(reply) for reply in (yield commands)]
    pairs = zip(keys, replies[::2], replies[1::2], strict=True)
    entries = (_entry(setup, key, blob, fields) for key, blob, fields in pairs)
    return [entry for entry in entries if entry is not None]


def _entry(setup: Setup, key: bytes, blob: bytes | None, fields: Any) -> StoredEntry | None:
    scores = codec.unpack(blob)
    held = fields if isinstance(fields, dict) else dict(zip(fields[::2], fields[1::2], strict=True))
    vector = setup.vectors.unpack(held.get(b"embedding"))
    if scores is None or vector is None:
        return None
    query = held.get(b"query")
    return StoredEntry(
        entry_id_in(key),
        vector,
        scores,
        float(held[b"created_at"]),
        None if query is None else query.decode("utf-8", "surrogatepass"),
        held.get(b"cues", b""),
    )
