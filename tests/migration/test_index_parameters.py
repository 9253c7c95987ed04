"""The same embedder with another index: entries are copied with their vectors, and nothing is embedded."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from semcache.cached import CachedReranker
from semcache.errors import ConfigurationError
from semcache.ranking import Status
from semcache.redis.layout import vector_attributes
from semcache.redis.store import keys_of
from semcache.settings import Cache, Settings
from tests.fakes import WordEmbedder
from tests.migration.conftest import DOCUMENTS, MakeReranker, reranker_of

NEW: dict[str, Any] = {"vector_type": "float32", "m": 8, "ef_construction": 64}
FROM = {"from_vector_type": "float16", "from_m": 16, "from_ef_construction": 100}


@pytest.fixture
def present(redis_url: str, namespace: str, before: MakeReranker) -> Iterator[CachedReranker]:
    """A cache with a new index beside one with an entry in the usual index."""
    before(store_queries=False).rerank("one two three four", DOCUMENTS, 3)
    with ExitStack() as stack:
        yield stack.enter_context(
            reranker_of(redis_url, namespace, WordEmbedder(), store_queries=False, migration=FROM, **NEW)
        )


def test_near_entries_of_the_former_index_are_found_by_the_same_vector(present: CachedReranker) -> None:
    assert present.rerank("four three two one", DOCUMENTS, 3).status is Status.SEMANTIC
    embedder = present.cache.backend.embedder
    assert isinstance(embedder, WordEmbedder)
    assert embedder.texts.count("four three two one") == 1


def test_vectors_are_moved_without_texts_and_without_the_embedder(present: CachedReranker) -> None:
    embedder = present.cache.backend.embedder
    assert isinstance(embedder, WordEmbedder)
    asked = len(embedder.texts)
    (status, *_) = present.cache.migrator().run()
    assert (status.entries, status.state.embedded, status.state.without_text) == (1, 1, 0)
    assert len(embedder.texts) == asked
    present.cache.migrator().clean()
    assert present.rerank("four three two one", DOCUMENTS, 3).status is Status.SEMANTIC
    client = present.cache.backend.connection.client
    info = client.execute_command("FT.INFO", keys_of(present.cache.store).base)
    assert "FLOAT32" in str(info) and "FLOAT16" not in str(info)


def test_statistics_of_the_embedder_stay(redis_url: str, namespace: str, before: MakeReranker) -> None:
    former = before()
    former.rerank("one two three four", DOCUMENTS, 3)
    # Also of pruning, and of pruning with a cascade.
    statistics = [f"{keys_of(former.cache.store).base}:{name}" for name in ("q", "z", "l", "z:cheap", "l:cheap")]
    for key in statistics:
        former.cache.backend.connection.client.hset(key, "changes", "1")
    with reranker_of(redis_url, namespace, WordEmbedder(), migration=FROM, **NEW) as present:
        present.cache.migrator().run()
        present.cache.migrator().clean()
        client = present.cache.backend.connection.client
        assert [client.hget(key, "changes") for key in statistics] == [b"1"] * 5


def test_an_index_that_is_the_present_one_is_refused(redis_url: str, namespace: str) -> None:
    with pytest.raises(ConfigurationError, match="name the present index"):
        reranker_of(redis_url, namespace, WordEmbedder(), migration=FROM)


def test_the_usual_index_has_the_scope_that_it_always_had(before: MakeReranker) -> None:
    usual = vector_attributes()
    knobs = Cache()
    assert (knobs.vector_type, knobs.m, knobs.ef_construction) == (
        usual["datatype"],
        usual["m"],
        usual["ef_construction"],
    )
    assert not Settings().migration.is_of_index
