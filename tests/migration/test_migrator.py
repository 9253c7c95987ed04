"""The entries of a former embedder on their way: whole, interrupted, at once, changed meanwhile, and cleaned up."""

import asyncio
import json
import multiprocessing
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from semcache.cached import CachedReranker
from semcache.entries.fingerprint import document_fingerprint
from semcache.errors import ConfigurationError, InvalidInputError, TransientStoreError
from semcache.events import Event, MigrationAdvanced, MigrationEnded
from semcache.identity.kinds import IdentifiedBy
from semcache.migration.migrator import Migrator
from semcache.protocols import FloatArray
from semcache.ranking import Status
from semcache.redis.server.embedded import EmbeddedRedis
from semcache.redis.store import keys_of
from tests.fakes import CountingOrder, CountingReranker, WordEmbedder
from tests.migration.conftest import DOCUMENTS, LetterEmbedder, MakeReranker, reranker_of

QUERIES = [f"question {number} of the {word}" for number in range(40) for word in ("moon", "sun", "sea")]
TENANTS = ("", "acme")


def fill(reranker: CachedReranker, queries: list[str] = QUERIES) -> None:
    """Entries of every query, for each tenant."""
    for tenant in TENANTS:
        for query in queries:
            texts, scores = DOCUMENTS, [reranker_score(query, text) for text in DOCUMENTS]
            reranker.cache.remember(query, texts, scores, tenant=tenant)


def reranker_score(query: str, text: str) -> float:
    return CountingReranker().score_of(query, text)


def statuses(reranker: CachedReranker, queries: list[str] = QUERIES) -> set[Status]:
    """The statuses of all queries for each tenant; checks that every score is the reranker's own."""
    seen = set()
    for tenant in TENANTS:
        for query in queries:
            found = reranker.rerank(query, DOCUMENTS, 3, tenant=tenant)
            expected = sorted((reranker_score(query, text) for text in DOCUMENTS), reverse=True)[:3]
            assert found.scores is not None
            assert list(found.scores) == pytest.approx(expected)
            seen.add(found.status)
    return seen


def near(reranker: CachedReranker, query: str, tenant: str = "") -> list[Any]:
    """What a search by a vector of the present embedder finds of a query in the present scope."""
    (vector,) = LetterEmbedder().embed([query])
    return list(reranker.cache.store.find_neighbours(tenant, vector, 1, 0.999))


def client(reranker: CachedReranker) -> Any:
    return reranker.cache.backend.connection.client


