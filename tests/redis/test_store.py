"""The contract of the store, on a real server, for threads and for event loops."""

import inspect
from typing import Any

import numpy as np
import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from semcache.entries import codec
from semcache.entries.entry import NewScores
from semcache.entries.fingerprint import entry_id, settled_mark
from semcache.errors import ConfigurationError, IndexMismatchError, InvalidInputError
from semcache.events import IndexCreated, NeighboursSkipped
from semcache.redis.async_store import AsyncRedisStore
from semcache.redis.client.connection import RedisConnection
from semcache.redis.store import RedisStore
from tests.redis.conftest import DIMS, LAYOUT, MakeStore, fingerprint, near, vector

A, B, C = fingerprint(1), fingerprint(2), fingerprint(3)
FLOAT32: dict[str, Any] = {"vector_type": "float32", "m": 8}
STORES = (RedisStore, AsyncRedisStore)
AWKWARD_TENANTS = [
    ':/-. {}*|@"\\',
    "a:b",
    "a-b",
    "a.b",
    "{x}",
    "*",
    "|",
    "ten ant",
    "ünïcödé 北京",
    "\udc80",
    "\0",
    "x" * 10_000,
]


def test_both_stores_have_the_same_methods() -> None:
    threads, loops = ({name: value for name, value in vars(kind).items() if name[0] != "_"} for kind in STORES)
    assert threads.keys() == loops.keys()
    for name, method in threads.items():
        assert inspect.signature(method) == inspect.signature(loops[name])
        assert inspect.iscoroutinefunction(loops[name]) and not inspect.iscoroutinefunction(method)
        assert method.__doc__


class TestExactReads:
    async def test_nothing_is_known_of_a_new_query(self, store: Any) -> None:
        assert await store.read_exact("", "q") is None
        assert await store.read_vector("", "q") is None

    async def test_what_was_remembered_is_read(self, store: Any) -> None:
        assert await store.remember("", "q", vector(1), [(A, 1.5), (B, -2.25)])
        assert await store.read_exact("", "q") == {A: 1.5, B: -2.25}

    async def test_white_space_does_not_make_another_query(self, store: Any) -> None:
        await store.remember("", "two  words ", vector(1), [(A, 1.0)])
        assert await store.read_exact("", " two words") == {A: 1.0}

    async def test_several_queries_are_read_together(self, store: Any) -> None:
        await store.remember("", "one", vector(1), [(A, 1.0)])
        await store.remember("", "three", vector(3), [(C, 3.0)])
        assert await store.read_exact_many("", ["one", "two", "three"]) == [{A: 1.0}, None, {C: 3.0}]
        assert await store.read_exact_many("", []) == []

    async def test_the_vector_comes_back_with_length_1(self, store: Any) -> None:
        await store.remember("", "q", vector(1), [(A, 1.0)])
        read = await store.read_vector("", "q")
        assert read.dtype == np.float32
        assert np.linalg.norm(read) == pytest.approx(1, abs=1e-6)
        assert read == pytest.approx(vector(1), abs=1e-3)


