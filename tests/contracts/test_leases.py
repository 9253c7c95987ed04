"""Leases on every kind of Redis that users run."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from semcache.flow.steps import Lease
from semcache.redis.async_store import AsyncRedisStore
from semcache.redis.client.connection import RedisConnection
from semcache.redis.store import RedisStore
from tests.redis.conftest import LAYOUT, AwaitableStore, fingerprint, vector

A, B = fingerprint(1), fingerprint(2)


@pytest.fixture(params=["threads", "event loop"])
async def store(request: pytest.FixtureRequest, deployment_url: str, namespace: str) -> AsyncIterator[Any]:
    async with RedisConnection(deployment_url, timeout_s=10, connect_timeout_s=10) as connection:
        layout = {**LAYOUT, "namespace": namespace}
        if request.param == "threads":
            yield AwaitableStore(RedisStore(connection, **layout))
        else:
            yield AsyncRedisStore(connection, **layout)


def lease(token: bytes, *, tenant: str = "", query: str = "q", name: str = "n", life_s: float = 60.0) -> Lease:
    return Lease(tenant, query, name, token, life_s, life_s)


async def is_held(store: Any, **of: Any) -> bool:
    """Whether another claim of it fails."""
    tried = lease(b"trial", **of)
    await store.claim_lease(tried)
    if tried.is_ours:
        await store.end_leases([tried])
    return not tried.is_ours


@pytest.mark.parametrize("tenant", ["", "t"])
async def test_the_first_claim_counts_until_its_holder_stores_scores(store: Any, tenant: str) -> None:
    ours, theirs = lease(b"ours", tenant=tenant), lease(b"theirs", tenant=tenant)
    await store.find_near(tenant, [vector(1)], 4, 0.5, [()], ours)
    await store.find_near(tenant, [vector(1)], 4, 0.5, [()], theirs)
    assert (ours.is_ours, theirs.is_ours) == (True, False)
    assert await store.look_at_lease(theirs) == (None, False)
    await store.remember(tenant, "q", vector(1), [(A, 1.0)], lease=ours)
    assert await store.look_at_lease(theirs) == ({A: 1.0}, True)
    await store.claim_lease(theirs)
    assert theirs.is_ours


async def test_only_the_holder_ends_it(store: Any) -> None:
    ours, late = lease(b"ours"), lease(b"late")
    await store.claim_lease(ours)
    # As one whose lease has expired: another process has it now, and keeps it.
    await store.end_leases([late])
    assert await is_held(store)
    # What such a one has computed is true all the same. It is added to what there is, and replaces nothing.
    await store.remember("", "q", vector(1), [(A, 1.0)])
    await store.remember("", "q", vector(1), [(B, 2.0)], lease=late)
    assert await is_held(store)
    assert await store.read_exact("", "q") == {A: 1.0, B: 2.0}
    await store.end_leases([ours])
    assert not await is_held(store)


async def test_only_the_holder_renews_it(store: Any) -> None:
    ours, late = lease(b"ours"), lease(b"late")
    await store.claim_lease(ours)
    assert await store.renew_leases([late, ours, lease(b"none", query="r")]) == [False, True, False]
    assert await is_held(store)
    ours.life_s = 0.001
    assert await store.renew_leases([ours]) == [True]
    while await is_held(store):
        pass
    # It has lived as long as it should from then on, and is not there again for that.
    assert await store.renew_leases([ours]) == [False]
    assert not await is_held(store)


async def test_it_ends_by_itself(store: Any) -> None:
    dead = lease(b"dead", life_s=0.001)
    await store.claim_lease(dead)
    assert dead.is_ours
    while await is_held(store):
        pass


async def test_others_are_free(store: Any) -> None:
    await store.claim_lease(lease(b"ours"))
    for others in ({"tenant": "t"}, {"query": "r"}, {"name": "other documents"}):
        assert not await is_held(store, **others)
    assert await is_held(store, query=" q ")


async def test_a_claim_whose_reply_was_lost_is_known_by_its_token(store: Any) -> None:
    ours = lease(b"ours")
    await store.claim_lease(ours)
    await store.claim_lease(ours)
    assert not ours.is_ours
    assert await store.look_at_lease(ours) == (None, True)
    assert ours.is_ours