class TestRun:
    def test_moves_everything_with_vectors_scores_and_ends(self, before: MakeReranker, during: MakeReranker) -> None:
        former = before()
        fill(former)
        events: list[Event] = []
        present = during(observers=[events.append])
        told: list[tuple[str, int, int]] = []
        (status, *_) = present.cache.migrator().run(progress=lambda *done: told.append(done))
        assert (status.entries, status.former_entries, status.is_finished) == (240, 240, True)
        assert told[-1][1:] == (240, 240)
        assert MigrationEnded(status.scope, "moved", 0) in events
        assert any(isinstance(event, MigrationAdvanced) and event.embedded == 240 for event in events)
        for tenant in TENANTS:
            (found,) = near(present, QUERIES[7], tenant)
            assert found.query == QUERIES[7]
            assert found.scores[document_fingerprint(DOCUMENTS[0])] == pytest.approx(
                reranker_score(QUERIES[7], DOCUMENTS[0])
            )
        ends = [
            client(present).pttl(keys_of(reranker.cache.store).scores("acme", QUERIES[7]))
            for reranker in (former, present)
        ]
        assert ends[0] == pytest.approx(ends[1], abs=2000)
        assert statuses(present) == {Status.EXACT}

    def test_again_moves_nothing(self, before: MakeReranker, during: MakeReranker) -> None:
        fill(before())
        present = during()
        present.cache.migrator().run()
        embedded = len(present.cache.backend.embedder.texts)  # type: ignore[attr-defined]
        (status, *_) = present.cache.migrator().run()
        assert (status.state.seen, status.state.moved) == (240, 0)
        assert len(present.cache.backend.embedder.texts) == embedded  # type: ignore[attr-defined]

    def test_the_former_index_is_searched_no_longer(self, before: MakeReranker, during: MakeReranker) -> None:
        fill(before(), ["one two three four"])
        former = WordEmbedder()
        present = during(migrate_from=former)
        present.rerank("four three two one", DOCUMENTS, 3)
        present.cache.migrator().run()
        present.rerank("three four two one", DOCUMENTS, 3)
        assert "four three two one" in former.texts and "three four two one" not in former.texts

    def test_without_texts_scores_move_and_vectors_come_by_traffic(
        self, before: MakeReranker, during: MakeReranker
    ) -> None:
        fill(before(store_queries=False))
        present = during(store_queries=False)
        (status, *_) = present.cache.migrator().run()
        assert (status.entries, status.state.moved, status.state.without_text) == (0, 0, 240)
        assert client(present).exists(keys_of(present.cache.store).scores("acme", QUERIES[0]))
        present.rerank(QUERIES[0], DOCUMENTS, 3, tenant="acme")
        assert present.cache.backend.migration is not None and present.cache.backend.migration.drain(5)
        assert near(present, QUERIES[0], "acme") and not near(present, QUERIES[1], "acme")
        # Near queries of all others are still found, by their former vectors.
        assert present.rerank("moon the of question 7", DOCUMENTS, 3).status is Status.VERIFIED

    def test_orders(self, before: MakeReranker, during: MakeReranker) -> None:
        model = CountingOrder()
        before(reranker=model).rerank(QUERIES[0], DOCUMENTS, 3)
        present = during(reranker=CountingOrder())
        present.cache.migrator().run()
        assert client(present).exists(keys_of(present.cache.store).scores("", QUERIES[0]))

    def test_lists(self, before: MakeReranker, during: MakeReranker) -> None:
        former = before().cache
        former.set(QUERIES[0], DOCUMENTS, DOCUMENTS[:2])
        present = during().cache
        present.migrator().run()
        present.migrator().clean()
        assert present.get(QUERIES[0], DOCUMENTS) == DOCUMENTS[:2]

    def test_signed_entries_and_float16(self, before: MakeReranker, during: MakeReranker) -> None:
        secret = {"signing_key": "a secret of more than 16 characters"}
        fill(before(**secret), QUERIES[:5])
        present = during(**secret)
        present.cache.migrator().run()
        present.cache.migrator().clean()
        assert statuses(present, QUERIES[:5]) == {Status.EXACT}

    async def test_in_an_event_loop(self, before: MakeReranker, during: MakeReranker) -> None:
        fill(before(), QUERIES[:5])
        migrator = during().cache.migrator()
        (status, *_) = await migrator.arun()
        assert status.is_finished and status == (await migrator.astatus())[0]
        assert await migrator.aclean() > 0

    async def test_a_cancelled_task_ends_it(self, before: MakeReranker, during: MakeReranker) -> None:
        fill(before())
        present = during()
        begun = threading.Event()
        running = asyncio.create_task(present.cache.migrator().arun(progress=lambda *_: begun.set()))
        while not begun.is_set():
            await asyncio.sleep(0)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        while (await present.cache.migrator().astatus())[0].is_running:
            await asyncio.sleep(0)
        (status, *_) = await present.cache.migrator().arun()
        assert status.is_finished and status.entries == 240

    def test_without_a_former_embedder(self, before: MakeReranker) -> None:
        with pytest.raises(ConfigurationError, match=r"migration\.from_model"):
            before().cache.migrator()

    def test_an_impossible_share(self) -> None:
        with pytest.raises(ConfigurationError, match="got 0"):
            Migrator([], LetterEmbedder().embed, server_share=0, max_query_chars=512)


