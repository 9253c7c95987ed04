"""Makes sure that the index an operation needs is there and fits."""

import numpy as np

from semcache.errors import StoreError
from semcache.events import IndexCreated
from semcache.redis.client.failures import is_missing_index, translated
from semcache.redis.client.scripts import Command
from semcache.redis.index import check_index, schema_of, total
from semcache.redis.keys import KeyFamily
from semcache.redis.operation import CreateIndex, Operation, Setup


def ensure_index(setup: Setup, tenant: str) -> Operation[None]:
    """Check the tenant's index, or create it. Costs a round trip only until it has been seen once.

    Raises IndexMismatchError when one of that name does not fit.
    """
    family = setup.keys.family(tenant)
    if family.index in setup.checked:
        return
    if not (yield from _is_there(setup, family)):
        yield from _create(setup, family, is_named=tenant != "")
    setup.checked.add(family.index)


def _create(setup: Setup, family: KeyFamily, is_named: bool) -> Operation[None]:
    error = yield CreateIndex(schema_of(family, is_named, setup.attributes))
    # Another process may have been faster, with other settings: only a look tells.
    if not (yield from _is_there(setup, family)):
        if error is not None:
            raise translated(error, setup.where) from error
        raise StoreError(f"{setup.where}: index {family.index} vanished at once; look for whoever drops indexes there")
    if error is None:
        setup.on_event(IndexCreated(family.index))


def _is_there(setup: Setup, family: KeyFamily) -> Operation[bool]:
    """Whether the index is there; an error when it does not fit.

    A search tells, unless the index is empty. FT.INFO holds up the server in proportion to the entries, and is
    only asked where that search found nothing or failed.
    """
    (found,) = yield (_probe(setup, family),)
    if is_missing_index(found):
        return False
    if isinstance(found, Exception) or total(found) == 0:
        (info,) = yield (("FT.INFO", family.index),)
        check_index(family.index, setup.attributes, setup.value(info))
        setup.value(found)
    return True


def _probe(setup: Setup, family: KeyFamily) -> Command:
    """A search that only an index of our dims and type of vectors carries out."""
    vector = setup.vectors.pack(np.ones(setup.vectors.dims, dtype=np.float32))
    query = "*=>[KNN 1 @embedding $vector]"
    return ("FT.SEARCH", family.index, query, "NOCONTENT", "PARAMS", 2, "vector", vector, "DIALECT", 2)
