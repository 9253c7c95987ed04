"""Sentinels tell where the primary is: a failover under traffic fails no request, and what was known is known again."""

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from time import monotonic
from uuid import uuid4

import pytest
import redis
import redis.asyncio.sentinel
import redis.sentinel

from semcache.cache import RedisSemanticCache
from semcache.errors import ConfigurationError, StoreError, StoreUnavailableError, TransientStoreError
from semcache.events import CacheRecovered, PrimaryChanged
from semcache.redis.async_store import AsyncRedisStore
from semcache.redis.client.connection import RedisConnection
from semcache.redis.client.lent_client import address_of_client
from semcache.redis.store import RedisStore
from semcache.runtime.budget import TimeBudget
from tests.fakes import WordEmbedder
from tests.redis.cluster.surgery import Traffic
from tests.redis.conftest import LAYOUT, fingerprint, vector
from tests.redis.sentinels import GONE, PASSWORD, SENTINEL_PASSWORD, SERVICE, Trio, free_ports, trio
from tests.scripted import PATIENCE_S

BACK_S = 10
"""The longest that known queries may be unknown after a failover, from its beginning on."""


@pytest.fixture(scope="module")
def group() -> Iterator[Trio]:
    """The tests of this module let it fail over, one after the other."""
    with trio() as group:
        yield group


@pytest.fixture
def traffic(group: Trio) -> Iterator[Traffic]:
    """Requests under way during a failover; afterwards none has failed and no answer was wrong."""
    group.until_settled()
    with Traffic(group.url).running() as traffic:
        traffic.warm()
        assert traffic.share_known() == 1
        group.until_replicated()
        yield traffic
    assert traffic.errors == []
    assert traffic.wrong == []
    assert len(traffic.served) > 200


def seconds_until_writes(traffic: Traffic) -> float:
    """How long it takes until what was asked for the first time is known the second time."""
    began, query = monotonic(), uuid4().hex
    while traffic.reranker.rerank(query, ["a", "b"]).status != "exact":
        assert monotonic() < began + PATIENCE_S
    return monotonic() - began


def changes(traffic: Traffic) -> list[PrimaryChanged]:
    return [event for event in traffic.events if isinstance(event, PrimaryChanged)]


def test_a_primary_that_hangs_is_left_for_the_one_that_is_chosen(group: Trio, traffic: Traffic) -> None:
    old = group.primary
    with group.frozen(old):
        assert traffic.wait_until_known(1) < BACK_S
        new = group.until_primary_is_not(old)
        assert seconds_until_writes(traffic) < BACK_S
    assert changes(traffic)[0] == PrimaryChanged(f"127.0.0.1:{old}", f"127.0.0.1:{new}")


def test_a_primary_that_is_made_a_replica_is_left_with_the_first_write(group: Trio, traffic: Traffic) -> None:
    group.fail_over()
    assert traffic.share_known() == 1, "it is read as before"
    assert seconds_until_writes(traffic) < BACK_S
    assert len(changes(traffic)) == 1


async def test_event_loops_follow_too(group: Trio) -> None:
    group.until_settled()
    events: list[object] = []
    async with RedisConnection(
        group.url, timeout_s=5, connect_timeout_s=5, retry_after_s=0.01, on_event=events.append
    ) as connection:
        assert await connection.aexecute([("SET", "loop", "1")]) == [b"OK"]
        old = group.primary
        group.fail_over()
        replies = [await connection.aexecute([("SET", "loop", "2")]) for _ in range(2)]
        assert replies[-1] == [b"OK"]
        ((role, *_),) = await connection.aexecute([("ROLE",)])
        assert role == b"master"
        assert group.primary != old
    assert PrimaryChanged in map(type, events)


async def test_replicas_answer_look_ups_where_that_is_wanted(group: Trio, namespace: str) -> None:
    group.until_settled()
    (replica,) = set(group.servers) - {group.primary}
    async with RedisConnection(group.url, timeout_s=5, connect_timeout_s=5, read_from_replicas=True) as connection:
        layout = {**LAYOUT, "namespace": namespace, "ttl_jitter": 0}
        store, awaited = RedisStore(connection, **layout), AsyncRedisStore(connection, **layout)
        for number in range(10):
            store.remember("", f"q{number}", vector(number), [(fingerprint(number), 1.0)])
        group.until_replicated()
        with group.client(replica) as client:
            client.config_resetstat()
            for number in range(10):
                for found in (store.read_exact("", f"q{number}"), await awaited.read_exact("", f"q{number}")):
                    assert found is not None
                    assert dict(found) == {fingerprint(number): 1.0}
                assert len(store.find_neighbours("", vector(number), 1, 0.99)) == 1
                assert len(await awaited.find_neighbours("", vector(number), 1, 0.99)) == 1
            asked = client.info("commandstats")
        assert asked["cmdstat_getrange"]["calls"] >= 10
        assert asked["cmdstat_FT.SEARCH"]["calls"] >= 5
        assert "cmdstat_evalsha" not in asked
        with group.frozen(replica):
            for number in range(10):
                with TimeBudget(0.6):
                    assert store.read_exact("", f"q{number}") is not None
        assert connection.nodes == (connection.node,)