class TestChangedMeanwhile:
    def test_what_is_forgotten_between_reading_and_writing_stays_forgotten(
        self, before: MakeReranker, during: MakeReranker
    ) -> None:
        former = before()
        fill(former, QUERIES[:5])
        present = during()
        embedder = present.cache.backend.embedder
        assert isinstance(embedder, LetterEmbedder)
        plain = embedder.embed

        def forgetful(texts: Any) -> Any:
            embedder.embed = plain  # type: ignore[method-assign]
            present.cache.forget(tenant="acme")
            present.cache.forget(query=QUERIES[0])
            present.cache.forget(document=DOCUMENTS[1])
            return plain(texts)

        embedder.embed = forgetful  # type: ignore[method-assign]
        present.cache.migrator().run()
        keys = list(client(present).scan_iter(match=f"{keys_of(present.cache.store).base}:*s:*"))
        assert len(keys) == 4  # without the tenant and the query
        known = present.cache.lookup(QUERIES[1], DOCUMENTS).scores
        assert [score is None for score in known] == [False, True, False, False, False, False]

    def test_new_scores_here_are_kept(self, before: MakeReranker, during: MakeReranker) -> None:
        fill(before(), QUERIES[:2])
        present = during()
        present.cache.remember(QUERIES[0], [DOCUMENTS[0], "another"], [99.0, 7.0])
        present.cache.migrator().run()
        present.cache.migrator().clean()
        known = present.cache.lookup(QUERIES[0], [*DOCUMENTS, "another"]).scores
        assert known[0] == 99.0 and known[-1] == 7.0 and None not in known

    def test_requests_go_on(self, before: MakeReranker, during: MakeReranker) -> None:
        fill(before())
        present = during()
        seen: set[Status] = set()
        is_over = threading.Event()

        def ask() -> None:
            while not is_over.is_set():
                seen.update(statuses(present, QUERIES[::7]))

        asking = threading.Thread(target=ask)
        asking.start()
        try:
            present.cache.migrator().run()
            present.cache.migrator().clean()
        finally:
            is_over.set()
            asking.join()
        assert seen == {Status.EXACT}