class TestRemembering:
    async def test_later_scores_join_the_earlier_ones(self, store: Any) -> None:
        await store.remember("", "q", vector(1), [(A, 1.0), (B, 2.0)])
        assert await store.remember("", "q", None, [(B, 3.0), (C, 4.0)])
        assert await store.read_exact("", "q") == {A: 1.0, B: 3.0, C: 4.0}

    async def test_a_new_query_without_a_vector_is_read_exactly_but_is_never_a_neighbour(
        self, store: Any, client: redis.Redis, namespace: str
    ) -> None:
        assert await store.remember("", "q", None, [(A, 1.0)])
        assert await store.read_exact("", "q") == {A: 1.0}
        assert await store.find_neighbours("", vector(1), 4) == []
        (key,) = client.keys(f"semcache:{namespace}:*")
        assert 0 < client.pttl(key) <= 3_960_000
        await store.remember("", "q", vector(1), [(B, 2.0)])
        (neighbour,) = await store.find_neighbours("", vector(1), 4)
        assert neighbour.scores == {A: 1.0, B: 2.0}

    async def test_no_scores_are_not_stored(self, store: Any) -> None:
        assert not await store.remember("", "q", vector(1), [])
        assert await store.read_exact("", "q") is None

    async def test_a_full_entry_keeps_the_newest(self, make_store: MakeStore) -> None:
        store = make_store(max_scores=3)
        await store.remember("", "q", vector(1), [(fingerprint(n), float(n)) for n in range(2)])
        await store.remember("", "q", None, [(fingerprint(n), float(n)) for n in range(2, 5)])
        assert await store.read_exact("", "q") == {fingerprint(n): float(n) for n in (2, 3, 4)}

    async def test_a_full_entry_keeps_its_end(self, make_store: MakeStore, client: redis.Redis, namespace: str) -> None:
        store = make_store(max_scores=1, ttl_s=1000)
        await store.remember("", "q", vector(1), [(A, 1.0)])
        await store.remember("", "q", None, [(B, 1.0)])
        assert all(0 < client.pttl(key) <= 1_000_000 for key in client.keys(f"semcache:{namespace}:*"))

    async def test_of_too_many_new_scores_the_first_stay(self, make_store: MakeStore) -> None:
        store = make_store(max_scores=2)
        await store.remember("", "q", vector(1), [(A, 1.0), (B, 2.0), (C, 3.0)])
        assert await store.read_exact("", "q") == {A: 1.0, B: 2.0}

    async def test_an_order_is_replaced_whole_and_keeps_its_end(
        self, make_store: MakeStore, client: redis.Redis, namespace: str
    ) -> None:
        store = make_store(listwise=True, ttl_s=1000)
        await store.remember("", "q", vector(1), [(A, 1.0), (B, 0.0)])
        await store.remember("", "q", None, [(C, 0.0)])
        assert await store.read_exact("", "q") == {C: 0.0}
        assert all(0 < client.pttl(key) <= 1_000_000 for key in client.keys(f"semcache:{namespace}:*"))

    async def test_several_are_remembered_together(self, store: Any) -> None:
        new = [
            NewScores("one", vector(1), [(A, 1.0)]),
            NewScores("two", None, [(A, 1.0)]),
            NewScores("no", vector(2), []),
        ]
        assert await store.remember_many("", new) == [True, True, False]
        assert await store.remember_many("", []) == []
        assert await store.read_exact_many("", ["one", "two", "no"]) == [{A: 1.0}, {A: 1.0}, None]

    @pytest.mark.parametrize("shape", [(DIMS + 1,), (1, DIMS), (0,)])
    async def test_a_vector_of_another_shape_is_refused(self, store: Any, shape: tuple[int, ...]) -> None:
        with pytest.raises(InvalidInputError, match=f"does not fit this index of {DIMS} dims"):
            await store.remember("", "q", np.ones(shape, dtype=np.float32), [(A, 1.0)])


