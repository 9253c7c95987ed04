"""DegradableReranker: always answers, with the best rung that can, and says which and why."""

import asyncio
from threading import enumerate as all_threads

import pytest

from semcache.batching.reranker import AsyncBatchReranker
from semcache.degradation.breaker import BreakerPolicy
from semcache.degradation.monitor import LatencyMonitor
from semcache.degradation.reranker import DegradableReranker
from semcache.errors import ConfigurationError, InvalidInputError
from semcache.events import BatchScored, BreakerChanged, Degraded, Event, RungFailed
from semcache.protocols import Ladder
from semcache.ranking import Ranking, Status
from semcache.rerankers.retrieval_order import RetrievalOrder
from tests.scripted import PATIENCE_S, GatedReranker, ScriptedClock, ScriptedReranker

# A deadline that passes while a call is in the model; long enough that an idle worker is sure to have begun before.
SOON_S = 0.4


class House:
    """A ladder on a scripted clock, with everything at hand that a test looks at."""

    def __init__(
        self, primary: ScriptedReranker | None = None, fallback: object = "fallback", **options: object
    ) -> None:
        self.clock = ScriptedClock()
        self.primary = primary or ScriptedReranker("primary")
        self.primary.clock = self.clock
        self.fallback = ScriptedReranker("fallback", clock=self.clock) if fallback == "fallback" else fallback
        self.monitor = LatencyMonitor(20, 2.0)
        self.told: list[Event] = []
        self.ladder = DegradableReranker(
            self.primary,
            self.fallback,
            self.monitor,
            clock=self.clock,
            rng=lambda: 0.0,
            on_event=self.told.append,
            **options,  # type: ignore[arg-type]
        )

    def ask(self, times: int = 1, **options: object) -> Ranking[str]:
        for _ in range(times):
            ranking = self.ladder.rerank("q", ["a", "ccc", "bb"], 2, **options)  # type: ignore[arg-type]
        return ranking

    def become(self, service_s: float) -> None:
        self.primary.service_s = service_s

    def slow_until_open(self) -> None:
        self.become(5.0)
        self.ask(20)
        assert self.ladder.get_stats()["state"] == "open"

    def events(self, kind: type[Event]) -> list[Event]:
        return [event for event in self.told if isinstance(event, kind)]

    def __enter__(self) -> "House":
        return self

    def __exit__(self, *_: object) -> None:
        self.ladder.close()


class Blocked(House):
    """The breaker is open, a probe is due, but the primary still works on a call of before."""

    def __init__(self, **options: object) -> None:
        self.breaker = GatedReranker("primary")
        super().__init__(self.breaker, **options)
        self.breaker.let_go(20)
        self.slow_until_open()
        for _ in range(20):
            self.breaker.wait_until_inside()
        self.blocker = self.ladder._primary.submit([("q", "a")])
        self.breaker.wait_until_inside()
        self.clock.pass_(60.0)

    def unblock(self) -> None:
        """Let that call end, and all that follow."""
        self.breaker.let_go(100)
        self.blocker.result(PATIENCE_S)


def answered(ranking: Ranking[str]) -> tuple[str, str | None]:
    return ranking.reranker, ranking.reason


class TestDropIn:
    def test_healthy(self) -> None:
        monitor = LatencyMonitor(window_size=100, p95_threshold=2.0)
        with DegradableReranker(ScriptedReranker("primary"), ScriptedReranker("fallback"), monitor) as ladder:
            ranking = ladder.rerank("q", ["a", "ccc", "bb"], top_k=2)
            assert ranking == ["ccc", "bb"]
            assert (ranking.status, ranking.reason, ranking.reranker) == (Status.FRESH, None, "primary")
            stats = ladder.get_stats()
        assert stats["degraded"] is False
        assert stats["samples"] == monitor.samples == 1
        assert stats["p95_latency"] == f"{monitor.latencies[0]:.3f}s"

    def test_stats_before_anything_happened(self) -> None:
        with House() as house:
            stats = house.ladder.get_stats()
        assert (stats["degraded"], stats["p95_latency"], stats["samples"]) == (False, "0.000s", 0)

    def test_is_a_ladder(self) -> None:
        with House() as house:
            assert isinstance(house.ladder, Ladder)
            assert (house.ladder.name, house.ladder.listwise) == ("primary", False)

    def test_top_k_is_five_by_default(self) -> None:
        with House() as house:
            assert len(house.ladder.rerank("q", [str(number) for number in range(9)])) == 5

    async def test_awaited(self) -> None:
        with House() as house:
            assert await house.ladder.arerank("q", ["a", "ccc"], 1) == ["ccc"]


