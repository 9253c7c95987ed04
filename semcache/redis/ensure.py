"""Makes sure that the index an operation needs is there and fits."""

from semcache.errors import StoreError
from semcache.events import IndexCreated
from semcache.redis.failures import is_missing_index, translated
from semcache.redis.index import check_index, schema_of
from semcache.redis.keys import KeyFamily
from semcache.redis.steps import CreateIndex, Operation, Setup


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
    (info,) = yield (("FT.INFO", family.index),)
    if is_missing_index(info):
        return False
    check_index(family.index, setup.attributes, setup.value(info))
    return True