class TestLifetime:
    def ends(self, client: redis.Redis, namespace: str) -> list[int]:
        return [client.pexpiretime(key) for key in client.keys(f"semcache:{namespace}:*")]

    async def test_both_keys_end_together(self, make_store: MakeStore, client: redis.Redis, namespace: str) -> None:
        await make_store(ttl_s=1000, ttl_jitter=0.5).remember("", "q", vector(1), [(A, 1.0)])
        vector_end, scores_end = self.ends(client, namespace)
        assert vector_end == scores_end

    async def test_neither_hits_nor_new_scores_move_the_end(
        self, make_store: MakeStore, client: redis.Redis, namespace: str
    ) -> None:
        store = make_store(ttl_s=1000)
        await store.remember("", "q", vector(1), [(A, 1.0)])
        before = self.ends(client, namespace)
        await store.read_exact("", "q")
        await store.find_neighbours("", vector(1), 1)
        await store.remember("", "q", vector(1), [(B, 1.0)], ttl_s=5000)
        assert self.ends(client, namespace) == before

    async def test_lives_differ_by_the_jitter(self, make_store: MakeStore, client: redis.Redis, namespace: str) -> None:
        store = make_store(ttl_s=1000, ttl_jitter=0.1)
        for number in range(50):
            await store.remember("", str(number), vector(number), [(A, 1.0)])
        lives = [client.pttl(key) for key in client.keys(f"semcache:{namespace}:*:s:*")]
        assert 890_000 < min(lives) < 950_000 < 1_050_000 < max(lives) <= 1_100_000

    async def test_one_entry_may_live_shorter(self, make_store: MakeStore, client: redis.Redis, namespace: str) -> None:
        await make_store(ttl_s=1000).remember("", "q", vector(1), [(A, 1.0)], ttl_s=10)
        assert all(0 < client.pttl(key) <= 10_000 for key in client.keys(f"semcache:{namespace}:*"))

    async def test_without_a_ttl_there_is_no_end(
        self, make_store: MakeStore, client: redis.Redis, namespace: str
    ) -> None:
        store = make_store(ttl_s=None)
        await store.remember("", "q", vector(1), [(A, 1.0)])
        await store.remember("", "q", None, [(B, 1.0)])
        assert self.ends(client, namespace) == [-1, -1]

    @pytest.mark.parametrize("ttl_s", [0, -1, float("nan"), float("inf")])
    async def test_an_impossible_ttl_is_refused(self, make_store: MakeStore, ttl_s: float) -> None:
        with pytest.raises(ConfigurationError, match=f"ttl is {ttl_s}; give a number of seconds above 0"):
            make_store(ttl_s=ttl_s)
        with pytest.raises(ConfigurationError, match=f"ttl is {ttl_s}; give a number of seconds above 0"):
            await make_store().remember("", "q", vector(1), [(A, 1.0)], ttl_s=ttl_s)

    @pytest.mark.parametrize("kind", ["v", "s"])
    async def test_half_an_entry_is_made_whole_with_the_end_it_had(
        self, make_store: MakeStore, client: redis.Redis, namespace: str, kind: str
    ) -> None:
        store = make_store(ttl_s=1000)
        await store.remember("", "q", vector(1), [(A, 1.0)])
        before = self.ends(client, namespace)
        client.delete(*client.keys(f"semcache:{namespace}:*:{kind}:*"))
        assert await store.remember("", "q", vector(1), [(B, 2.0)])
        assert (await store.read_exact("", "q"))[B] == 2.0
        assert len(await store.find_neighbours("", vector(1), 1)) == len(await store.sample(9)) == 1
        # A remaining time in whole milliseconds loses at most one to rounding.
        assert self.ends(client, namespace) == pytest.approx(before, abs=1)


