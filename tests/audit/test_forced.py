"""What an operator has decided about the primary is followed by every process of the namespace, on a real Redis."""

from collections.abc import Iterator
from typing import Any, ClassVar

import pytest

from semcache.audit.forced import REFRESH_S, ForcedWatch
from semcache.cache import RedisSemanticCache
from semcache.cached import CachedReranker
from semcache.degradation.monitor import LatencyMonitor
from semcache.degradation.reranker import DegradableReranker
from semcache.errors import StoreError
from semcache.events import CacheFailed, Event
from semcache.redis.forced_state import RESET, ForcedState, ForcedStateStore
from tests.fakes import CountingReranker
from tests.forks import PATIENCE_S
from tests.scripted import ScriptedClock

OPEN = ForcedState("forced-open", "maintenance", 1000.0)


@pytest.fixture
def store(cache: RedisSemanticCache, namespace: str) -> ForcedStateStore:
    return ForcedStateStore(cache.backend.connection, namespace)


@pytest.fixture
def ladder() -> Iterator[DegradableReranker]:
    with DegradableReranker(CountingReranker("primary"), None, LatencyMonitor()) as ladder:
        yield ladder


class Process:
    """The watch of one process, which looks at Redis when it is told."""

    def __init__(self, cache: RedisSemanticCache, ladder: object) -> None:
        self.clock = ScriptedClock()
        self.watch = ForcedWatch(cache.scoped, ladder, clock=self.clock)
        assert self.watch.drain(PATIENCE_S)

    def look(self) -> None:
        self.clock.pass_(REFRESH_S)
        self.watch.keep_up()
        assert self.watch.drain(PATIENCE_S)


def rung(ladder: DegradableReranker) -> tuple[str, str]:
    shown: dict[str, Any] = ladder.get_stats()["rungs"][0]
    return shown["state"], shown["cause"]


