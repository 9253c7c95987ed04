"""Caches before and during a migration, on one namespace of a real Redis."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from itertools import pairwise
from typing import Any

import pytest

from semcache.cache import RedisSemanticCache
from semcache.cached import CachedReranker
from semcache.settings import Settings
from tests.fakes import CountingReranker, WordEmbedder

DOCUMENTS = [f"passage {number} about the moon" for number in range(6)]


class LetterEmbedder(WordEmbedder):
    """A unit vector per bag of pairs of letters: other dims, and other similarities, than the former embedder's."""

    name = "letters"
    dims = 48

    def numbers_of(self, text: str) -> list[int]:
        return [ord(first) * 7 + ord(second) for first, second in pairwise(text)]


MakeReranker = Callable[..., CachedReranker]


@pytest.fixture
def before(redis_url: str, namespace: str) -> Iterator[MakeReranker]:
    """Makes rerankers over a cache with the former embedder."""
    with ExitStack() as stack:

        def make(**options: Any) -> CachedReranker:
            return stack.enter_context(reranker_of(redis_url, namespace, WordEmbedder(), **options))

        yield make


@pytest.fixture
def during(redis_url: str, namespace: str) -> Iterator[MakeReranker]:
    """Makes rerankers over a cache with the present embedder that reads the former one's entries, too."""
    with ExitStack() as stack:

        def make(**options: Any) -> CachedReranker:
            given = {"migrate_from": WordEmbedder(), **options}
            return stack.enter_context(reranker_of(redis_url, namespace, LetterEmbedder(), **given))

        yield make


def reranker_of(
    redis_url: str,
    namespace: str,
    embedder: object,
    *,
    migrate_from: object = None,
    reranker: CountingReranker | None = None,
    store_queries: bool = True,
    observers: Sequence[Any] = (),
    migration: dict[str, Any] | None = None,
    **cache: Any,
) -> CachedReranker:
    settings = Settings(
        cache={"namespace": namespace, "store_queries": store_queries, **cache},
        reuse={"audit_rate": 0, "guard": "off"},
        prune={"mode": "off"},
        migration={"server_share": 1, **(migration or {})},
    )
    opened = RedisSemanticCache(
        redis_url, embedder, 0.9, migrate_from=migrate_from, settings=settings, observers=observers
    )
    return CachedReranker(reranker or CountingReranker(), opened)