class TestNeighbours:
    async def test_nearest_first_with_similarity_and_scores(self, store: Any) -> None:
        for name, similarity in (("far", 0.5), ("same", 1.0), ("near", 0.9)):
            await store.remember("", name, near(vector(1), similarity), [(A, similarity)])
        found = await store.find_neighbours("", vector(1), 4)
        assert [neighbour.similarity for neighbour in found] == pytest.approx([1.0, 0.9, 0.5], abs=2e-3)
        assert [neighbour.scores[A] for neighbour in found] == pytest.approx([1.0, 0.9, 0.5], abs=1e-6)
        assert all(-1 <= neighbour.similarity <= 1 for neighbour in found)

    async def test_no_more_than_k(self, store: Any) -> None:
        for number in range(5):
            await store.remember("", str(number), vector(number), [(A, 1.0)])
        assert len(await store.find_neighbours("", vector(0), 3)) == 3

    async def test_they_carry_cues_and_when_they_were_made(self, make_store: MakeStore) -> None:
        store = make_store(clock=lambda: 1_795_406_993.61)
        await store.remember("", "q", vector(1), [(A, 1.0)], cues=b"\xff\x00\r\n")
        (found,) = await store.find_neighbours("", vector(1), 1)
        assert found.cues == b"\xff\x00\r\n"
        assert found.created_at == pytest.approx(1_795_406_993.61, abs=0.01)
        assert found.query is None

    async def test_the_query_comes_back_only_when_queries_are_stored(self, make_store: MakeStore) -> None:
        store = make_store(store_queries=True)
        await store.remember("", "wie geht's, 北京? \udc80", vector(1), [(A, 1.0)])
        (found,) = await store.find_neighbours("", vector(1), 1)
        assert found.query == "wie geht's, 北京? \udc80"

    async def test_many_vectors_together_give_what_each_gives(self, store: Any) -> None:
        for number in range(5):
            await store.remember("", str(number), vector(number), [(fingerprint(number), 1.0)])
        vectors = [vector(number) for number in range(5)]
        assert await store.find_neighbours_many("", vectors, 2) == [
            await store.find_neighbours("", one, 2) for one in vectors
        ]
        assert await store.find_neighbours_many("", [], 2) == []

    async def test_one_whose_scores_are_gone_does_not_hide_the_next(
        self, make_store: MakeStore, client: redis.Redis, namespace: str
    ) -> None:
        events: list[object] = []
        store = make_store(on_event=events.append)
        await store.remember("", "gone", vector(1), [(A, 1.0)])
        client.delete(*client.keys(f"semcache:{namespace}:*:s:*"))
        await store.remember("", "there", near(vector(1), 0.9), [(B, 2.0)])
        (found,) = await store.find_neighbours("", vector(1), 2)
        assert found.scores == {B: 2.0}
        assert events[-1] == NeighboursSkipped(1)

    async def test_one_whose_scores_are_gone_is_removed_and_can_be_written_anew(
        self, store: Any, client: redis.Redis, namespace: str
    ) -> None:
        await store.remember("", "gone", vector(1), [(A, 1.0)])
        await store.remember("", "there", near(vector(1), 0.9), [(B, 2.0)])
        client.delete(*client.keys(f"semcache:{namespace}:*:s:*{entry_id('', 'gone')}*"))
        assert await store.find_neighbours("", vector(1), 1) == []
        (found,) = await store.find_neighbours("", vector(1), 1)  # nothing hides it any more
        assert found.scores == {B: 2.0}
        assert await store.remember("", "gone", vector(1), [(A, 3.0)])
        (found,) = await store.find_neighbours("", vector(1), 1)
        assert found.scores == {A: 3.0}

    async def test_expired_ones_are_not_found(self, store: Any, client: redis.Redis) -> None:
        await store.remember("", "gone", vector(1), [(A, 1.0)], ttl_s=0.001)
        await store.remember("", "there", near(vector(1), 0.9), [(B, 2.0)])
        seconds, microseconds = start = client.time()
        while client.time() < (seconds, microseconds + 2000) and client.time()[0] == start[0]:
            pass
        assert [found.scores for found in await store.find_neighbours("", vector(1), 2)] == [{B: 2.0}]

    @pytest.mark.parametrize("k", [0, -1])
    async def test_k_must_be_positive(self, store: Any, k: int) -> None:
        with pytest.raises(InvalidInputError, match=f"at least 1, got {k}"):
            await store.find_neighbours("", vector(1), k)

    async def test_float32_vectors_work_too(self, make_store: MakeStore, namespace: str) -> None:
        store = make_store(namespace=f"{namespace}-32", **FLOAT32)
        await store.remember("", "q", vector(1), [(A, 1.0)])
        assert (await store.read_vector("", "q")) == pytest.approx(vector(1), abs=1e-7)
        assert (await store.find_neighbours("", vector(1), 1))[0].similarity == pytest.approx(1, abs=1e-6)