class TestWatch:
    def test_a_decision_is_followed_and_shown_until_it_ends(
        self, cache: RedisSemanticCache, store: ForcedStateStore, ladder: DegradableReranker
    ) -> None:
        process = Process(cache, ladder)
        store.write(OPEN)
        process.look()
        assert rung(ladder) == ("forced-open", "maintenance")
        assert process.watch.snapshot() == {
            "state": "forced-open",
            "reason": "maintenance",
            "at": 1000.0,
            "until": None,
        }
        store.write(ForcedState("disabled", "load test", 1001.0))
        process.look()
        assert rung(ladder) == ("disabled", "load test")
        cache.backend.connection.client.delete(store.key)
        process.look()
        assert rung(ladder) == ("closed", "released")
        assert process.watch.snapshot() is None

    def test_a_ladder_that_cannot_be_switched_is_told_of_and_tried_again(
        self, cache: RedisSemanticCache, store: ForcedStateStore, events: list[Event]
    ) -> None:
        class OfTheCallers:
            is_broken = True
            reasons: ClassVar[list[str]] = []

            def force_open(self, reason: str) -> None:
                if self.is_broken:
                    raise TypeError("scripted")
                self.reasons.append(reason)

            disable = reset = force_open

        ladder = OfTheCallers()
        process = Process(cache, ladder)
        store.write(OPEN)
        process.look()
        assert CacheFailed("Breaker", "TypeError: scripted") in events
        assert process.watch.snapshot() is None
        ladder.is_broken = False
        process.look()
        assert ladder.reasons == ["maintenance"]

    def test_a_process_that_starts_later_knows_of_it(
        self, cache: RedisSemanticCache, store: ForcedStateStore, ladder: DegradableReranker
    ) -> None:
        store.write(OPEN)
        Process(cache, ladder)
        assert ladder.get_stats()["state"] == "forced-open"

    def test_a_reset_closes_a_breaker_once(
        self, cache: RedisSemanticCache, store: ForcedStateStore, ladder: DegradableReranker
    ) -> None:
        process = Process(cache, ladder)
        ladder.force_open("by this process")
        store.write(ForcedState(RESET, "all is well", 1002.0))
        process.look()
        assert rung(ladder) == ("closed", "all is well")
        ladder.force_open("again")
        process.look()
        cache.backend.connection.client.delete(store.key)
        process.look()
        assert rung(ladder) == ("forced-open", "again")

    def test_what_the_process_itself_has_decided_stays_without_a_decision(
        self, cache: RedisSemanticCache, ladder: DegradableReranker
    ) -> None:
        process = Process(cache, ladder)
        ladder.force_open("by this process")
        process.look()
        assert rung(ladder) == ("forced-open", "by this process")

    def test_is_looked_at_no_more_often_than_that(
        self, cache: RedisSemanticCache, store: ForcedStateStore, ladder: DegradableReranker
    ) -> None:
        process = Process(cache, ladder)
        store.write(OPEN)
        process.clock.pass_(REFRESH_S - 0.1)
        process.watch.keep_up()
        assert process.watch.drain(PATIENCE_S)
        assert ladder.get_stats()["state"] == "closed"

    def test_a_redis_that_fails_changes_nothing_and_is_told(
        self, cache: RedisSemanticCache, store: ForcedStateStore, ladder: DegradableReranker, events: list[Event]
    ) -> None:
        process = Process(cache, ladder)
        store.write(OPEN)
        process.look()
        cache.backend.connection.client.set(store.key, b"no json")
        process.look()
        assert ladder.get_stats()["state"] == "forced-open"
        [failed] = [event for event in events if isinstance(event, CacheFailed)]
        assert failed.step == "Breaker"
        assert "semcache breaker reset replaces it" in failed.error

    def test_a_reranker_without_a_breaker_is_left_alone(
        self, cache: RedisSemanticCache, store: ForcedStateStore
    ) -> None:
        store.write(OPEN)
        with CachedReranker(CountingReranker(), cache) as cached:
            cached.rerank("a question", ["a", "b"])
            assert cached.forced.drain(PATIENCE_S)
            assert cached.get_stats()["forced"] is None


class TestStore:
    @pytest.mark.parametrize(
        ("forced", "life_ms"),
        [(OPEN, -1), (ForcedState("disabled", "x", 1000.0, 1060.0), 60_000), (ForcedState(RESET, "", 1.0), 60_000)],
    )
    def test_a_decision_ends_with_its_key(
        self, cache: RedisSemanticCache, store: ForcedStateStore, forced: ForcedState, life_ms: int
    ) -> None:
        assert store.read() is None
        store.write(forced)
        assert store.read() == forced
        left = cache.backend.connection.client.pttl(store.key)
        assert left == life_ms if life_ms < 0 else life_ms - 5000 < left <= life_ms

    @pytest.mark.parametrize(
        "value",
        [
            *(b"", b"[]", b"{}", b"\xff", b'{"state": 1, "reason": 2, "at": "x"}'),
            b'{"state": "disabled", "reason": "", "at": 1, "until": "soon"}',
        ],
    )
    def test_a_value_of_another_kind_is_an_error_with_a_remedy(
        self, cache: RedisSemanticCache, store: ForcedStateStore, value: bytes
    ) -> None:
        cache.backend.connection.client.set(store.key, value)
        with pytest.raises(StoreError, match="semcache breaker reset"):
            store.read()


def test_a_pipeline_follows_and_shows_it(cache: RedisSemanticCache, store: ForcedStateStore) -> None:
    store.write(OPEN)
    ladder = DegradableReranker(CountingReranker("primary"), None, LatencyMonitor())
    with CachedReranker(ladder, cache) as cached:
        assert cached.forced.drain(PATIENCE_S)
        assert cached.rerank("a question", ["a", "b"]).reason == "open"
        assert cached.get_stats()["forced"]["reason"] == "maintenance"
