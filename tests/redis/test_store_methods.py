"""The stores' methods are the operations of their names: with the same signature, and every argument in its place."""

import inspect
from collections.abc import Callable
from typing import Any, get_args

import pytest

from semcache.redis import document_vectors, earlier, ensure, inspection, invalidation, lease, reading, writing
from semcache.redis.async_store import AsyncRedisStore
from semcache.redis.client.connection import RedisConnection
from semcache.redis.operation import Operation
from semcache.redis.store import RedisStore

MODULES = (document_vectors, earlier, ensure, inspection, invalidation, lease, reading, writing)
METHODS = [name for name, method in vars(RedisStore).items() if inspect.isfunction(method) and name[0] != "_"]


def operation(name: str) -> tuple[object, Callable[..., Operation[Any]]]:
    """The module that an operation is defined in, and the operation."""
    for module in MODULES:
        found = vars(module).get(name)
        if found is not None and found.__module__ == module.__name__:
            return module, found
    raise AssertionError(f"there is no operation {name}")


def test_both_stores_have_the_same_methods() -> None:
    assert METHODS
    assert [name for name in vars(AsyncRedisStore) if name[0] != "_"] == METHODS


@pytest.mark.parametrize("name", METHODS)
def test_both_stores_say_the_same_of_a_method(name: str) -> None:
    assert getattr(RedisStore, name).__doc__ == getattr(AsyncRedisStore, name).__doc__


@pytest.mark.parametrize("store", [RedisStore, AsyncRedisStore])
@pytest.mark.parametrize("name", METHODS)
def test_a_method_has_the_signature_of_its_operation(name: str, store: type) -> None:
    ours, theirs = inspect.signature(getattr(store, name)), inspect.signature(operation(name)[1])
    assert list(ours.parameters.values())[1:] == list(theirs.parameters.values())[1:]
    *_, result = get_args(theirs.return_annotation)
    assert ours.return_annotation == (None if result is type(None) else result)


@pytest.mark.parametrize("name", METHODS)
async def test_a_method_passes_every_argument_on(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module, real = operation(name)
    signature = inspect.signature(real)
    _, *parameters = signature.parameters
    given = {parameter: object() for parameter in parameters}
    seen: list[dict[str, Any]] = []

    def recorded(*arguments: Any, **named: Any) -> Operation[None]:
        seen.append(signature.bind(*arguments, **named).arguments)
        return
        yield

    monkeypatch.setattr(module, name, recorded)
    options: dict[str, Any] = {"namespace": "n", "reranker": "r", "embedder": "e", "dims": 2}
    with RedisConnection("redis://localhost:1") as connection:
        getattr(RedisStore(connection, **options), name)(**given)
        await getattr(AsyncRedisStore(connection, **options), name)(**given)
    assert [{parameter: one[parameter] for parameter in given} for one in seen] == [given, given]
