"""Forgets entries: of a query, of a document, of a tenant, or all."""

from collections.abc import Sequence

from semcache.entries import codec
from semcache.entries.fingerprint import FINGERPRINT_BYTES
from semcache.errors import InvalidInputError
from semcache.redis.client.failures import is_missing_index
from semcache.redis.client.scripts import script
from semcache.redis.operation import Operation, Setup, run_script, scan


def forget(setup: Setup, tenant: str | None, query: str | None, document: bytes | None) -> Operation[int]:
    if document is not None and len(document) != FINGERPRINT_BYTES:
        raise InvalidInputError(
            f"a document's fingerprint has {FINGERPRINT_BYTES} bytes, got {len(document)}; see document_fingerprint()"
        )
    if query is not None:
        return (yield from _forget_query(setup, tenant or "", query, document))
    if document is not None:
        return (yield from _forget_document(setup, tenant, document))
    if tenant is not None:
        return (yield from _forget_all(setup, tenant))
    raise InvalidInputError("nothing to forget: give a query, a document or a tenant, or call clear() to forget all")


def clear(setup: Setup) -> Operation[int]:
    # The indexes go first: taking a million vectors out of a graph one by one costs 1.4 ms each.
    for reply in (yield [("FT.DROPINDEX", family.index) for family, _ in setup.keys.families(None)]):
        if not is_missing_index(reply):
            setup.value(reply)
    setup.checked.clear()
    return (yield from _forget_all(setup, None))


def _forget_query(setup: Setup, tenant: str, query: str, document: bytes | None) -> Operation[int]:
    keys = (setup.keys.vector(tenant, query), setup.keys.scores(tenant, query))
    if document is not None:
        return (yield from _forget_in(setup, [keys], document))
    (gone,) = yield (("UNLINK", *keys),)
    return int(setup.value(gone) > 0)


def _forget_document(setup: Setup, tenant: str | None, document: bytes) -> Operation[int]:
    count = 0
    for family, tail in setup.keys.families(tenant):
        cursor: int | None = 0
        while cursor is not None:
            cursor, found = yield from scan(setup, family.scores + tail, cursor)
            entries = [(family.vector_beside(key), key) for key in found]
            count += yield from _forget_in(setup, entries, document)
    return count


def _forget_in(setup: Setup, entries: Sequence[tuple[bytes, bytes]], document: bytes) -> Operation[int]:
    if not entries:
        return 0
    erase = script("forget_document")
    calls = [erase.by_digest(keys, document, codec.RECORD_BYTES, len(codec.VERSION)) for keys in entries]
    return sum((yield from run_script(setup, "forget_document", calls)))


def _forget_all(setup: Setup, tenant: str | None) -> Operation[int]:
    """Scores are what counts as an entry; vectors go also where the scores are gone already."""
    count = 0
    for family, tail in setup.keys.families(tenant):
        count += yield from _unlink(setup, family.scores + tail)
        yield from _unlink(setup, family.vectors + tail)
    return count


def _unlink(setup: Setup, prefix: bytes) -> Operation[int]:
    count = 0
    cursor: int | None = 0
    while cursor is not None:
        cursor, found = yield from scan(setup, prefix, cursor)
        if found:
            (gone,) = yield (("UNLINK", *found),)
            count += setup.value(gone)
    return count