class TestInterrupted:
    def test_goes_on_where_it_stopped(self, before: MakeReranker, during: MakeReranker) -> None:
        fill(before())
        present = during()
        asked = iter([False] * 4 + [True] * 100)
        (status, *_) = present.cache.migrator().run(is_stopped=lambda: next(asked))
        assert not status.is_finished and not status.is_running and 0 < status.entries < 240
        (status, *_) = present.cache.migrator().run()
        assert status.is_finished and status.entries == 240

    def test_a_killed_process(self, redis_url: str, namespace: str, before: MakeReranker, during: MakeReranker) -> None:
        fill(before())
        context = multiprocessing.get_context("spawn")
        begun = context.Event()
        process = context.Process(target=migrate_slowly, args=(redis_url, namespace, begun))
        process.start()
        assert begun.wait(60)
        process.kill()
        process.join()
        present = during()
        with pytest.raises(TransientStoreError, match="another process moves these entries"):
            present.cache.migrator().run()
        # Its lease ends after some seconds; here it is taken from the dead at once.
        client(present).delete(keys_of(present.cache.store).migration_lease)
        (status, *_) = present.cache.migrator().run()
        assert status.is_finished and status.entries == 240
        assert statuses(present) == {Status.EXACT}

    def test_a_lease_that_was_lost_ends_the_run(self, before: MakeReranker, during: MakeReranker) -> None:
        fill(before())
        present = during()
        key = keys_of(present.cache.store).migration_lease
        with pytest.MonkeyPatch.context() as patch, pytest.raises(TransientStoreError, match="by now"):
            patch.setattr("semcache.migration.scope._RENEWED_AFTER_S", -1)
            present.cache.migrator().run(progress=lambda *_: client(present).set(key, b"another"))
        assert client(present).get(key) == b"another"

    def test_a_lease_that_ended_and_that_no_other_took_is_taken_anew(
        self, before: MakeReranker, during: MakeReranker
    ) -> None:
        fill(before())
        present = during()
        key = keys_of(present.cache.store).migration_lease
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("semcache.migration.scope._RENEWED_AFTER_S", -1)
            (status, *_) = present.cache.migrator().run(progress=lambda *_: client(present).delete(key))
        assert status.is_finished and status.entries == 240 and not status.is_running

    def test_ctrl_c_is_told_where_redis_is_gone_too(self, namespace: str) -> None:
        with EmbeddedRedis() as server, reranker_of(server.url, namespace, WordEmbedder()) as former:
            fill(former, QUERIES[:5])
            with reranker_of(server.url, namespace, LetterEmbedder(), migrate_from=WordEmbedder()) as present:

                def interrupted(*_: object) -> None:
                    server.close()
                    raise KeyboardInterrupt

                with pytest.raises(KeyboardInterrupt):
                    present.cache.migrator().run(progress=interrupted)

    def test_the_lease_is_renewed_where_all_keys_are_of_others(self, namespace: str, during: MakeReranker) -> None:
        def lose(event: Event) -> None:
            if isinstance(event, MigrationAdvanced):
                client(present).set(keys_of(present.cache.store).migration_lease, b"another")

        present = during(observers=[lose])
        others = {f"others:{namespace}:{number}": b"" for number in range(3000)}  # three pages
        client(present).mset(others)
        with pytest.MonkeyPatch.context() as patch, pytest.raises(TransientStoreError, match="by now"):
            patch.setattr("semcache.migration.scope._RENEWED_AFTER_S", -1)
            present.cache.migrator().run()
        client(present).unlink(*others)

    def test_the_cursor_of_another_process_in_a_cluster_is_not_gone_on_with(
        self, before: MakeReranker, during: MakeReranker
    ) -> None:
        fill(before(), QUERIES[:5])
        present = during()
        source = keys_of(before().cache.store).base
        # On the ninth shard, after three changes of the shards, each of which made the scan begin anew.
        state = json.dumps({"source": source, "cursor": (3 << 32 | 3 << 16 | 8) << 64 | 17, "seen": 1})
        client(present).set(keys_of(present.cache.store).migration, state)
        (status, *_) = present.cache.migrator().run()
        assert status.is_finished and status.entries == 10

    def test_an_embedder_that_proves_to_be_another_of_its_name_keeps_its_lease(
        self, redis_url: str, namespace: str, before: MakeReranker
    ) -> None:
        class OfContent(LetterEmbedder):
            identified_by = IdentifiedBy.CONTENT

        class Other(OfContent):
            def embed(self, texts: Sequence[str]) -> FloatArray:
                return np.ascontiguousarray(super().embed(texts)[:, ::-1])

        fill(before(), QUERIES[:5])
        with reranker_of(redis_url, namespace, OfContent()) as first:
            first.rerank(QUERIES[0], DOCUMENTS, 3)
        with (
            reranker_of(redis_url, namespace, Other(), migrate_from=WordEmbedder()) as present,
            pytest.MonkeyPatch.context() as patch,
        ):
            patch.setattr("semcache.migration.scope._RENEWED_AFTER_S", -1)
            (status, *_) = present.cache.migrator().run()
            assert (status.scope, status.entries) == (keys_of(present.cache.store).base, 10)
            assert not client(present).exists(keys_of(present.cache.store).migration_lease)

    def test_a_damaged_state_is_begun_anew(self, before: MakeReranker, during: MakeReranker) -> None:
        fill(before(), QUERIES[:5])
        present = during()
        client(present).set(keys_of(present.cache.store).migration, b'{"source": 7}')
        (status, *_) = present.cache.migrator().run()
        assert status.is_finished and status.entries == 10


