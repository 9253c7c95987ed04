"""Entries that were changed behind the store's back are misses and events, and are whole again after the next write."""

import struct
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import redis

from semcache.entries import codec
from semcache.entries.checks import derived_key
from semcache.entries.entry import NewScores
from semcache.entries.fingerprint import entry_id
from semcache.errors import StoreUnavailableError
from semcache.events import CacheFailed, EntriesEstimated, EntryDamaged, Event, NeighboursSkipped, VectorRefused
from semcache.flow.drive import drive
from semcache.redis.client.commands import Reconnect
from semcache.redis.client.connection import RedisConnection
from semcache.redis.operation import StoreState
from semcache.redis.reading import find_neighbours, read_exact, read_vector
from semcache.redis.store import RedisStore
from semcache.redis.writing import remember
from tests.redis.conftest import DIMS, LAYOUT, MakeStore, fingerprint, near, vector

A, B, C = fingerprint(1), fingerprint(2), fingerprint(3)
SECRET = "a secret of sixteen characters"
Change = Callable[[bytes], bytes]


def noting(events: list[Any]) -> Callable[[Event], None]:
    """An observer that leaves out what every minute's first search tells."""
    return lambda event: None if isinstance(event, EntriesEstimated) else events.append(event)


def with_score(number: float) -> Change:
    return lambda blob: blob[:20] + struct.pack("<f", number) + blob[24:]


CHANGES: dict[str, tuple[Change, str]] = {
    "a bit of a score": (lambda blob: blob[:21] + bytes([blob[21] ^ 0x80]) + blob[22:], "check"),
    "NaN": (with_score(float("nan")), "check"),
    "infinity": (with_score(float("inf")), "check"),
    "a bit of the check": (lambda blob: blob[:-1] + bytes([blob[-1] ^ 1]), "check"),
    "cut off": (lambda blob: blob[:-7], "layout"),
    "more behind it": (lambda blob: blob + b"\x02", "layout"),
    "an older format": (lambda blob: b"\x01" + blob[1:], "version"),
    "a newer format": (lambda blob: b"\x03" + blob[1:], "version"),
    "another entry's": (lambda blob: codec.pack(b"another", [(A, 7.0)]), "check"),
    "something else": (lambda blob: b"hello", "version"),
    "far too much": (lambda blob: blob + bytes(codec.MAX_BYTES), "size"),
}


@pytest.mark.parametrize(("change", "fault"), CHANGES.values(), ids=CHANGES)
async def test_damaged_scores_are_a_miss_and_heal(
    make_store: MakeStore, client: redis.Redis, namespace: str, change: Change, fault: str
) -> None:
    events: list[object] = []
    store = make_store(on_event=noting(events))
    await store.remember("", "q", vector(1), [(A, 1.0), (B, 2.0)])
    await store.remember("", "other", near(vector(1), 0.9), [(C, 3.0)])
    key = store_key(client, namespace, "q")
    client.set(key, change(client.get(key)), keepttl=True)
    assert await store.read_exact("", "q") is None
    assert events[-1] == EntryDamaged(entry_id("", "q"), "scores", fault)
    # The same by meaning, where it must not hide the next.
    await store.remember("", "q", None, [(A, 1.0)])
    client.set(key, change(client.get(key)), keepttl=True)
    events.clear()
    (found,) = await store.find_neighbours("", vector(1), 4)
    assert found.scores == {C: 3.0}
    assert events == [EntryDamaged(entry_id("", "q"), "scores", fault)]
    assert await store.remember("", "q", vector(1), [(A, 1.0)])
    assert await store.read_exact("", "q") == {A: 1.0}
    assert len(await store.find_neighbours("", vector(1), 4)) == 2
    assert 0 < client.pttl(key) <= 3_960_000
    assert events == [EntryDamaged(entry_id("", "q"), "scores", fault)]


def store_key(client: redis.Redis, namespace: str, query: str, kind: str = "s") -> bytes:
    (key,) = client.keys(f"semcache:{namespace}:*:{kind}:*{entry_id('', query)}*")
    return bytes(key)


@pytest.mark.parametrize("version", [b"\x01", b"\x03"])
async def test_nothing_is_added_to_another_format(
    store: Any, client: redis.Redis, namespace: str, version: bytes
) -> None:
    await store.remember("", "q", vector(1), [(A, 1.0)])
    key = store_key(client, namespace, "q")
    client.set(key, version + bytes(100), keepttl=True)
    assert await store.remember("", "q", None, [(B, 2.0)])  # without reading it first, as warming does
    assert await store.read_exact("", "q") == {B: 2.0}
    assert 0 < client.pttl(key) <= 3_960_000


