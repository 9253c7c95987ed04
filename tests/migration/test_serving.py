"""Requests while the entries of a former embedder are still in use."""

import threading
from collections.abc import Sequence

import numpy as np
import pytest

from semcache.cache import RedisSemanticCache
from semcache.entries.fingerprint import document_fingerprint
from semcache.errors import ConfigurationError
from semcache.events import CacheFailed, Event
from semcache.flow.steps import Lease
from semcache.protocols import FloatArray
from semcache.ranking import Status
from semcache.redis.store import keys_of
from tests.fakes import CountingOrder, CountingReranker, WordEmbedder
from tests.migration.conftest import DOCUMENTS, LetterEmbedder, MakeReranker, reranker_of

QUERY = "how far is the moon"


class TestExact:
    def test_a_former_entry_answers_without_the_model(self, before: MakeReranker, during: MakeReranker) -> None:
        expected = before().rerank(QUERY, DOCUMENTS, 3)
        model = CountingReranker()
        found = during(reranker=model).rerank(QUERY, DOCUMENTS, 3)
        assert (found.status, list(found), found.scores) == (Status.EXACT, list(expected), expected.scores)
        assert model.pairs == []

    async def test_in_an_event_loop(self, before: MakeReranker, during: MakeReranker) -> None:
        expected = before().rerank(QUERY, DOCUMENTS, 3)
        found = await during().arerank(QUERY, DOCUMENTS, 3)
        assert (found.status, found.scores) == (Status.EXACT, expected.scores)

    def test_several_at_once(self, before: MakeReranker, during: MakeReranker) -> None:
        before().rerank(QUERY, DOCUMENTS, 3)
        found = during().rerank_many([QUERY, "what is red"], [DOCUMENTS, DOCUMENTS], 3)
        assert [ranking.status for ranking in found] == [Status.EXACT, Status.FRESH]

    def test_documents_that_only_one_scope_knows_are_put_together(
        self, before: MakeReranker, during: MakeReranker
    ) -> None:
        before().rerank(QUERY, DOCUMENTS[:4], 3)
        model = CountingReranker()
        present = during(reranker=model)
        partly = present.rerank(QUERY, DOCUMENTS, 3)
        assert partly.status is Status.PARTIAL and len(model.pairs) == 2
        assert present.rerank(QUERY, DOCUMENTS, 3).status is Status.EXACT
        assert len(model.pairs) == 2

    def test_one_that_waits_for_another_process_sees_what_both_scopes_know(
        self, before: MakeReranker, during: MakeReranker
    ) -> None:
        before().rerank(QUERY, DOCUMENTS[:4], 3)
        store = during().cache.store
        store.remember("", QUERY, None, [(document_fingerprint(DOCUMENTS[4]), 1.0)])
        scores, is_free = store.look_at_lease(Lease("", QUERY, "name", b"token", 1.0, 1.0))
        assert scores is not None and is_free
        assert set(map(document_fingerprint, DOCUMENTS[:5])) <= set(scores)

    def test_another_tenant_sees_nothing(self, before: MakeReranker, during: MakeReranker) -> None:
        before().rerank(QUERY, DOCUMENTS, 3, tenant="a")
        present = during()
        assert present.rerank(QUERY, DOCUMENTS, 3, tenant="b").status is Status.FRESH
        assert present.rerank(QUERY, DOCUMENTS, 3, tenant="a").status is Status.EXACT

    def test_another_reranker_sees_nothing(self, before: MakeReranker, during: MakeReranker) -> None:
        before(reranker=CountingReranker("one")).rerank(QUERY, DOCUMENTS, 3)
        assert during(reranker=CountingReranker("other")).rerank(QUERY, DOCUMENTS, 3).status is Status.FRESH

    def test_an_order_is_not_merged(self, before: MakeReranker, during: MakeReranker) -> None:
        before(reranker=CountingOrder()).rerank(QUERY, DOCUMENTS[:4], 3)
        model = CountingOrder()
        present = during(reranker=model)
        present.rerank(QUERY, DOCUMENTS, 3)
        assert len(model.pairs) == len(DOCUMENTS)
        fresh = CountingOrder().score([(QUERY, text) for text in DOCUMENTS])
        again = present.rerank(QUERY, DOCUMENTS, len(DOCUMENTS))
        assert again.status is Status.EXACT
        assert list(again) == [DOCUMENTS[place] for place in (-fresh).argsort(kind="stable")]

    def test_signed_entries(self, before: MakeReranker, during: MakeReranker) -> None:
        secret = {"signing_key": "a secret of more than 16 characters"}
        before(**secret).rerank(QUERY, DOCUMENTS, 3)
        assert during(**secret).rerank(QUERY, DOCUMENTS, 3).status is Status.EXACT
        assert during().rerank(QUERY, DOCUMENTS, 3).status is Status.FRESH