class TestOutage:
    """The primary becomes slow and recovers; the same for threads and tasks, since one decision serves both."""

    @pytest.mark.parametrize("is_async", [False, True])
    def test_slow_then_probed_then_back(self, is_async: bool) -> None:
        def ask(house: House) -> tuple[str, str | None]:
            if is_async:
                return answered(asyncio.run(house.ladder.arerank("q", ["a", "ccc"], 2)))
            return answered(house.ladder.rerank("q", ["a", "ccc"], 2))

        with House() as house:
            house.slow_until_open()
            assert house.monitor.get_p95() == 5.0
            calls = len(house.primary.calls)
            assert ask(house) == ("fallback", "open")
            assert len(house.primary.calls) == calls
            house.clock.pass_(5.0)
            assert ask(house) == ("primary", None)
            assert ask(house) == ("fallback", "open")
            house.become(0.1)
            house.clock.pass_(10.0)
            assert [ask(house) for _ in range(3)] == [("primary", None)] * 3
            assert house.ladder.get_stats()["state"] == "closed"
            assert house.ladder.get_stats()["degraded"] is False
        changes = [(change.old, change.new, change.reason) for change in house.events(BreakerChanged)]  # type: ignore[union-attr]
        assert changes == [
            ("closed", "open", "slow"),
            ("open", "half-open", "open time over"),
            ("half-open", "open", "probe slow"),
            ("open", "half-open", "open time over"),
            ("half-open", "closed", "probes fast"),
        ]

    def test_latencies_of_the_fallback_never_reach_the_window(self) -> None:
        with House() as house:
            house.slow_until_open()
            house.fallback.service_s = 50.0  # type: ignore[attr-defined]
            before = house.monitor.latencies
            house.ask(30)
            assert house.monitor.latencies == before

    def test_degraded_rankings_say_so(self) -> None:
        with House() as house:
            house.slow_until_open()
            ranking = house.ask()
        assert ranking == ["ccc", "bb"]
        assert (ranking.status, ranking.reason, ranking.reranker) == (Status.DEGRADED, "open", "fallback")
        assert house.events(Degraded) == [Degraded("open", "fallback")]

    def test_stats_count_answers_and_reasons(self) -> None:
        with House() as house:
            house.slow_until_open()
            house.ask(3)
            stats = house.ladder.get_stats()
        assert stats["degraded"] is True
        assert stats["p95_latency"] == "5.000s"
        assert stats["answers"] == {"primary": 20, "fallback": 3}
        assert stats["reasons"] == {"open": 3}

    def test_per_pair_many_pairs_are_not_slow(self) -> None:
        with House(breaker=BreakerPolicy(per_pair=True)) as house:
            house.become(5.0)
            house.ask(30)
            assert house.ladder.get_stats()["state"] == "closed"
            assert house.monitor.get_p95() == pytest.approx(5 / 3)


