"""How often a reranker is asked by kind: a service once, since every round waits for the network."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from semcache.batching.reranker import AsyncBatchReranker
from semcache.cache import RedisSemanticCache
from semcache.cached import CachedReranker
from semcache.degradation.monitor import LatencyMonitor
from semcache.degradation.reranker import DegradableReranker
from semcache.ranking import Ranking, Status
from semcache.settings import Settings
from tests.fakes import CountingReranker, WordEmbedder

DOCUMENTS = [f"passage number {n}" for n in range(40)]
NEAR, LATER = "how far is the moon from here", "how far is the moon from here tonight"


class Moved(CountingReranker):
    """Any score for any pair: the scores of a near query say little."""

    def score_of(self, query: str, text: str) -> float:
        return float(np.random.default_rng([len(query), sum(text.encode())]).normal())


@pytest.fixture
def asked_for(redis_url: str, namespace: str) -> Iterator[Callable[..., Ranking[str]]]:
    opened: list[Any] = []

    def asked_for(reranker: object, **reuse: Any) -> Ranking[str]:
        settings = Settings(cache={"namespace": namespace}, reuse=reuse, prune={"mode": "off"})
        cache = RedisSemanticCache(redis_url, WordEmbedder(), settings=settings)
        cached = CachedReranker(reranker, cache, guard="off")
        opened.append(cached)
        cached.rerank(NEAR, DOCUMENTS)
        return cached.rerank(LATER, DOCUMENTS)

    yield asked_for
    for cached in opened:
        cached.close()


def remote() -> Moved:
    reranker = Moved()
    reranker.concurrency = 4  # type: ignore[attr-defined]
    return reranker


def test_a_model_in_this_process_is_asked_again_where_that_avoids_pairs(asked_for: Any) -> None:
    ranking = asked_for(Moved())
    assert (ranking.status, ranking.rounds > 1) == (Status.VERIFIED, True)


def test_a_service_is_asked_once(asked_for: Any) -> None:
    ranking = asked_for(remote())
    assert (ranking.status, ranking.rounds) == (Status.VERIFIED, 1)


def test_a_service_is_asked_as_often_as_the_settings_say(asked_for: Any) -> None:
    assert asked_for(remote(), max_rounds=3).rounds > 1


def test_a_ladder_is_of_the_kind_of_its_primary() -> None:
    monitor = LatencyMonitor()
    with (
        DegradableReranker(Moved(), remote(), monitor) as local,
        DegradableReranker(remote(), Moved(), monitor) as service,
        AsyncBatchReranker(Moved(), concurrency=3) as batched,
    ):
        assert (local.is_remote, service.is_remote, batched.is_remote) == (False, True, True)