class TestNear:
    def test_former_entries_are_found_by_vectors_of_their_own_embedder(
        self, before: MakeReranker, during: MakeReranker
    ) -> None:
        before().rerank("one two three four five six seven eight", DOCUMENTS, 3)
        reworded = "eight seven six five four three two one"  # equal for the former embedder alone
        found = during().rerank(reworded, DOCUMENTS, 3)
        assert (found.status, found.similarity) == (Status.VERIFIED, pytest.approx(1, abs=1e-3))

    def test_they_are_never_served_unasked_since_thresholds_are_those_of_the_present_embedder(
        self, redis_url: str, namespace: str, during: MakeReranker
    ) -> None:
        class Compressed(WordEmbedder):
            """All of its cosines lie above the threshold."""

            def embed(self, texts: Sequence[str]) -> FloatArray:
                rows = super().embed(texts) + 1
                return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)

        with reranker_of(redis_url, namespace, Compressed()) as former:
            former.rerank(QUERY, DOCUMENTS, 3)
        other = "price of a red bicycle"
        found = during(migrate_from=Compressed()).rerank(other, DOCUMENTS, 3)
        assert found.status is Status.VERIFIED and "former embedder" in found.why
        fresh = dict(zip(DOCUMENTS, CountingReranker().score([(other, text) for text in DOCUMENTS]), strict=True))
        assert list(found.scores or ()) == pytest.approx([fresh[document] for document in found])

    async def test_in_an_event_loop_and_with_a_tenant(self, before: MakeReranker, during: MakeReranker) -> None:
        before().rerank("one two three four", DOCUMENTS, 3, tenant="a")
        present = during()
        assert (await present.arerank("four three two one", DOCUMENTS, 3, tenant="a")).status is Status.VERIFIED
        assert (await present.arerank("four two three one", DOCUMENTS, 3, tenant="b")).status is Status.FRESH

    def test_not_looked_for_where_the_settings_say_so(
        self, redis_url: str, namespace: str, before: MakeReranker
    ) -> None:
        before().rerank("one two three four", DOCUMENTS, 3)
        former = WordEmbedder()
        with reranker_of(
            redis_url, namespace, LetterEmbedder(), migrate_from=former, migration={"search": False}
        ) as present:
            assert present.rerank("four three two one", DOCUMENTS, 3).status is Status.FRESH
        assert former.texts == []

    def test_a_former_embedder_that_still_loads_is_not_waited_for(
        self, during: MakeReranker, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("semcache.embedders.queries.EMBEDDER_PATIENCE_S", 0.05)
        loaded, events = threading.Event(), list[Event]()

        class Loading(WordEmbedder):
            def embed(self, texts: Sequence[str]) -> FloatArray:
                assert loaded.wait(20)
                return super().embed(texts)

        present = during(migrate_from=Loading(), observers=[events.append])
        assert present.rerank(QUERY, DOCUMENTS, 3).status is Status.FRESH  # before it is loaded
        assert [event.step for event in events if isinstance(event, CacheFailed)] == ["Migration"]
        loaded.set()

    def test_a_former_embedder_that_fails_costs_its_own_hits_alone(
        self, before: MakeReranker, during: MakeReranker
    ) -> None:
        class Broken(WordEmbedder):
            def embed(self, texts: object) -> object:  # type: ignore[override]
                raise RuntimeError("gone")

        events: list[Event] = []
        before().rerank("one two three four", DOCUMENTS, 3)
        present = during(migrate_from=Broken(), observers=[events.append])
        assert present.rerank("four three two one", DOCUMENTS, 3).status is Status.FRESH
        assert present.rerank("four three two  one", DOCUMENTS, 3).status is Status.EXACT
        assert [event for event in events if isinstance(event, CacheFailed)] == [
            CacheFailed("Migration", "RuntimeError: gone")
        ]

    def test_a_missing_former_index_is_not_created(self, redis_url: str, namespace: str, during: MakeReranker) -> None:
        present = during()
        present.rerank(QUERY, DOCUMENTS, 3)
        indexes = present.cache.backend.connection.client.execute_command("FT._LIST")
        ours = {name.decode() for name in indexes if f":{namespace}:".encode() in name}
        assert ours == {keys_of(cache.store).base for cache in (present.cache, present.cache.of("default"))}


class TestByTraffic:
    def test_an_entry_that_is_asked_for_is_moved(self, before: MakeReranker, during: MakeReranker) -> None:
        before(store_queries=False).rerank(QUERY, DOCUMENTS, 3)
        present = during(store_queries=False)
        present.rerank(QUERY, DOCUMENTS, 3)
        migration = present.cache.backend.migration
        assert migration is not None and migration.drain(5)
        (vector,) = LetterEmbedder().embed([QUERY])
        (found,) = present.cache.store.find_neighbours("", vector, 4, 0.99)
        assert len(found.scores) == len(DOCUMENTS)

    def test_once(self, before: MakeReranker, during: MakeReranker) -> None:
        before(store_queries=False).rerank(QUERY, DOCUMENTS, 3)
        present = during(store_queries=False)
        embedder = present.cache.backend.embedder
        assert isinstance(embedder, LetterEmbedder)
        for _ in range(3):
            present.rerank(QUERY, DOCUMENTS, 3)
            assert present.cache.backend.migration is not None
            present.cache.backend.migration.drain(5)
        assert embedder.texts.count(QUERY) == 1


class TestForget:
    def test_a_query_in_both_scopes(self, before: MakeReranker, during: MakeReranker) -> None:
        former = before()
        former.rerank(QUERY, DOCUMENTS, 3)
        present = during()
        present.cache.migrator().run()
        assert present.cache.forget(query=QUERY) == 2
        assert present.rerank(QUERY, DOCUMENTS, 3).status is Status.FRESH

    def test_a_document_in_both_scopes(self, before: MakeReranker, during: MakeReranker) -> None:
        before().rerank(QUERY, DOCUMENTS, 3, tenant="a")
        present = during()
        present.cache.migrator().run()
        present.cache.forget(document=DOCUMENTS[0])
        found = present.cache.lookup(QUERY, DOCUMENTS, tenant="a")
        assert [score is None for score in found.scores] == [True] + [False] * 5

    async def test_everything(self, before: MakeReranker, during: MakeReranker) -> None:
        before().rerank(QUERY, DOCUMENTS, 3)
        present = during()
        assert await present.cache.aclear() == 1
        assert present.rerank(QUERY, DOCUMENTS, 3).status is Status.FRESH


def test_the_present_embedder_is_refused_as_the_former(redis_url: str) -> None:
    with pytest.raises(ConfigurationError, match="is the present one, words"):
        RedisSemanticCache(redis_url, WordEmbedder(), migrate_from=WordEmbedder())