class TestErrors:
    def test_the_fallback_answers_and_observers_are_told(self) -> None:
        with House() as house:
            house.primary.fail = lambda pairs: ConnectionError("down")
            assert answered(house.ask()) == ("fallback", "error")
        assert house.events(RungFailed) == [RungFailed("primary", "ConnectionError: down")]
        assert house.events(Degraded) == [Degraded("error", "fallback")]

    def test_five_in_a_row_open_the_breaker(self) -> None:
        with House() as house:
            house.primary.fail = lambda pairs: ConnectionError("down")
            house.ask(5)
            assert answered(house.ask()) == ("fallback", "open")
            assert len(house.primary.calls) == 5
            assert house.monitor.samples == 0

    def test_when_the_fallback_fails_too_the_retrievers_order_remains(self) -> None:
        with House() as house:
            house.primary.fail = house.fallback.fail = lambda pairs: ConnectionError("down")  # type: ignore[attr-defined]
            ranking = house.ask()
        assert ranking == ["a", "ccc"]
        assert (ranking.scores, ranking.asked) == (None, 0)
        assert answered(ranking) == ("retrieval-order", "error")

    def test_unusable_scores_are_an_error(self) -> None:
        class Wrong(ScriptedReranker):
            def score(self, pairs: object) -> object:  # type: ignore[override]
                return [1.0]

        with House(Wrong("primary")) as house:
            assert answered(house.ask()) == ("fallback", "error")

    def test_further_rungs_in_order(self) -> None:
        third = ScriptedReranker("third")
        with House(rungs=[third]) as house:
            house.primary.fail = house.fallback.fail = lambda pairs: ConnectionError("down")  # type: ignore[attr-defined]
            assert answered(house.ask()) == ("third", "error")

    @pytest.mark.parametrize("fallback", [None, RetrievalOrder()])
    def test_without_a_fallback_the_retrievers_order_at_once(self, fallback: object) -> None:
        never = ScriptedReranker("never")
        with House(fallback=fallback, rungs=[never]) as house:
            house.primary.fail = lambda pairs: ConnectionError("down")
            ranking = house.ask()
        assert (answered(ranking), ranking.scores) == (("retrieval-order", "error"), None)
        assert never.calls == []

    def test_the_callers_mistakes_are_raised_and_say_nothing_about_the_primary(self) -> None:
        with House() as house:
            house.primary.fail = lambda pairs: InvalidInputError("query too long")
            for _ in range(10):
                with pytest.raises(InvalidInputError, match="too long"):
                    house.ask()
            assert house.ladder.get_stats()["state"] == "closed"
            assert house.fallback.calls == []  # type: ignore[attr-defined]

    def test_bad_input_reaches_no_rung(self) -> None:
        with House() as house:
            for call in (lambda: house.ladder.rerank("", ["a"]), lambda: house.ask(deadline_s=float("nan"))):
                with pytest.raises(InvalidInputError):
                    call()
            assert house.primary.calls == []


class TestLadder:
    def test_the_primary_is_asked_only_for_what_is_needed_and_a_lower_rung_for_everything(self) -> None:
        with House() as house:
            scored = house.ladder.score("q", ["a", "ccc", "bb"], [2, 0])
            assert scored.scores is not None
            assert (scored.scores.tolist(), scored.reranker, scored.reason) == ([2, 1], "primary", None)
            house.ladder.force_open()
            scored = house.ladder.score("q", ["a", "ccc", "bb"], [2, 0])
            assert scored.scores is not None
            assert (scored.scores.tolist(), scored.reranker, scored.reason) == ([1, 3, 2], "fallback", "open")

    async def test_the_same_awaited(self) -> None:
        with House() as house:
            house.ladder.force_open()
            scored = await house.ladder.ascore("q", ["a", "ccc"], [1])
            assert scored.scores is not None
            assert scored.scores.tolist() == [1, 3]

    def test_nothing_asked_needs_no_model(self) -> None:
        with House() as house:
            scored = house.ladder.score("q", ["a"], [])
            assert scored.scores is not None
            assert (scored.scores.shape, scored.reason) == ((0,), None)
            assert house.primary.calls == []


