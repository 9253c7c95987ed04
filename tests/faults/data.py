"""Faults of what is stored: keys, indexes, values."""

import contextlib
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import redis

from semcache.entries.fields import unpack
from tests.faults.fault import Fault
from tests.faults.world import World

_DAMAGE = ("EntryDamaged",)
_SEEN = ("EntryDamaged", "CacheFailed", "CacheUnavailable", "IndexCreated")
_FOREIGN = b"of another program"
_HUGE = 20_000_000
"""Bytes; as many as 40 entries of the largest size."""


def _drop_indexes(world: World) -> None:
    for name in world.indexes():
        world.admin.execute_command("FT.DROPINDEX", name)


def _drop_all(world: World) -> None:
    for name in world.indexes():
        world.admin.execute_command("FT.DROPINDEX", name, "DD")


def _replace_indexes(kind_of: Callable[[bool], str], dims: int) -> Callable[[World], None]:
    """Indexes of the same names over other vectors; ``kind_of`` says of which type, for semcache and for others."""

    def strike(world: World) -> None:
        for name in world.indexes():
            is_own = name.startswith(b"semcache:")
            prefix = _after(b"prefixes", _after(b"index_definition", world.admin.execute_command("FT.INFO", name)))[0]
            field = "embedding" if is_own else "prompt_vector"
            vector = ("HNSW", 6, "TYPE", kind_of(is_own), "DIM", dims, "DISTANCE_METRIC", "COSINE")
            world.admin.execute_command("FT.DROPINDEX", name)
            world.admin.execute_command(
                *("FT.CREATE", name, "ON", "HASH", "PREFIX", 1, prefix, "SCHEMA", field, "VECTOR", *vector)
            )

    return strike


def _after(name: bytes, described: Any) -> Any:
    """The value of a name in a mapping, which is a flat list in version 2 of the protocol."""
    return described[name] if isinstance(described, dict) else described[described.index(name) + 1]


def _other_types(world: World) -> None:
    """Every key holds a value of another type."""
    with world.admin.pipeline() as pipeline:
        for key in world.keys("string"):
            pipeline.delete(key)
            pipeline.rpush(key, _FOREIGN)
        for key in world.keys("hash"):
            pipeline.delete(key)
            pipeline.set(key, _FOREIGN)
        pipeline.execute()


def _remove_other_types(world: World) -> None:
    for key in world.keys("list"):
        world.admin.delete(key)
    for key in world.keys("string"):
        with contextlib.suppress(redis.ResponseError):  # the cache has replaced it meanwhile
            if world.admin.get(key) == _FOREIGN:
                world.admin.delete(key)


def _each_value(change: Callable[[bytes], bytes]) -> Callable[[World], None]:
    """Change every value as it stands; its time to live stays."""

    def strike(world: World) -> None:
        for key in world.keys("string"):
            value = world.admin.get(key)
            if value:
                world.admin.set(key, change(value), keepttl=True)
        for key in world.keys("hash"):
            # None where the entry has been removed since its key was listed, as damaged ones are.
            if fields := world.admin.hgetall(key):
                world.admin.hset(key, mapping={name: change(value) for name, value in fields.items() if value})

    return strike


def _flips(count: int) -> Callable[[bytes], bytes]:
    chance = random.Random(count)

    def flipped(value: bytes) -> bytes:
        changed = bytearray(value)
        for _ in range(count):
            changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
        return bytes(changed)

    return flipped


def _with_nan(value: bytes) -> bytes:
    """The last number of four bytes is NaN."""
    return value[:-4] + np.float32(np.nan).tobytes() if len(value) >= 64 else value


def _vector_keys(world: World) -> Iterator[bytes]:
    return (key for key in world.keys("hash") if b":v:" in key)


def _newer_version(world: World) -> None:
    """Entries as a later release may write them: the version is another one, the rest cannot be read."""
    for key in world.keys("string"):
        if b":s:" in key and (value := world.admin.get(key)):
            world.admin.set(key, bytes((value[0] + 1,)) + value[1:], keepttl=True)
    for key in _vector_keys(world):
        if check := world.admin.hget(key, "check"):
            world.admin.hset(key, "check", bytes((check[0] + 1,)) + check[1:])


def _created_in_future(world: World) -> None:
    """Entries that are right in all else, as a server or a program writes them whose clock is two hours ahead."""
    for key in _vector_keys(world):
        fields = unpack(key, world.admin.hgetall(key), b"")
        changed = replace(fields, created_at=time.time() + 7200).pack(key)
        world.admin.hset(key, items=changed)


def _created_yesterday(world: World) -> None:
    for key in _vector_keys(world):
        world.admin.hset(key, "created_at", "yesterday")


def _huge(world: World) -> None:
    """Three values of 20 MB."""
    for key in [key for key in world.keys("string") if b":s:" in key][:3]:
        world.admin.append(key, bytes(_HUGE))
    for key in world.keys("hash")[:3]:
        if b":v:" not in key:
            world.admin.hset(key, "response", bytes(_HUGE))


def data_faults() -> Iterator[Fault]:
    """All of them."""
    strikes = "data"
    yield Fault("index dropped", strikes, _drop_indexes)
    yield Fault("index dropped with its entries", strikes, _drop_all)
    other_dims = _replace_indexes(lambda is_own: "FLOAT32", 48)
    # It is empty, and told of within a minute.
    yield Fault("index replaced by one of other dims", strikes, other_dims, _drop_indexes)
    # 128 bytes of semcache's 64 numbers, and 256 of the others': searches find something.
    other_numbers = _replace_indexes(lambda is_own: "FLOAT32" if is_own else "FLOAT64", 32)
    yield Fault("index replaced by one that reads other numbers", strikes, other_numbers, _drop_indexes)
    yield Fault("all data flushed", strikes, lambda world: world.admin.flushall())
    yield Fault("values of other types", strikes, _other_types, _remove_other_types, tells=_SEEN)
    yield Fault("three bits flipped in every value", strikes, _each_value(_flips(3)), tells=_DAMAGE)
    yield Fault("every value cut in half", strikes, _each_value(lambda value: value[: len(value) // 2]), tells=_DAMAGE)
    yield Fault("NaN in every value", strikes, _each_value(_with_nan), tells=_DAMAGE)
    yield Fault("three values of 20 MB", strikes, _huge)
    yield Fault("entries of a newer version", strikes, _newer_version, tells=_DAMAGE, own=True)
    yield Fault("entries created in the future", strikes, _created_in_future, own=True)
    yield Fault("entries created yesterday, in words", strikes, _created_yesterday, own=True)