class TestWalls:
    @pytest.mark.parametrize("tenant", AWKWARD_TENANTS)
    async def test_any_string_is_a_tenant_of_its_own(self, store: Any, tenant: str) -> None:
        await store.remember(tenant, "q", vector(1), [(A, 1.0)])
        await store.remember(tenant + "'", "q", vector(1), [(B, 2.0)])
        await store.remember("", "q", vector(1), [(C, 3.0)])
        assert await store.read_exact(tenant, "q") == {A: 1.0}
        assert [found.scores for found in await store.find_neighbours(tenant, vector(1), 9)] == [{A: 1.0}]
        assert [found.scores for found in await store.find_neighbours("", vector(1), 9)] == [{C: 3.0}]
        assert await store.forget(tenant) == 1
        assert await store.read_exact(tenant, "q") is None
        assert await store.read_exact(tenant + "'", "q") == {B: 2.0}

    @pytest.mark.parametrize("other", [{"reranker": "r2"}, {"embedder": "e2"}, {"namespace": "elsewhere"}])
    async def test_other_models_and_namespaces_see_nothing(self, make_store: MakeStore, other: dict[str, str]) -> None:
        ours, theirs = make_store(), make_store(**other)
        await theirs.clear()
        await ours.remember("", "q", vector(1), [(A, 1.0)])
        assert await theirs.read_exact("", "q") is None
        assert await theirs.find_neighbours("", vector(1), 1) == []
        assert await theirs.clear() == 0
        assert await ours.read_exact("", "q") == {A: 1.0}

    @pytest.mark.parametrize("namespace", ["", "a b", "a*", "{a}", "ä", "a\n", "x" * 101])
    async def test_a_namespace_that_would_be_misread_is_refused(self, make_store: MakeStore, namespace: str) -> None:
        with pytest.raises(ConfigurationError, match="cannot be used; take 1 to 100 letters"):
            make_store(namespace=namespace)


