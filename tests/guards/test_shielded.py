"""A guard of the caller's own that fails."""

from collections.abc import Callable

import pytest

from semcache import CachedReranker, RedisSemanticCache, Settings
from semcache.events import Event, TrustRefused
from semcache.guards import CueGuard, guard_of
from semcache.guards.shielded import ShieldedGuard
from tests.fakes import CountingReranker, WordEmbedder

DOCUMENTS = [f"passage {number}" for number in range(8)]


class Mine:
    """Fails where it is told to."""

    def __init__(self, fails: str) -> None:
        self.fails = fails

    def cues(self, query: str) -> bytes:
        if self.fails == "cues":
            raise ValueError(query)
        return b"text"

    def difference(self, ours: bytes, theirs: bytes, similarity: float = 1.0) -> str | None:
        if self.fails == "difference":
            raise ValueError(ours)
        return None


@pytest.mark.parametrize(
    ("fails", "said"), [("cues", "guard failed"), ("difference", "guard failed: ValueError"), ("", None)]
)
def test_what_it_raises_fails_no_request_and_keeps_queries_apart(
    redis_url: str, namespace: str, fails: str, said: str | None
) -> None:
    events: list[Event] = []
    settings = Settings(cache={"namespace": namespace}, reuse={"audit_rate": 0})
    cache = RedisSemanticCache(
        redis_url, WordEmbedder(), 0.9, guard=Mine(fails), settings=settings, observers=[events.append]
    )
    with CachedReranker(CountingReranker(), cache) as reranker:
        reranker.rerank("how far is the moon", DOCUMENTS, 2)
        ranking = reranker.rerank("is the moon how far", DOCUMENTS, 2)
    assert len(ranking) == 2
    refused = [event.difference for event in events if isinstance(event, TrustRefused)]
    assert refused == ([] if said is None else [said])
    assert (ranking.status == "semantic") is (said is None)


@pytest.mark.parametrize("make", [CueGuard, lambda: ShieldedGuard(Mine(""))])
def test_none_is_shielded_that_cannot_fail(make: Callable[[], CueGuard | ShieldedGuard]) -> None:
    guard = make()
    assert guard_of(guard) is guard
