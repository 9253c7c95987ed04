"""Forgets entries: of a query, of a document, of a tenant, or all."""

from collections.abc import Mapping, Sequence

from semcache.entries import codec
from semcache.entries.fingerprint import FINGERPRINT_BYTES
from semcache.errors import InvalidInputError
from semcache.redis.client.commands import Command, script
from semcache.redis.client.failures import is_missing_index
from semcache.redis.document_vectors import forget_document_vectors
from semcache.redis.earlier import forget_earlier
from semcache.redis.operation import Operation, StoreState, scan
from semcache.redis.rewriting import EntryKeys, rewrite


def forget(
    state: StoreState, tenant: str | None = None, *, query: str | None = None, document: bytes | None = None
) -> Operation[int]:
    """Remove one query's entry, one document's scores (by fingerprint), or all of a tenant; how many entries changed.

    With a query, no tenant means the empty one; with a document, it means all tenants. Query and document together
    remove that document from that entry. Entries left without scores are removed. Kept vectors of documents, and
    what their scores for earlier queries were, go, too, and are not counted. Looking for a document or a tenant goes
    through all keys of the server. While entries are migrated, it is done in both scopes, and an entry of both may
    count twice.

    Example:
        store.forget(query="how far is the moon")
        store.forget("acme", document=document_fingerprint("the text of the document"))
    """
    if document is not None and len(document) != FINGERPRINT_BYTES:
        raise InvalidInputError(
            f"a document's fingerprint has {FINGERPRINT_BYTES} bytes, got {len(document)}; see document_fingerprint()"
        )
    if document is None and query is None and tenant is None:
        raise InvalidInputError(
            "nothing to forget: give a query, a document or a tenant, or call clear() to forget all"
        )
    # The former scope first: what was moved from there meanwhile is then found in the present one (carry.lua).
    former = 0
    if state.source is not None:
        former = yield from _forget(state.source.state, tenant, query, document)
    return former + (yield from _forget(state, tenant, query, document))


def _forget(state: StoreState, tenant: str | None, query: str | None, document: bytes | None) -> Operation[int]:
    if query is not None:
        keys = EntryKeys(state.layout.keys.vector(tenant or "", query), state.layout.keys.scores(tenant or "", query))
        if document is not None:
            return (yield from _remove_document(state, [keys], document))
        (removed,) = yield (("UNLINK", *keys),)
        return int(state.value(removed) > 0)
    if document is not None:
        yield from forget_document_vectors(state, tenant, document)
        yield from forget_earlier(state, tenant, document)
        return (yield from _forget_document(state, tenant, document))
    return (yield from _forget_all(state, tenant))


def clear(state: StoreState) -> Operation[int]:
    """Remove all entries of this namespace and these models, of all tenants; how many there were.

    While entries are migrated, it is done in both scopes, as by ``forget``.
    """
    former = 0 if state.source is None else (yield from clear(state.source.state))
    # The indexes go first. Otherwise the server would take every vector out of the graph on its own, 0.66 ms each at
    # 100,000 entries (benchmarks/results/recall.md).
    for reply in (yield [("FT.DROPINDEX", family.index) for family, _ in state.layout.keys.families(None)]):
        if not is_missing_index(reply):
            state.value(reply)
    # Between the two lines another thread may have searched, missed the index and made it anew. Then this store
    # checks that index once more.
    state.checked_indexes.clear()
    return former + (yield from _forget_all(state, None))


def _forget_document(state: StoreState, tenant: str | None, document: bytes) -> Operation[int]:
    count = 0
    for family, tail in state.layout.keys.families(tenant):
        cursor: int | None = 0
        while cursor is not None:
            cursor, found = yield from scan(state, family.scores + tail, cursor)
            entries = [EntryKeys(family.vector_beside(key), key) for key in found]
            count += yield from _remove_document(state, entries, document)
    return count


def _remove_document(state: StoreState, entries: Sequence[EntryKeys], document: bytes) -> Operation[int]:
    """Remove a document from entries; how many entries had it."""

    def find(keys: EntryKeys) -> Command:
        return script("find_document").by_digest((keys.scores,), document, codec.MAX_BYTES)

    def without(known: Mapping[bytes, float]) -> Mapping[bytes, float] | None:
        kept = {other: score for other, score in known.items() if other != document}
        return kept if len(kept) < len(known) else None

    return (yield from rewrite(state, entries, find, without))


def _forget_all(state: StoreState, tenant: str | None) -> Operation[int]:
    yield from forget_document_vectors(state, tenant)
    yield from forget_earlier(state, tenant)
    count = 0
    for family, tail in state.layout.keys.families(tenant):
        # Scores are counted, since an entry without scores is a miss. Vectors are looked for as well and not derived
        # from the keys of the scores, which may have expired or been evicted first.
        count += yield from _unlink(state, family.scores + tail)
        yield from _unlink(state, family.vectors + tail)
    return count


def _unlink(state: StoreState, prefix: bytes) -> Operation[int]:
    count = 0
    cursor: int | None = 0
    while cursor is not None:
        cursor, found = yield from scan(state, prefix, cursor)
        if found:
            (removed,) = yield (("UNLINK", *found),)
            count += state.value(removed)
    return count
