"""Forgets entries: of a query, of a document, of a tenant, or all."""

from collections.abc import Mapping, Sequence

from semcache.entries import codec
from semcache.entries.fingerprint import FINGERPRINT_BYTES
from semcache.errors import InvalidInputError
from semcache.redis.client.commands import Command, script
from semcache.redis.client.failures import is_missing_index
from semcache.redis.keys import entry_id_in
from semcache.redis.operation import INDEXED_AT_ONCE, PAGE, Operation, StoreState, in_groups, scan
from semcache.redis.rewriting import EntryKeys, rewrite

_AT_ONCE = 100
"""Hashes that are removed in one round trip, where the index is gone: another process may have made it anew by then."""


def forget(
    state: StoreState, tenant: str | None = None, *, query: str | None = None, document: bytes | None = None
) -> Operation[int]:
    """Remove one query's entry, one document's scores (by fingerprint), or all of a tenant; how many entries changed.

    With a query, no tenant means the empty one; with a document, it means all tenants. Query and document together
    remove that document from that entry. Entries left without scores are removed, and where a server that is full has
    no room for those without the document, they are, too. Kept vectors of documents, and what their scores for earlier
    queries were, go, too, and are not counted. Looking for a document or a tenant goes through all keys of the server.
    While entries are migrated, it is done in both scopes, and an entry of both may count twice.

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
        return (yield from _forget_document(state, tenant, document))
    return (yield from _forget_all(state, tenant, INDEXED_AT_ONCE))


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
    return former + (yield from _forget_all(state, None, _AT_ONCE))


def _forget_document(state: StoreState, tenant: str | None, document: bytes) -> Operation[int]:
    keys = state.layout.keys
    families, vectors, earlier = keys.families(tenant), keys.all_documents(tenant), keys.all_earlier(tenant)
    name = document.hex()
    count = 0
    cursor: int | None = 0
    while cursor is not None:
        cursor, found = yield from scan(state, keys.pattern(tenant, "sde"), cursor)
        for family, tail in families:
            scores = [key for key in found if key.startswith(family.scores + tail)]
            entries = [EntryKeys(family.vector_beside(key), key) for key in scores]
            count += yield from _remove_document(state, entries, document)
        commands: list[Command] = [("HDEL", key, document) for key in found if key.startswith(earlier)]
        commands += [("UNLINK", key) for key in found if key.startswith(vectors) and entry_id_in(key) == name]
        for reply in (yield commands) if commands else ():
            state.value(reply)
    return count


def _remove_document(state: StoreState, entries: Sequence[EntryKeys], document: bytes) -> Operation[int]:
    """Remove a document from entries; how many entries had it."""

    def find(keys: EntryKeys) -> Command:
        return script("find_document").by_digest((keys.scores,), document, codec.MAX_BYTES)

    def without(known: Mapping[bytes, float]) -> Mapping[bytes, float] | None:
        kept = {other: score for other, score in known.items() if other != document}
        return kept if len(kept) < len(known) else None

    return (yield from rewrite(state, entries, find, without))


def _forget_all(state: StoreState, tenant: str | None, at_once: int) -> Operation[int]:
    """Remove all keys of a tenant, or (None) of all, so many hashes at a time; how many entries had scores."""
    keys = state.layout.keys
    # Hashes are looked for as well and not derived from the keys of the scores, which may have expired or been evicted
    # first; nor is anything left out because a number says that there is none: that may have been evicted, too.
    scores = tuple(family.scores + tail for family, tail in keys.families(tenant))
    hashes = tuple(family.vectors + tail for family, tail in keys.families(tenant))
    beside = (*keys.all_documents(tenant), *keys.all_earlier(tenant))
    count = 0
    cursor: int | None = 0
    while cursor is not None:
        cursor, found = yield from scan(state, keys.pattern(tenant, "svde"), cursor)
        # Scores are counted, since an entry without scores is a miss.
        count += yield from _unlink(state, [key for key in found if key.startswith(scores)], PAGE)
        yield from _unlink(state, [key for key in found if key.startswith(hashes)], at_once)
        yield from _unlink(state, [key for key in found if key.startswith(beside)], PAGE)
    return count


def _unlink(state: StoreState, keys: Sequence[bytes], at_once: int) -> Operation[int]:
    count = 0
    for group in in_groups(keys, at_once):
        (removed,) = yield (("UNLINK", *group),)
        count += state.value(removed)
    return count