async def test_several_are_read_past_damaged_ones(make_store: MakeStore, client: redis.Redis, namespace: str) -> None:
    events: list[object] = []
    store = make_store(on_event=noting(events))
    await store.remember_many("", [NewScores(name, vector(n), [(A, 1.0)]) for n, name in enumerate("abc")])
    client.append(store_key(client, namespace, "b"), b"x")
    assert await store.read_exact_many("", ["a", "b", "c"]) == [{A: 1.0}, None, {A: 1.0}]
    assert events[-1] == EntryDamaged(entry_id("", "b"), "scores", "version")
    client.append(store_key(client, namespace, "a"), b"x")
    assert [entry.id for entry in await store.sample(9)] == [entry_id("", "c")]


FIELDS: dict[str, dict[str, bytes | float]] = {
    "another time": {"created_at": b"12.5"},
    "no time": {"created_at": b"not a number"},
    "other cues": {"cues": b"x"},
    "a query": {"query": b"another"},
    "another vector": {"embedding": near(vector(1), 0.99).astype("<f2").tobytes()},
    "another check": {"check": b"\x02" + bytes(4)},
    "another version": {"check": b"\x01" + bytes(4)},
}


@pytest.mark.parametrize("fields", FIELDS.values(), ids=FIELDS)
async def test_a_damaged_hash_is_no_neighbour_and_heals(
    make_store: MakeStore, client: redis.Redis, namespace: str, fields: dict[str, bytes]
) -> None:
    events: list[object] = []
    store = make_store(on_event=noting(events))
    await store.remember("", "q", vector(1), [(A, 1.0)])
    await store.remember("", "other", near(vector(1), 0.9), [(B, 2.0)])
    client.hset(store_key(client, namespace, "q", "v"), mapping=fields)
    assert [found.scores for found in await store.find_neighbours("", vector(1), 4)] == [{B: 2.0}]
    fault = "version" if fields.get("check", b"\x02")[:1] != b"\x02" else "check"
    assert events[-1] == EntryDamaged(entry_id("", "q"), "vector", fault)
    assert await store.read_vector("", "q") is None
    assert await store.remember("", "q", vector(1), [(A, 1.0)])
    assert len(await store.find_neighbours("", vector(1), 4)) == 2
    client.hset(store_key(client, namespace, "q", "v"), mapping=fields)
    assert await store.read_vector("", "q") is None
    client.hset(store_key(client, namespace, "other", "v"), mapping=fields)
    assert await store.sample(9) == []


async def test_a_vector_moved_to_another_tenant_is_not_found_there(
    make_store: MakeStore, client: redis.Redis, namespace: str
) -> None:
    events: list[object] = []
    store = make_store(on_event=noting(events))
    for tenant in ("ours", "theirs"):
        await store.remember(tenant, "q", vector(1), [(A, 1.0)])
    ours, theirs = client.keys(f"semcache:{namespace}:*:tv:*")
    client.hset(ours, "tenant", client.hget(theirs, "tenant"))
    found = [await store.find_neighbours(tenant, vector(1), 4) for tenant in ("ours", "theirs")]
    assert sorted(len(near) for near in found) == [0, 1]
    assert any(isinstance(event, EntryDamaged) and event.fault == "check" for event in events)