class TestForgetting:
    async def test_a_query(self, store: Any) -> None:
        await store.remember("", "q", vector(1), [(A, 1.0)])
        await store.remember("t", "q", vector(1), [(A, 1.0)])
        assert await store.forget(query="q") == 1
        assert await store.forget(query="q") == 0
        assert await store.read_exact("", "q") is None
        assert await store.read_vector("", "q") is None
        assert await store.forget("t", query="q") == 1

    async def test_a_document_leaves_every_entry(self, store: Any) -> None:
        await store.remember("", "one", vector(1), [(A, 1.0), (B, 2.0), (C, 3.0)])
        await store.remember("", "one", None, [(B, 5.0)])
        await store.remember("", "two", vector(2), [(B, 2.0)])
        await store.remember("t", "three", vector(3), [(A, 1.0), (B, 2.0)])
        await store.remember("t", "four", vector(4), [(A, 1.0)])
        assert await store.forget(document=B) == 3
        assert await store.read_exact("", "one") == {A: 1.0, C: 3.0}
        assert await store.read_exact("", "two") is None
        assert await store.read_vector("", "two") is None
        assert await store.read_exact_many("t", ["three", "four"]) == [{A: 1.0}, {A: 1.0}]
        assert await store.forget(document=B) == 0

    async def test_a_document_of_one_tenant_or_one_query(self, store: Any) -> None:
        for tenant in ("", "t", "u"):
            await store.remember(tenant, "one", vector(1), [(A, 1.0), (B, 2.0)])
            await store.remember(tenant, "two", vector(2), [(A, 1.0), (B, 2.0)])
        assert await store.forget("t", document=A) == 2
        assert await store.forget("u", query="one", document=A) == 1
        assert await store.read_exact_many("", ["one", "two"]) == [{A: 1.0, B: 2.0}] * 2
        assert await store.read_exact_many("t", ["one", "two"]) == [{B: 2.0}] * 2
        assert await store.read_exact_many("u", ["one", "two"]) == [{B: 2.0}, {A: 1.0, B: 2.0}]

    async def test_bytes_across_two_records_are_no_document(self, store: Any) -> None:
        blob = codec.pack(b"", [(A, 1.0), (B, 2.0)])
        await store.remember("", "q", vector(1), [(A, 1.0), (B, 2.0)])
        assert await store.forget(document=blob[8:24]) == 0
        assert await store.read_exact("", "q") == {A: 1.0, B: 2.0}

    async def test_a_document_that_goes_does_not_move_the_end(
        self, make_store: MakeStore, client: redis.Redis, namespace: str
    ) -> None:
        store = make_store(ttl_s=1000)
        await store.remember("", "q", vector(1), [(A, 1.0), (B, 2.0)])
        await store.forget(document=A)
        assert all(0 < client.pttl(key) <= 1_000_000 for key in client.keys(f"semcache:{namespace}:*"))

    async def test_the_empty_tenant_is_a_tenant(self, store: Any) -> None:
        await store.remember("", "q", vector(1), [(A, 1.0)])
        await store.remember("t", "q", vector(1), [(A, 1.0)])
        assert await store.forget("") == 1
        assert await store.read_exact("t", "q") == {A: 1.0}

    async def test_everything(self, store: Any, client: redis.Redis, namespace: str) -> None:
        for number in range(3):
            await store.remember("", str(number), vector(number), [(A, 1.0)])
            await store.remember("t", str(number), vector(number), [(A, 1.0)])
        assert await store.clear() == 6
        assert client.keys(f"semcache:{namespace}:*") == []
        assert await store.clear() == 0
        assert await store.remember("", "again", vector(1), [(A, 1.0)])
        assert len(await store.find_neighbours("", vector(1), 9)) == 1

    async def test_more_than_one_page(self, store: Any) -> None:
        await store.remember_many("", [NewScores(str(n), vector(n), [(A, 1.0)]) for n in range(1500)])
        assert await store.forget(document=A) == 1500
        assert await store.count() == 0

    async def test_forgetting_needs_a_query_a_document_or_a_tenant(self, store: Any) -> None:
        with pytest.raises(InvalidInputError, match="nothing to forget"):
            await store.forget()
        with pytest.raises(InvalidInputError, match="16 bytes, got 3"):
            await store.forget(document=b"abc")


class TestInspection:
    async def test_counts_and_names(self, store: Any) -> None:
        assert await store.count() == 0
        assert await store.sample(9) == []
        await store.remember("", "q", vector(1), [(A, 1.0)])
        await store.remember("t", "q", vector(1), [(A, 1.0)])
        assert await store.count() == 2
        (ours,) = [found.id for found in await store.find_neighbours("", vector(1), 9)]
        assert [entry.id for entry in await store.sample(9, "")] == [ours]
        (theirs,) = [entry.id for entry in await store.sample(9, "t")]
        assert ours != theirs
        assert {entry.id for entry in await store.sample(9)} == {ours, theirs}

    async def test_a_sample_leaves_out_records_that_stand_for_requests(self, store: Any) -> None:
        await store.remember("", "q", vector(1), [(A, 1.0), (settled_mark([A], 5), 1.0)])
        assert [dict(entry.scores) for entry in await store.sample(9)] == [{A: 1.0}]

    async def test_a_sample_is_of_whole_entries(self, make_store: MakeStore) -> None:
        store = make_store(store_queries=True)
        for number in range(20):
            await store.remember("t", str(number), vector(number), [(fingerprint(number), 1.0)], cues=b"\xff")
        sample = await store.sample(7)
        assert len({entry.id for entry in sample}) == 7
        for entry in sample:
            number = int(entry.query)
            assert entry.scores == {fingerprint(number): 1.0}
            assert entry.vector == pytest.approx(vector(number), abs=1e-3)
            assert entry.cues == b"\xff"
        assert len(await store.sample(50)) == 20
        assert await store.sample(5, "") == []

    async def test_a_sample_looks_behind_what_is_not_whole(self, store: Any) -> None:
        for number in range(60):
            await store.remember("", f"without a vector {number}", None, [(A, 1.0)])
        for number in range(3):
            await store.remember("", f"whole {number}", vector(number), [(A, 1.0)])
        assert [len(await store.sample(n)) for n in (2, 3, 9)] == [2, 3, 3]

    async def test_half_entries_are_not_sampled(self, store: Any, client: redis.Redis, namespace: str) -> None:
        await store.remember("", "q", vector(1), [(A, 1.0)])
        client.delete(*client.keys(f"semcache:{namespace}:*:v:*"))
        assert await store.sample(5) == []
        with pytest.raises(InvalidInputError, match="at least 1 entry, got 0"):
            await store.sample(0)