class TestClean:
    def test_removes_every_key_and_index_of_the_former_scope(self, before: MakeReranker, during: MakeReranker) -> None:
        former = before()
        fill(former)
        present = during()
        base = keys_of(former.cache.store).base
        present.cache.migrator().run()
        assert present.cache.migrator().clean() >= 480
        assert list(client(present).scan_iter(match=f"{base}:*")) == []
        assert not [name for name in client(present).execute_command("FT._LIST") if base.encode() in name]
        assert statuses(present) == {Status.EXACT}
        assert near(present, QUERIES[3])

    def test_not_before_a_run_has_finished(self, before: MakeReranker, during: MakeReranker) -> None:
        fill(before(), QUERIES[:5])
        present = during()
        with pytest.raises(InvalidInputError, match="not all moved"):
            present.cache.migrator().clean()
        assert present.cache.migrator().clean(force=True) > 0

    def test_not_while_former_processes_write(self, before: MakeReranker, during: MakeReranker) -> None:
        former = before()
        fill(former, QUERIES[:5])
        present = during()
        present.cache.migrator().run()
        fill(former)
        with pytest.raises(InvalidInputError, match="since the last run"):
            present.cache.migrator().clean()
        assert present.cache.migrator().clean() > 0  # what was written was moved just now

    def test_other_processes_stop_reading(self, before: MakeReranker, during: MakeReranker) -> None:
        former = before()
        fill(former, QUERIES[:5])
        present, other = during(), during()
        present.cache.migrator().run()
        present.cache.migrator().clean()
        other.rerank(QUERIES[0], DOCUMENTS, 3)
        fill(former, ["a new question"])
        assert other.rerank("a new question", DOCUMENTS, 3).status is Status.FRESH

    def test_going_back_and_forth(self, before: MakeReranker, during: MakeReranker) -> None:
        former = before()
        fill(former, QUERIES[:5])
        present = during()
        present.cache.migrator().run()
        present.cache.migrator().clean()
        fill(former, ["asked after the return"])
        again = during()
        again.cache.migrator().run()
        assert again.rerank("asked after the return", DOCUMENTS, 3).status is Status.EXACT
        assert near(again, "asked after the return")


class TestCluster:
    @pytest.fixture
    def pair(self, cluster: EmbeddedRedis, namespace: str) -> Iterator[tuple[CachedReranker, CachedReranker]]:
        with (
            reranker_of(cluster.url, namespace, WordEmbedder()) as former,
            reranker_of(cluster.url, namespace, LetterEmbedder(), migrate_from=WordEmbedder()) as present,
        ):
            yield former, present

    def test_moves_and_cleans(self, pair: tuple[CachedReranker, CachedReranker]) -> None:
        former, present = pair
        fill(former, QUERIES[:30])
        assert present.rerank("moon the of question 7", DOCUMENTS, 3).status is Status.VERIFIED
        (status, *_) = present.cache.migrator().run()
        assert status.is_finished and status.entries == 61  # with that of the query that was verified
        assert present.cache.migrator().clean() >= 120
        assert statuses(present, QUERIES[:30]) == {Status.EXACT}
        assert near(present, QUERIES[3], "acme")


def migrate_slowly(redis_url: str, namespace: str, begun: Any) -> None:
    """Moves a part of the entries, and stands still until it is killed."""

    def stop(task: str, done: int, total: int) -> None:
        begun.set()
        threading.Event().wait(60)

    with reranker_of(redis_url, namespace, LetterEmbedder(), migrate_from=WordEmbedder()) as present:
        present.cache.migrator().run(progress=stop)


def test_the_vectors_are_those_of_the_present_embedder(before: MakeReranker, during: MakeReranker) -> None:
    fill(before(), QUERIES[:3])
    present = during()
    present.cache.migrator().run()
    stored = present.cache.store.read_vector("", QUERIES[0])
    assert stored is not None
    assert np.allclose(stored, LetterEmbedder().embed([QUERIES[0]])[0], atol=1e-3)
