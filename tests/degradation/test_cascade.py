"""A rung that scores all documents before the primary is asked: it answers in time, or not at all."""

import asyncio
from collections.abc import Iterator, Sequence

import pytest

from semcache.cache import RedisSemanticCache
from semcache.cached import CachedReranker
from semcache.degradation.monitor import LatencyMonitor
from semcache.degradation.reranker import DegradableReranker
from semcache.errors import ConfigurationError
from semcache.events import Event, RungFailed
from semcache.protocols import FloatArray, Pair
from semcache.rerankers.learned import LearnedReranker
from semcache.settings import Settings
from tests.fakes import CountingReranker, WordEmbedder
from tests.scripted import PATIENCE_S, ScriptedClock, ScriptedReranker

TEXTS = ["a", "abc", "ab"]


class Cascading:
    """A ladder of a primary and a cheap rung, on a scripted clock."""

    def __init__(self) -> None:
        self.clock = ScriptedClock()
        self.primary = ScriptedReranker("primary", clock=self.clock)
        self.cheap = ScriptedReranker("cheap", clock=self.clock, service_s=0.1)
        self.events: list[Event] = []
        learned = LearnedReranker(ScriptedReranker("otherwise"))
        self.ladder = DegradableReranker(
            self.primary, self.cheap, LatencyMonitor(), rungs=[learned], clock=self.clock, on_event=self.events.append
        )


@pytest.fixture
def cascading() -> Iterator[Cascading]:
    made = Cascading()
    with made.ladder:
        yield made


async def test_the_named_rung_scores_every_document(cascading: Cascading) -> None:
    cascade = cascading.ladder.cascade("cheap")
    found, awaited = cascade.score("q", TEXTS), await cascade.ascore("q", TEXTS, deadline_s=1.0)
    assert found is not None and awaited is not None
    assert found.tolist() == awaited.tolist() == [1, 3, 2]
    assert not cascading.primary.calls


class HomeBound(CountingReranker):
    """An asynchronous client that belongs to the event loop that it was first used on."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.loops: set[asyncio.AbstractEventLoop] = set()

    async def ascore_pairs(self, pairs: Sequence[Pair]) -> FloatArray:
        self.loops.add(asyncio.get_running_loop())
        return self.score(pairs)


def test_in_the_background_a_client_is_asked_on_the_loop_of_the_request() -> None:
    cheap, events = HomeBound("cheap"), list[Event]()
    ladder = DegradableReranker(CountingReranker(), cheap, LatencyMonitor(p95_threshold=30), on_event=events.append)
    cascade = ladder.cascade("cheap")

    async def request() -> asyncio.AbstractEventLoop:
        loop = asyncio.get_running_loop()
        found = await asyncio.to_thread(cascade.score_from, loop, "q", TEXTS)
        assert found is not None and len(found) == len(TEXTS)
        return loop

    with ladder:
        loop = asyncio.run(request())
        assert cheap.loops == {loop}
        assert cascade.score_from(loop, "q", TEXTS) is None, "its loop has ended"
        assert cheap.loops == {loop}
        assert cascade.score_from(None, "q", TEXTS) is not None
    assert not any(isinstance(event, RungFailed) for event in events)


async def test_what_a_client_says_is_learned_on_the_loop_of_the_request(redis_url: str, namespace: str) -> None:
    settings = Settings(
        cache={"namespace": namespace}, reuse={"audit_rate": 0}, prune={"mode": "measure", "cascade": "cheap"}
    )
    cheap = HomeBound("cheap")
    cache = RedisSemanticCache(redis_url, WordEmbedder(), settings=settings)
    ladder = DegradableReranker(CountingReranker(), cheap, LatencyMonitor(p95_threshold=30))
    async with ladder, CachedReranker(ladder, cache, repair=False) as reranker:
        await reranker.arerank("how far is the moon", TEXTS)
        assert await asyncio.to_thread(reranker.audit.drain, PATIENCE_S)
    assert cheap.loops == {asyncio.get_running_loop()}


@pytest.mark.parametrize("name", ["primary", "unheard", "otherwise", "learned"])
def test_only_a_rung_below_the_primary_that_scores_by_itself_will_do(cascading: Cascading, name: str) -> None:
    with pytest.raises(
        ConfigurationError, match=rf"prune.cascade is '{name}'; name a rung below the primary \(cheap\)"
    ):
        cascading.ladder.cascade(name)


def test_its_cost_is_that_of_a_pair_as_a_share_of_the_primarys(cascading: Cascading) -> None:
    cascade = cascading.ladder.cascade("cheap")
    cascading.primary.service_s = 0.5
    cascade.score("q", TEXTS)
    assert cascade.cost_share() is None
    cascading.ladder.score("q", TEXTS, range(3))
    assert cascade.cost_share() == pytest.approx(0.2, rel=0.5)


def test_a_rung_that_fails_is_an_event_and_no_answer(cascading: Cascading) -> None:
    cascading.cheap.fail = lambda pairs: RuntimeError("scripted")
    assert cascading.ladder.cascade("cheap").score("q", TEXTS) is None
    failed = [event for event in cascading.events if isinstance(event, RungFailed)]
    assert [event.reranker for event in failed] == ["cheap"]


def test_a_rung_that_goes_on_failing_is_left_alone(cascading: Cascading) -> None:
    cascade = cascading.ladder.cascade("cheap")
    assert cascade.score("q", TEXTS) is not None
    cascading.cheap.fail = lambda pairs: RuntimeError("scripted")
    for _ in range(10):
        assert cascade.score("q", TEXTS) is None
    assert cascading.ladder.get_stats()["rungs"][1]["state"] == "open"


def test_a_rung_whose_breaker_is_open_is_left_alone(cascading: Cascading) -> None:
    cascading.ladder.force_open(reranker="cheap")
    assert cascading.ladder.cascade("cheap").score("q", TEXTS) is None
    assert not cascading.cheap.calls


def test_a_rung_that_would_be_late_is_not_asked(cascading: Cascading) -> None:
    cascade = cascading.ladder.cascade("cheap")
    cascade.score("q", TEXTS)
    assert cascade.score("q", TEXTS, deadline_s=0.01) is None
    assert len(cascading.cheap.calls) == 1


def test_a_reranker_without_rungs_has_no_cascade(redis_url: str, namespace: str) -> None:
    settings = Settings(cache={"namespace": namespace}, prune={"cascade": "cheap"})
    refused = pytest.raises(ConfigurationError, match=r"is 'cheap', and this reranker has no rungs below it")
    with RedisSemanticCache(redis_url, WordEmbedder(), settings=settings) as cache, refused:
        CachedReranker(ScriptedReranker("alone"), cache)