class TestTheIndexComesAndGoes:
    async def test_it_is_made_when_first_needed_and_only_once(self, make_store: MakeStore) -> None:
        events: list[object] = []
        for _ in range(2):
            store = make_store(on_event=events.append)
            assert await store.find_neighbours("", vector(1), 1) == []
            assert await store.find_neighbours("t", vector(1), 1) == []
        names = [event.name for event in events if isinstance(event, IndexCreated)]
        assert len(names) == 2
        assert names[1] == f"{names[0]}:named"

    async def test_a_check_makes_it_too(self, make_store: MakeStore) -> None:
        events: list[Any] = []
        await make_store(on_event=events.append).check()
        assert [type(event) for event in events] == [IndexCreated]
        await make_store(on_event=events.append).check()
        assert len(events) == 1
        with pytest.raises(IndexMismatchError, match=f"has dim {DIMS}, but 7 is needed"):
            await make_store(dims=7).check()

    async def test_dropped_it_is_made_again_from_what_is_stored(
        self, make_store: MakeStore, client: redis.Redis
    ) -> None:
        events: list[Any] = []
        store = make_store(on_event=events.append)
        await store.remember("", "q", vector(1), [(A, 1.0)])
        client.execute_command("FT.DROPINDEX", events[0].name)
        await store.find_neighbours("", vector(1), 1)
        assert [event for event in events if isinstance(event, IndexCreated)] == [events[0], events[0]]
        while int(client.ft(events[0].name).info()["indexing"]):  # the server goes through its keys in the background
            pass
        assert [found.scores for found in await store.find_neighbours("", vector(1), 1)] == [{A: 1.0}]


NEW_SCORES = st.lists(
    st.tuples(st.binary(min_size=16, max_size=16), st.floats(width=32, allow_nan=False, allow_infinity=False)),
    min_size=1,
    max_size=20,
)
NUMBERS = st.lists(st.floats(-1, 1, width=16), min_size=DIMS, max_size=DIMS).filter(lambda v: sum(map(abs, v)) > 0.5)


@given(
    scores=NEW_SCORES,
    numbers=NUMBERS,
    cues=st.binary(max_size=255),
    query=st.text(),
    tenant=st.text(max_size=5),
)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_nothing_binary_is_damaged(
    redis_url: str, scores: Any, numbers: list[float], cues: bytes, query: str, tenant: str, namespace: str
) -> None:
    given_vector = np.array(numbers, dtype=np.float32)
    given_vector /= np.linalg.norm(given_vector)
    with RedisConnection(redis_url, timeout_s=10) as connection:
        store = RedisStore(connection, **{**LAYOUT, "namespace": namespace}, store_queries=True, **FLOAT32)
        store.forget(tenant)
        assert store.remember(tenant, query, given_vector, scores, cues=cues)
        assert store.read_exact(tenant, query) == dict(scores)
        assert store.read_vector(tenant, query) == pytest.approx(given_vector, abs=1e-6)
        (found,) = store.find_neighbours(tenant, given_vector, 4)
        assert (found.scores, found.cues, found.query) == (dict(scores), cues, query)
        assert found.similarity == pytest.approx(1, abs=1e-5)