class TestSigned:
    async def test_entries_of_one_key_are_shared(self, make_store: MakeStore) -> None:
        await make_store(signing_key=SECRET).remember("", "q", vector(1), [(A, 1.0)])
        other = make_store(signing_key=SECRET)
        assert await other.read_exact("", "q") == {A: 1.0}
        assert len(await other.find_neighbours("", vector(1), 4)) == 1
        assert await other.read_vector("", "q") is not None
        assert await other.forget(document=A) == 1

    async def test_another_key_or_none_sees_nothing_and_removes_nothing(self, make_store: MakeStore) -> None:
        events: list[object] = []
        signed = make_store(signing_key=SECRET)
        await signed.remember("", "q", vector(1), [(A, 1.0)])
        for other in (make_store(on_event=noting(events)), make_store(signing_key=SECRET * 2, on_event=noting(events))):
            assert await other.read_exact("", "q") is None
            assert await other.find_neighbours("", vector(1), 4) == []
        assert not [event for event in events if isinstance(event, EntryDamaged)]
        assert await signed.read_exact("", "q") == {A: 1.0}

    @pytest.mark.parametrize(("key", "fault"), [(b"", "layout"), (derived_key("another secret"), "check")])
    async def test_a_forged_entry_is_a_miss(
        self, make_store: MakeStore, client: redis.Redis, namespace: str, key: bytes, fault: str
    ) -> None:
        events: list[object] = []
        store = make_store(signing_key=SECRET, on_event=noting(events))
        await store.remember("", "q", vector(1), [(A, 1.0)])
        name = store_key(client, namespace, "q")
        client.set(name, codec.pack(name, [(A, 99.0)], key))
        assert await store.read_exact("", "q") is None
        assert events[-1] == EntryDamaged(entry_id("", "q"), "scores", fault)

    async def test_scores_of_one_query_cannot_be_moved_to_another(
        self, make_store: MakeStore, client: redis.Redis, namespace: str
    ) -> None:
        store = make_store(signing_key=SECRET)
        for query in ("one", "two"):
            await store.remember("", query, vector(1), [(A, float(len(query)))])
        for kind, copy in (("s", client.copy), ("v", client.copy)):
            copy(store_key(client, namespace, "one", kind), store_key(client, namespace, "two", kind), replace=True)
        assert await store.read_exact("", "two") is None
        assert [found.id for found in await store.find_neighbours("", vector(1), 4)] == [entry_id("", "one")]

    def test_the_key_shows_nowhere(self, make_store: MakeStore) -> None:
        store = make_store(signing_key=SECRET)
        assert SECRET not in repr(store)


class TestVectors:
    @pytest.mark.parametrize("factor", [0.0, 1e6, 1e30, 0.5, float("nan"), float("inf")])
    async def test_what_has_not_length_1_reaches_no_index(
        self, make_store: MakeStore, client: redis.Redis, namespace: str, factor: float
    ) -> None:
        events: list[object] = []
        store = make_store(on_event=noting(events))
        with np.errstate(all="ignore"):
            bad = (vector(1) * np.float32(factor)).astype(np.float32)
        new = [NewScores("bad", bad, [(A, 1.0)]), NewScores("good", vector(2), [(B, 2.0)])]
        assert await store.remember_many("", new) == [True, True]
        assert [type(event) for event in events].count(VectorRefused) == 1
        assert await store.read_exact("", "bad") == {A: 1.0}
        assert len(client.keys(f"semcache:{namespace}:*:v:*")) == 1
        found = await store.find_neighbours_many("", [bad, vector(2), bad], 4)
        assert [[neighbour.scores for neighbour in near] for near in found] == [[], [{B: 2.0}], []]
        assert await store.find_neighbours("", bad, 4) == []

    async def test_a_few_bad_ones_hide_nothing(self, make_store: MakeStore) -> None:
        store = make_store()
        vectors = [vector(number) for number in range(300)]
        for number in range(0, 300, 25):
            vectors[number] = np.zeros(DIMS, np.float32) if number % 2 else vectors[number] * np.float32(1e6)
        await store.remember_many("", [NewScores(str(n), one, [(A, 1.0)]) for n, one in enumerate(vectors)])
        good = [number for number in range(300) if number % 25]
        found = await store.find_neighbours_many("", [vectors[number] for number in good], 1)
        assert [near[0].id for near in found] == [entry_id("", str(number)) for number in good]


class TestManyBlocks:
    def blocks(self, blob: bytes) -> int:
        """How often an entry's scores were appended: each time costs 8 bytes besides the records."""
        records = len(codec.unpack(self.key, blob) or {})
        return (len(blob) - codec.RECORD_BYTES * records) // codec.bytes_of(0)

    key = b""

    async def test_small_ones_are_made_one(self, make_store: MakeStore, client: redis.Redis, namespace: str) -> None:
        store = make_store(ttl_s=1000)
        expected = {}
        for number in range(200):
            await store.remember("", "q", vector(1), [(fingerprint(number), float(number))])
            expected[fingerprint(number)] = float(number)
            self.key = store_key(client, namespace, "q")
            assert self.blocks(client.get(self.key)) <= 46
        assert await store.read_exact("", "q") == expected
        assert 0 < client.pttl(self.key) <= 1_000_000

    async def test_documents_scored_again_and_again_stay_within_the_limit(
        self, make_store: MakeStore, client: redis.Redis, namespace: str
    ) -> None:
        store = make_store(max_scores=20)
        for number in range(50):
            scores = [(fingerprint(document), float(number)) for document in range(15)]
            assert await store.remember("", "q", vector(1), scores)
            assert await store.read_exact("", "q") == dict(scores)
        assert client.strlen(store_key(client, namespace, "q")) <= codec.bytes_of(20)

    async def test_skipped_ones_are_counted_without_the_damaged(
        self, make_store: MakeStore, client: redis.Redis, namespace: str
    ) -> None:
        events: list[object] = []
        store = make_store(on_event=noting(events))
        await store.remember_many("", [NewScores(name, vector(1), [(A, 1.0)]) for name in "abc"])
        client.append(store_key(client, namespace, "a"), b"x")
        client.delete(store_key(client, namespace, "b"))
        events.clear()
        assert [found.id for found in await store.find_neighbours("", vector(1), 4)] == [entry_id("", "c")]
        assert sorted(map(type, events), key=str) == [EntryDamaged, NeighboursSkipped]