class TestBusy:
    def crowded(self, **options: object) -> House:
        """The primary knows that it needs a second per pair, and is working on a call of one."""
        primary = GatedReranker("primary", service_s=1.0)
        house = House(primary, **options)
        primary.let_go()
        house.ladder.score("q", ["a"], [0])
        primary.wait_until_inside()
        house.ladder._primary.submit([("q", "a")])
        primary.wait_until_inside()
        return house

    def test_sheds_when_wait_and_service_would_be_long_without_a_breaker_event(self) -> None:
        with self.crowded() as house:
            assert answered(house.ask()) == ("fallback", "busy")
            assert house.ladder.get_stats()["state"] == "closed"
            assert house.events(BreakerChanged) == []
            assert house.monitor.samples == 1
            house.primary.let_go()  # type: ignore[attr-defined]

    def test_waits_when_the_wait_is_short(self) -> None:
        with self.crowded(max_wait_s=3.0) as house:
            house.primary.let_go(2)  # type: ignore[attr-defined]
            assert answered(house.ladder.rerank("q", ["bb"], 1)) == ("primary", None)

    def test_an_idle_primary_is_never_too_busy_whatever_it_was_like_before(self) -> None:
        with House() as house:
            house.become(500.0)
            assert [answered(house.ask()) for _ in range(3)] == [("primary", None)] * 3

    def test_a_full_queue_sheds_too(self) -> None:
        model = GatedReranker("primary")
        with AsyncBatchReranker(model, max_queue_pairs=1) as primary:
            ladder = DegradableReranker(primary, None, LatencyMonitor())
            primary.batcher.submit([("q", "a")])
            model.wait_until_inside()
            primary.batcher.submit([("q", "b")])
            assert answered(ladder.rerank("q", ["a"])) == ("retrieval-order", "busy")
            model.let_go(2)

    def test_a_shed_probe_frees_its_place(self) -> None:
        with Blocked() as house:
            assert answered(house.ask()) == ("fallback", "busy")
            assert house.ladder.get_stats()["state"] == "half-open"
            house.unblock()
            house.become(0.1)
            assert answered(house.ask()) == ("primary", None)

    @pytest.mark.parametrize("factor", [0, -0.5, 1.5])
    def test_a_bad_admission_factor_is_named(self, factor: float) -> None:
        with pytest.raises(ConfigurationError, match="admission_factor"):
            House(admission_factor=factor)


class TestDeadlines:
    @pytest.mark.parametrize("is_async", [False, True])
    def test_the_fallback_answers_in_time_while_the_primary_hangs(self, is_async: bool) -> None:
        primary = GatedReranker("primary", service_s=7.0)
        with House(primary) as house:
            if is_async:
                ranking = asyncio.run(house.ladder.arerank("q", ["a", "ccc", "bb"], 2, deadline_s=SOON_S))
            else:
                ranking = house.ask(deadline_s=SOON_S)
            assert answered(ranking) == ("fallback", "deadline")
            assert ranking == ["ccc", "bb"]
            assert house.ladder.get_stats()["abandoned"] == 1
            assert answered(house.ask()) == ("fallback", "busy"), "nobody is admitted behind an abandoned call"
            primary.wait_until_inside()
            primary.let_go()
        assert house.monitor.latencies == (7.0,), "what the model really took is learnt although the caller had left"

    def test_a_primary_that_is_always_too_late_opens_the_breaker(self) -> None:
        primary = GatedReranker("primary", service_s=7.0)
        with House(primary, breaker=BreakerPolicy()) as house:
            house.monitor.min_samples = 2
            for _ in range(2):
                house.ask(deadline_s=SOON_S)
                primary.let_go(2)
                house.ladder._primary.score([("q", "behind it")])
            assert house.ladder.get_stats()["state"] == "open"

    def test_the_primary_gets_no_more_time_than_leaves_the_fallback_its_own(self) -> None:
        """The fallback takes 2 s for these documents by its own record; the primary gets 10 s less twice that."""
        with House() as house:
            house.fallback.service_s = 2.0  # type: ignore[attr-defined]
            house.ladder.force_open()
            house.ask()
            rungs = house.ladder._rungs
            assert rungs._until(0, 3, house.clock() + 10.0) == house.clock() + 6.0
            assert rungs._until(0, 3, house.clock() + 2.0) == house.clock() + 1.0
            assert rungs._until(1, 3, house.clock() + 2.0) == house.clock() + 2.0

    @pytest.mark.parametrize("deadline_s", [0.0, -1.0])
    def test_no_time_left_is_the_retrievers_order_without_asking_anybody(self, deadline_s: float) -> None:
        with House() as house:
            assert answered(house.ask(deadline_s=deadline_s)) == ("retrieval-order", "deadline")
            assert house.primary.calls == []

    def test_when_the_fallback_hangs_too_the_retrievers_order_is_in_time(self) -> None:
        primary, fallback = GatedReranker("primary"), GatedReranker("fallback")
        with House(primary, fallback) as house:
            assert answered(house.ask(deadline_s=SOON_S)) == ("retrieval-order", "deadline")
            primary.let_go()
            fallback.let_go()


