"""An index that vanished from a server of many keys: created at once, filled at a pace, by one process or the next."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import redis

from semcache.events import CacheFailed, Event, IndexCreated, IndexRefilled
from semcache.migration.refiller import Refiller
from semcache.redis.keys import KeyFamily
from semcache.redis.operation import Operation, StoreState
from semcache.redis.refilling import unfilled_keys
from semcache.redis.store import RedisStore, keys_of
from tests.fakes import WordEmbedder
from tests.migration.conftest import DOCUMENTS, reranker_of

QUERIES = [f"question {number}" for number in range(20)]


@pytest.fixture
def _many_keys() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("semcache.redis.refilling.MANY_KEYS", 0)
        yield


@pytest.fixture
def client(redis_url: str) -> redis.Redis:
    return redis.Redis.from_url(redis_url)


def filled(redis_url: str, namespace: str, **options: Any) -> Any:
    """A reranker over a cache with an entry per query, with a tenant and without."""
    reranker = reranker_of(redis_url, namespace, WordEmbedder(), **options)
    for tenant in ("", "acme"):
        for query in QUERIES:
            reranker.cache.remember(query, DOCUMENTS, list(range(len(DOCUMENTS))), tenant=tenant)
    return reranker


def found(store: RedisStore, tenant: str = "") -> int:
    """How many queries are found by their vectors."""
    rows = WordEmbedder().embed(QUERIES)
    return sum(bool(store.find_neighbours(tenant, row, 1, 0.99)) for row in np.asarray(rows))


def taken_over(client: redis.Redis, lease: bytes) -> Any:
    """``unfilled_keys`` while which another process takes the lease."""

    def page(state: StoreState, family: KeyFamily, cursor: int) -> Operation[tuple[int | None, list[bytes]]]:
        client.set(lease, b"another")
        return (yield from unfilled_keys(state, family, cursor))

    return page


def drained(reranker: Any) -> bool:
    return bool(reranker.cache.backend.drain(5))


@pytest.mark.usefixtures("_many_keys")
class TestManyKeys:
    def test_an_index_that_was_dropped_is_filled_again(
        self, redis_url: str, namespace: str, client: redis.Redis
    ) -> None:
        events: list[Event] = []
        with filled(redis_url, namespace, observers=[events.append]) as reranker:
            assert drained(reranker)
            store, keys = reranker.cache.store, keys_of(reranker.cache.store)
            ends = client.pttl(keys.vector("", QUERIES[0]))
            for index in (keys.plain.index, keys.named.index):
                client.execute_command("FT.DROPINDEX", index)
            events.clear()
            found(store)
            found(store, "acme")
            assert drained(reranker)
            assert (found(store), found(store, "acme")) == (len(QUERIES), len(QUERIES))
            assert IndexCreated(keys.plain.index, is_scanned=False) in events
            assert IndexRefilled(keys.plain.index, len(QUERIES)) in events
            assert IndexRefilled(keys.named.index, len(QUERIES)) in events
            assert not client.exists(keys.plain.unfilled, keys.named.unfilled)
            assert client.pttl(keys.vector("", QUERIES[0])) == pytest.approx(ends, abs=5000)  # type: ignore[arg-type]

    def test_a_new_index_has_nothing_to_be_filled_with(self, redis_url: str, namespace: str) -> None:
        events: list[Event] = []
        with reranker_of(redis_url, namespace, WordEmbedder(), observers=[events.append]) as reranker:
            reranker.rerank(QUERIES[0], DOCUMENTS, 3)
            assert drained(reranker)
            assert IndexCreated(keys_of(reranker.cache.store).base, is_scanned=False) in events
            assert not [event for event in events if isinstance(event, CacheFailed)]

    def test_another_process_goes_on(self, redis_url: str, namespace: str, client: redis.Redis) -> None:
        with filled(redis_url, namespace) as reranker, pytest.MonkeyPatch.context() as patch:
            assert drained(reranker)
            family = keys_of(reranker.cache.store).plain
            client.execute_command("FT.DROPINDEX", family.index)
            # It dies right after it has created the index anew.
            patch.setattr(reranker.cache.backend, "fill", lambda *_: None)
            assert found(reranker.cache.store) == 0 and client.exists(family.unfilled)
        with reranker_of(redis_url, namespace, WordEmbedder()) as other:
            found(other.cache.store)
            assert drained(other)
            assert found(other.cache.store) == len(QUERIES)

    def test_one_that_is_closed_leaves_the_rest_to_another_at_once(
        self, redis_url: str, namespace: str, client: redis.Redis
    ) -> None:
        with filled(redis_url, namespace, migration={"server_share": 0.001}) as reranker:  # pauses for seconds
            family = keys_of(reranker.cache.store).plain
            client.execute_command("FT.DROPINDEX", family.index)
            found(reranker.cache.store)
        assert client.exists(family.unfilled)
        assert not client.exists(family.unfilled + b"l")
        with reranker_of(redis_url, namespace, WordEmbedder()) as other:
            found(other.cache.store)
            assert drained(other)
            assert found(other.cache.store) == len(QUERIES)

    def test_a_running_process_takes_the_place_of_one_that_died(
        self, redis_url: str, namespace: str, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with filled(redis_url, namespace) as reranker:
            assert drained(reranker)
            family = keys_of(reranker.cache.store).plain
            client.set(family.unfilled + b"l", b"1", px=60_000)  # by the one that died
            client.execute_command("FT.DROPINDEX", family.index)
            found(reranker.cache.store)
            assert drained(reranker)
            assert found(reranker.cache.store) == 0
            client.delete(family.unfilled + b"l")
            monkeypatch.setattr("semcache.redis.sizes._MAX_AGE_S", 0.0)  # as if a minute had passed
            found(reranker.cache.store)
            assert drained(reranker)
            assert found(reranker.cache.store) == len(QUERIES)
            assert not client.exists(family.unfilled, family.unfilled + b"l")

    def test_one_that_vanishes_again_meanwhile_is_filled_again(
        self, redis_url: str, namespace: str, client: redis.Redis
    ) -> None:
        from semcache.redis.refilling import begin_refill, end_refill, keep_refilling, leave_refill
        from semcache.redis.store import perform

        with filled(redis_url, namespace) as reranker:
            assert drained(reranker)
            store, family = reranker.cache.store, keys_of(reranker.cache.store).plain
            client.set(family.unfilled, b"1000.25")
            assert perform(store, begin_refill, family, b"one") == 1000.25
            assert perform(store, begin_refill, family, b"other") is None
            assert perform(store, keep_refilling, family, b"one")
            assert not perform(store, keep_refilling, family, b"other")
            client.set(family.unfilled, b"2000.5")  # created once more, by whichever process
            perform(store, end_refill, family, 1000.25)
            perform(store, leave_refill, family, b"other")
            assert perform(store, begin_refill, family, b"other") is None
            perform(store, leave_refill, family, b"one")
            assert perform(store, begin_refill, family, b"other") == 2000.5
            perform(store, end_refill, family, 2000.5)
            perform(store, leave_refill, family, b"other")
            assert perform(store, begin_refill, family, b"one") is None

    def test_one_that_stood_still_leaves_it_to_the_one_that_took_its_place(
        self, redis_url: str, namespace: str, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("semcache.migration.refiller._RENEWED_AFTER_S", -1)
        with filled(redis_url, namespace) as reranker:
            assert drained(reranker)
            family = keys_of(reranker.cache.store).plain
            replaced = Refiller(1, lambda event: None)
            monkeypatch.setattr("semcache.migration.refiller.unfilled_keys", taken_over(client, family.unfilled + b"l"))
            client.set(family.unfilled, b"1000.25")
            replaced.submit(reranker.cache.store, family.index)
            assert replaced.drain(5)
            assert client.get(family.unfilled + b"l") == b"another" and client.exists(family.unfilled)

    def test_an_index_of_a_scope_that_was_left_is_nothing_to_fill(self, redis_url: str, namespace: str) -> None:
        with filled(redis_url, namespace) as reranker:
            refiller = Refiller(1, lambda event: None)
            refiller.submit(reranker.cache.store, "semcache:another")
            assert refiller.drain(5)  # a thread that ends by an error fails the test

    def test_one_at_a_time(self, redis_url: str, namespace: str, client: redis.Redis) -> None:
        with filled(redis_url, namespace) as reranker:
            assert drained(reranker)
            family = keys_of(reranker.cache.store).plain
            client.set(family.unfilled + b"l", b"1", px=60_000)
            client.execute_command("FT.DROPINDEX", family.index)
            found(reranker.cache.store)
            assert drained(reranker)
            assert found(reranker.cache.store) == 0 and client.exists(family.unfilled)

    def test_an_entry_that_expired_does_not_come_back(
        self, redis_url: str, namespace: str, client: redis.Redis
    ) -> None:
        from semcache.redis.refilling import refill
        from semcache.redis.store import perform

        with filled(redis_url, namespace) as reranker:
            assert drained(reranker)
            store, keys = reranker.cache.store, keys_of(reranker.cache.store)
            gone = keys.vector("", QUERIES[0])
            client.delete(gone)
            client.set(keys.vector("", "of another type"), b"x")
            asked = [gone, keys.vector("", QUERIES[1]), keys.vector("", "of another type")]
            assert perform(store, refill, asked, 9e9) == 1
            assert perform(store, refill, asked, 0.0) == 0  # those that were written later are in the index
            assert not client.exists(gone)


def test_a_server_of_few_keys_goes_through_them_itself(
    redis_url: str, namespace: str, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Other tests may have left more keys on their server than that.
    monkeypatch.setattr("semcache.redis.refilling.MANY_KEYS", 10**9)
    events: list[Event] = []
    with filled(redis_url, namespace, observers=[events.append]) as reranker:
        assert drained(reranker)
        family = keys_of(reranker.cache.store).plain
        client.execute_command("FT.DROPINDEX", family.index)
        events.clear()
        found(reranker.cache.store)
        assert IndexCreated(family.index) in events and not client.exists(family.unfilled)
