"""A rung that scores all documents before the primary is asked: it answers in time, or not at all."""

from collections.abc import Iterator

import pytest

from semcache.cache import RedisSemanticCache
from semcache.cached import CachedReranker
from semcache.degradation.monitor import LatencyMonitor
from semcache.degradation.reranker import DegradableReranker
from semcache.errors import ConfigurationError
from semcache.events import Event, RungFailed
from semcache.rerankers.learned import LearnedReranker
from semcache.settings import Settings
from tests.fakes import WordEmbedder
from tests.scripted import ScriptedClock, ScriptedReranker

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