async def test_no_connection_to_a_primary_that_hangs_is_used_again(group: Trio) -> None:
    group.until_settled()
    recovered = Event()

    def hear(event: object) -> None:
        if isinstance(event, CacheRecovered):
            recovered.set()

    ping, waiting = [("PING",)], [("BLPOP", "nothing", "0.2")]
    async with RedisConnection(
        group.url, timeout_s=1, connect_timeout_s=1, retry_after_s=0.05, on_event=hear
    ) as connection:
        with ThreadPoolExecutor(3) as threads:  # three connections of threads, and two of this loop
            list(threads.map(connection.execute, [waiting] * 3))
        blocked = asyncio.create_task(connection.aexecute(waiting))
        for _ in range(3):
            await connection.aexecute(ping)
        await blocked
        old = group.primary
        with group.frozen(old):
            group.until_primary_is_not(old)
            with pytest.raises(StoreUnavailableError):
                connection.execute(ping)
            assert recovered.wait(PATIENCE_S)
            for _ in range(3):
                assert connection.execute(ping) == await connection.aexecute(ping) == [b"PONG"]


def one_away(group: Trio) -> str:
    """A url whose first Sentinel does not answer."""
    (port,) = free_ports(1)
    return group.url.replace("@", f"@127.0.0.1:{port},")


def test_a_sentinel_that_is_away_is_passed_over(group: Trio) -> None:
    with RedisConnection(one_away(group), timeout_s=5, connect_timeout_s=5) as connection:
        assert connection.execute([("PING",)]) == [b"PONG"]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (("/cache", "/cash"), StoreError, r"watches no service 'cash', but cache, gone; name one of them behind"),
        (("/cache", f"/{GONE}"), StoreUnavailableError, r"the primary of 'gone' is away; it is looked for again until"),
        ((SENTINEL_PASSWORD, "secret"), StoreError, "refused the user name or password"),
        (("sentinel_password", "password"), StoreError, "Authentication required.*sentinel_password="),
        ((f":{PASSWORD}@", ":secret@"), StoreError, "refused the user name or password"),
    ],
)
async def test_what_is_wrong_is_named(
    group: Trio, change: tuple[str, str], error: type[StoreError], message: str
) -> None:
    url = group.url.replace(*change)
    with (
        RedisConnection(url, timeout_s=5, connect_timeout_s=5) as connection,
        pytest.raises(error, match=message) as caught,
    ):
        connection.execute([("PING",)])
    async with RedisConnection(url, timeout_s=5, connect_timeout_s=5) as connection:
        with pytest.raises(error, match=message) as awaited:
            await connection.aexecute([("PING",)])
    for one in (caught.value, awaited.value):
        assert not isinstance(one, TransientStoreError) or error is StoreUnavailableError
        assert "secret" not in str(one)


def test_sentinels_that_are_all_away_are_an_outage() -> None:
    one, other = free_ports(2)
    url = f"redis+sentinel://:secret@127.0.0.1:{one},127.0.0.1:{other}/cache"
    with (
        RedisConnection(url, timeout_s=5, connect_timeout_s=5) as connection,
        pytest.raises(StoreUnavailableError, match=f"127.0.0.1:{one},127.0.0.1:{other}/cache cannot be reached") as it,
    ):
        connection.execute([("PING",)])
    assert "secret" not in str(it.value)


@pytest.mark.parametrize("of", [redis.sentinel.Sentinel, redis.asyncio.sentinel.Sentinel])
def test_a_client_of_a_service_is_followed(group: Trio, of: Callable[..., redis.sentinel.Sentinel]) -> None:
    sentinel = of(group.hosts, sentinel_kwargs={"password": SENTINEL_PASSWORD})
    lent = sentinel.master_for(SERVICE, password=PASSWORD)  # type: ignore[no-untyped-call]
    address = address_of_client(lent)
    assert address.where == f"Redis at {group.url.partition('?')[0].replace(f':{PASSWORD}@', '')}"
    with RedisConnection(address, timeout_s=5, connect_timeout_s=5) as connection:
        assert connection.execute([("ROLE",)])[0][0] == b"master"
    with pytest.raises(ConfigurationError, match=r"written to the primary; pass sentinel\.master_for"):
        address_of_client(sentinel.slave_for(SERVICE))  # type: ignore[no-untyped-call]


# The last one: nothing brings the server back.
def test_a_primary_that_dies_is_an_outage_until_another_is_chosen(group: Trio, traffic: Traffic) -> None:
    os.kill(group.pids[group.primary], signal.SIGKILL)
    assert traffic.wait_until_known(1) < BACK_S
    assert seconds_until_writes(traffic) < BACK_S
    with RedisSemanticCache(group.url, WordEmbedder()) as cache:
        assert "redis+sentinel://" in repr(cache)
