"""Whatever an embedder raises, the request goes on without near queries, and the failure is an event."""

import asyncio
from collections.abc import Iterator, Sequence

import pytest

from semcache.cache import RedisSemanticCache
from semcache.cached import CachedReranker
from semcache.events import CacheFailed, Event
from semcache.protocols import FloatArray
from semcache.ranking import Status
from tests.fakes import CountingReranker, WordEmbedder

DOCUMENTS = ["a red car", "the moon"]


class Raising(WordEmbedder):
    """Raises what it is told to."""

    error: BaseException | None = None

    def embed(self, texts: Sequence[str]) -> FloatArray:
        if self.error is not None:
            raise self.error
        return super().embed(texts)


@pytest.fixture
def embedder() -> Raising:
    return Raising()


@pytest.fixture
def events() -> list[Event]:
    return []


@pytest.fixture
def reranker(
    redis_url: str, namespace: str, embedder: Raising, events: list[Event], monkeypatch: pytest.MonkeyPatch
) -> Iterator[CachedReranker]:
    monkeypatch.setenv("SEMCACHE_NAMESPACE", namespace)
    with CachedReranker(
        CountingReranker(), RedisSemanticCache(redis_url, embedder, observers=[events.append])
    ) as cached:
        yield cached


ERRORS = [ValueError("x"), StopIteration(), SystemExit(3), GeneratorExit(), asyncio.CancelledError()]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
async def test_requests_go_on(
    error: BaseException, reranker: CachedReranker, embedder: Raising, events: list[Event]
) -> None:
    embedder.error = error
    for ranking in (
        reranker.rerank("a red car", DOCUMENTS),
        reranker.rerank("a blue car", DOCUMENTS, deadline_s=5),
        await reranker.arerank("a green car", DOCUMENTS),
        *reranker.rerank_many(["car one", "car two"], [DOCUMENTS] * 2),
    ):
        assert ranking.status is Status.FRESH
    failed = [event for event in events if isinstance(event, CacheFailed)]
    assert failed
    assert all(event.step == "Embed" and type(error).__name__ in event.error for event in failed)


def test_the_users_own_interrupt_is_passed_on(reranker: CachedReranker, embedder: Raising) -> None:
    embedder.error = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        reranker.rerank("a red car", DOCUMENTS)