class TestCancellation:
    async def test_a_call_cancelled_while_it_waits_records_nothing(self) -> None:
        primary = GatedReranker("primary", service_s=1.0)
        house = House(primary)
        first = asyncio.create_task(house.ladder.arerank("q", ["a"]))
        await asyncio.to_thread(primary.wait_until_inside)
        waiting = asyncio.create_task(house.ladder.arerank("q", ["b"]))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert waiting.cancelled()
        primary.let_go()
        assert answered(await first) == ("primary", None)
        await house.ladder.aclose()
        assert house.monitor.samples == 1
        assert house.events(Degraded) == []

    async def test_a_cancelled_probe_frees_its_place(self) -> None:
        with Blocked(max_wait_s=1e9) as house:
            probe = asyncio.create_task(house.ladder.arerank("q", ["a"]))
            await asyncio.sleep(0)
            assert answered(house.ask()) == ("fallback", "open")
            probe.cancel()
            await asyncio.gather(probe, return_exceptions=True)
            house.unblock()
            house.become(0.1)
            assert answered(house.ask()) == ("primary", None)


class TestByHand:
    def test_force_open_disable_reset(self) -> None:
        with House() as house:
            house.ladder.force_open()
            house.clock.pass_(1e6)
            assert answered(house.ask()) == ("fallback", "open")
            assert house.ladder.get_stats()["degraded"] is True
            house.ladder.disable()
            house.become(50.0)
            assert answered(house.ask(30)) == ("primary", None)
            assert house.ladder.get_stats()["state"] == "disabled"
            house.ladder.reset()
            assert (house.ladder.get_stats()["state"], house.monitor.samples) == ("closed", 0)

    def test_repr(self) -> None:
        with House() as house:
            assert repr(house.ladder) == "<DegradableReranker closed: primary, fallback, retrieval-order>"


class TestEnd:
    def test_close_ends_its_own_threads_and_leaves_a_lent_batcher_alone(self) -> None:
        with AsyncBatchReranker(ScriptedReranker("primary")) as primary:
            ladder = DegradableReranker(primary, ScriptedReranker("fallback"), LatencyMonitor())
            ladder.rerank("q", ["a"])
            ladder.force_open()
            ladder.rerank("q", ["a"])
            own = [batcher._started[0] for batcher in ladder._own]
            ladder.close()
            ladder.close()
            assert not [thread for thread in all_threads() if thread in own]
            assert primary.rerank("q", ["a"], 1) == ["a"]

    async def test_async_with(self) -> None:
        async with DegradableReranker(ScriptedReranker("primary"), None, LatencyMonitor()) as ladder:
            assert await ladder.arerank("q", ["a"]) == ["a"]


class TestBatches:
    def test_events_of_all_rungs(self) -> None:
        with House() as house:
            house.ask()
            house.ladder.force_open()
            house.ask()
        assert [event.reranker for event in house.events(BatchScored)] == ["primary", "fallback"]  # type: ignore[union-attr]
