"""Makes sure that the index that an operation needs exists and fits."""

import re

from semcache.errors import StoreError, TransientStoreError
from semcache.events import IndexCreated
from semcache.redis.client.commands import CreateIndex
from semcache.redis.client.failures import is_denial, is_missing_index, is_unexplained
from semcache.redis.index import check_index, schema_of
from semcache.redis.keys import KeyFamily
from semcache.redis.operation import Operation, StoreState
from semcache.redis.preflight import preflight
from semcache.redis.refilling import mark_unfilled, since

_NAMES = re.compile("[0-9a-f]{32}")
"""Names that every trial makes anew."""


def check(state: StoreState) -> Operation[None]:
    """Try whether Redis can be used, and create the index, or check that the existing one fits. Two round trips.

    Raises StoreError for a Redis that cannot be used, TransientStoreError for one that cannot be used at the moment,
    and IndexMismatchError for an index that does not fit.
    """
    found = yield from _tried(state)
    if found is None:
        return
    # A bit that flipped on the way makes an unknown error of a known one. What stays says the same again.
    again = yield from _tried(state)
    if again is not None:
        if _NAMES.sub("", str(again)) == _NAMES.sub("", str(found)):
            raise again
        raise TransientStoreError(f"{again}; a moment before: {found}; something between changes replies") from again


def _tried(state: StoreState) -> Operation[StoreError | None]:
    """An error of the server that is not known; None if Redis can be used. Raises what is known."""
    try:
        # First, so that no index is left behind on a server that is refused.
        yield from preflight(state)
        yield from ensure_index(state, "")
    except StoreError as error:
        if not is_unexplained(error):
            raise
        return error
    return None


def ensure_index(state: StoreState, tenant: str) -> Operation[None]:
    """Check the tenant's index, or create it. Costs a round trip only until it has been seen once.

    Raises IndexMismatchError when an index of that name exists and does not fit.
    """
    family = state.layout.keys.family(tenant)
    if family.index in state.checked_indexes or not state.creates_indexes:
        return
    if not (yield from _exists(state, family)):
        # Where the server would go through very many keys, those of this index are put in at a pace.
        skips_scan = yield from mark_unfilled(state, family)
        error = yield CreateIndex(schema_of(family, tenant != "", state.layout.attributes), skips_scan=skips_scan)
        # Another process may have created the index first, with other settings. So look again, whatever the answer.
        if not (yield from _exists(state, family)):
            state.value(error)
            raise TransientStoreError(
                f"{state.where}: index {family.index} vanished just after it was created; "
                "find out which program drops indexes there"
            )
        # Tasks that found it missing at the same time share its creation; the first one tells of it.
        if error is None and family.index not in state.checked_indexes:
            state.on_event(IndexCreated(family.index, is_scanned=not skips_scan))
    state.checked_indexes.add(family.index)


def _exists(state: StoreState, family: KeyFamily) -> Operation[bool]:
    """Whether the index exists. Raises IndexMismatchError when it does not fit.

    A search finds out at little cost, unless the index is empty. FT.INFO holds up the server for longer, the more
    entries there are, and is only asked where the search found nothing or failed.
    """
    # Only an index of the same dims and type of vectors answers this without an error.
    vector = state.layout.vectors.example()
    query = "*=>[KNN 1 @embedding $vector]"
    found, unfilled = yield (
        ("FT.SEARCH", family.index, query, "NOCONTENT", "PARAMS", 2, "vector", vector, "DIALECT", 2),
        ("GET", family.unfilled),
    )
    if is_missing_index(found):
        return False
    if is_denial(found):  # FT.INFO may be denied as well, and is not what is missing most
        state.value(found)
    if isinstance(found, Exception) or not isinstance(found, list) or found[:1] in ([], [0]):
        (info,) = yield (("FT.INFO", family.index),)
        check_index(family.index, state.layout.attributes, state.value(info))
        state.value(found)  # the index fits, so the error was about something else
    if since(unfilled) is None or state.filling is None:
        state.unfilled_indexes.discard(family.index)
    else:
        state.unfilled_indexes.add(family.index)
        state.filling.start(family.index)
    return True