class TestOutOfStep:
    """Replies that belong to other commands, as an operation sees them."""

    def steps(self, store: RedisStore, operation: Any, first: Any) -> tuple[Any, list[Any]]:
        """The result of an operation whose first step gets this answer, and all others the server's."""
        steps: list[Any] = []

        def perform(step: Any) -> Any:
            steps.append(step)
            return first if len(steps) == 1 else store.connection.execute(step)

        return drive(operation, perform), steps

    @pytest.fixture
    def state(self, redis_url: str, namespace: str) -> Iterator[tuple[RedisStore, StoreState, list[object]]]:
        events: list[object] = []
        options = {**LAYOUT, "namespace": namespace, "on_event": noting(events)}
        with RedisConnection(redis_url, timeout_s=10) as connection:
            store = RedisStore(connection, **options)
            for query in ("ours", "theirs"):
                store.remember("", query, vector(1), [(A, float(len(query)))])
            state = StoreState.of("here", **options)
            state.checked_indexes.add(state.layout.keys.plain.index)
            events.clear()
            yield store, state, events

    def test_the_scores_of_another_query_are_not_served(
        self, state: tuple[RedisStore, StoreState, list[object]], client: redis.Redis, namespace: str
    ) -> None:
        store, ours, events = state
        theirs = client.get(store_key(client, namespace, "theirs"))
        found, steps = self.steps(store, read_exact(ours, "", "ours"), [theirs])
        assert found is None
        assert events == [EntryDamaged(entry_id("", "ours"), "scores", "check")]
        assert steps[1] == Reconnect()
        assert store.read_exact("", "ours") == {A: 4.0}, "the entry itself is sound, and stays"

    @pytest.mark.parametrize("reply", [None, 7, [b"k"], [], b"OK"])
    def test_replies_of_other_kinds_are_misses(
        self, state: tuple[RedisStore, StoreState, list[object]], reply: Any
    ) -> None:
        store, ours, events = state
        operations: list[tuple[Any, list[Any]]] = [
            (read_exact(ours, "", "ours"), [reply]),
            (find_neighbours(ours, "", vector(1), 4), [reply, 7]),  # with the search goes DBSIZE
            # An empty list is the hash of a query that is unknown.
            (read_vector(ours, "", "ours"), [reply or 7]),
        ]
        for operation, replies in operations:
            events.clear()
            found, steps = self.steps(store, operation, replies)
            assert not found
            assert [type(event) for event in events] == [EntryDamaged]
            assert Reconnect() in steps
        assert store.read_exact("", "ours") == {A: 4.0}
        assert len(store.find_neighbours("", vector(1), 4)) == 2

    @pytest.mark.parametrize("reply", [None, b"bytes", [1], "OK"])
    def test_a_write_whose_reply_is_another_may_not_have_been_stored(
        self, state: tuple[RedisStore, StoreState, list[object]], reply: Any
    ) -> None:
        store, ours, events = state
        stored, steps = self.steps(store, remember(ours, "", "new", vector(2), [(A, 1.0)]), [reply])
        assert stored is False
        assert [type(event) for event in events] == [EntryDamaged]
        assert steps[-1] == Reconnect()

    def test_what_cannot_be_removed_does_not_stop_the_reader(
        self, state: tuple[RedisStore, StoreState, list[object]], client: redis.Redis, namespace: str
    ) -> None:
        store, ours, events = state
        client.append(store_key(client, namespace, "ours"), b"x")

        def perform(step: Any) -> Any:
            if step == Reconnect():
                raise StoreUnavailableError("gone")
            return store.connection.execute(step)

        (found,) = drive(find_neighbours(ours, "", vector(1), 4), perform)
        assert found.scores == {A: 6.0}
        assert [type(event) for event in events] == [EntryDamaged, CacheFailed]
