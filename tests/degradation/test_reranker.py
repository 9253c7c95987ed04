"""DegradableReranker: always answers, with the best rung that can, and says which one it was and why."""

import asyncio
from threading import enumerate as all_threads
from time import monotonic
from typing import Any, Self, TypeVar

import pytest

from semcache.batching.reranker import AsyncBatchReranker
from semcache.degradation.breaker import BreakerPolicy
from semcache.degradation.monitor import LatencyMonitor
from semcache.degradation.reranker import DegradableReranker
from semcache.degradation.rung import LadderRung
from semcache.errors import ConfigurationError, InvalidInputError, RerankerHungError
from semcache.events import BatchScored, BreakerChanged, Degraded, Event, RungFailed
from semcache.protocols import Ladder
from semcache.ranking import Ranking, Status
from semcache.rerankers.retrieval_order import RetrievalOrder
from tests.scripted import PATIENCE_S, GatedReranker, ScriptedClock, ScriptedReranker

# A deadline that passes while a call is in the model; long enough that an idle worker is sure to have begun before.
SOON_S = 0.4

E = TypeVar("E", bound=Event)


class ScriptedLadder:
    """A ladder of scripted rerankers on a scripted clock, which keeps the events that it reports.

    With ``is_lent`` the primary is an AsyncBatchReranker of the test, so that a test can give it work of its own.
    """

    def __init__(
        self,
        primary: ScriptedReranker | None = None,
        fallback: Any = "fallback",
        *,
        is_lent: bool = False,
        **options: Any,
    ) -> None:
        self.clock = ScriptedClock()
        self.primary = primary or ScriptedReranker("primary")
        self.primary.clock = self.clock
        self.fallback = ScriptedReranker("fallback", clock=self.clock) if fallback == "fallback" else fallback
        self.monitor = LatencyMonitor(20, 2.0)
        self.events: list[Event] = []
        self.lent = AsyncBatchReranker(self.primary, clock=self.clock, on_event=self.events.append)
        self.ladder = DegradableReranker(
            self.lent if is_lent else self.primary,
            self.fallback,
            self.monitor,
            clock=self.clock,
            rng=lambda: 0.0,
            on_event=self.events.append,
            **options,
        )

    def rerank(self, times: int = 1, **options: Any) -> Ranking[str]:
        """The same request so many times; the last ranking."""
        for _ in range(times):
            ranking = self.ladder.rerank("q", ["a", "ccc", "bb"], 2, **options)
        return ranking

    def primary_takes(self, service_s: float) -> None:
        """From now on a call of the primary takes this long."""
        self.primary.service_s = service_s

    def slow_until_open(self) -> None:
        self.primary_takes(5.0)
        self.rerank(20)
        assert self.ladder.get_stats()["state"] == "open"

    def events_of(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.ladder.close()
        self.lent.close()


class LadderWithBusyPrimary(ScriptedLadder):
    """The breaker is open and a probe is due, but the primary still works on an earlier call."""

    def __init__(self, **options: Any) -> None:
        self.model = GatedReranker("primary")
        super().__init__(self.model, is_lent=True, **options)
        self.model.let_go(20)
        self.slow_until_open()
        for _ in range(20):
            self.model.wait_until_inside()
        self.earlier = self.lent.batcher.submit([("q", "a")])
        self.model.wait_until_inside()
        self.clock.pass_(9.0)

    def unblock(self) -> None:
        """Let that call end, and all that follow."""
        self.model.let_go(100)
        self.earlier.result(PATIENCE_S)


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
        with ScriptedLadder() as scripted:
            stats = scripted.ladder.get_stats()
        assert (stats["degraded"], stats["p95_latency"], stats["samples"]) == (False, "0.000s", 0)

    def test_is_a_ladder(self) -> None:
        with ScriptedLadder() as scripted:
            assert isinstance(scripted.ladder, Ladder)
            assert (scripted.ladder.name, scripted.ladder.listwise) == ("primary", False)

    def test_top_k_is_five_by_default(self) -> None:
        with ScriptedLadder() as scripted:
            assert len(scripted.ladder.rerank("q", [str(number) for number in range(9)])) == 5

    async def test_awaited(self) -> None:
        with ScriptedLadder() as scripted:
            assert await scripted.ladder.arerank("q", ["a", "ccc"], 1) == ["ccc"]


class TestOutage:
    """The primary becomes slow and recovers; threads and tasks see the same."""

    @pytest.mark.parametrize("is_async", [False, True])
    def test_slow_then_probed_then_back(self, is_async: bool) -> None:
        def ask(scripted: ScriptedLadder) -> tuple[str, str | None]:
            if is_async:
                return answered(asyncio.run(scripted.ladder.arerank("q", ["a", "ccc"], 2)))
            return answered(scripted.ladder.rerank("q", ["a", "ccc"], 2))

        with ScriptedLadder() as scripted:
            scripted.slow_until_open()
            assert scripted.monitor.get_p95() == 5.0
            calls = len(scripted.primary.calls)
            assert ask(scripted) == ("fallback", "open")
            assert len(scripted.primary.calls) == calls
            scripted.clock.pass_(5.0)
            assert ask(scripted) == ("primary", None)
            assert ask(scripted) == ("fallback", "open")
            scripted.primary_takes(0.1)
            scripted.clock.pass_(10.0)
            assert [ask(scripted) for _ in range(3)] == [("primary", None)] * 3
            assert scripted.ladder.get_stats()["state"] == "closed"
            assert scripted.ladder.get_stats()["degraded"] is False
        changes = [(change.old, change.new, change.reason) for change in scripted.events_of(BreakerChanged)]
        assert changes == [
            ("closed", "open", "slow"),
            ("open", "half-open", "open time over"),
            ("half-open", "open", "probe slow"),
            ("open", "half-open", "open time over"),
            ("half-open", "closed", "probes fast"),
        ]

    def test_latencies_of_the_fallback_never_reach_the_window(self) -> None:
        with ScriptedLadder() as scripted:
            scripted.slow_until_open()
            scripted.fallback.service_s = 50.0
            before = scripted.monitor.latencies
            scripted.rerank(30)
            assert scripted.monitor.latencies == before

    def test_degraded_rankings_say_so(self) -> None:
        with ScriptedLadder() as scripted:
            scripted.slow_until_open()
            ranking = scripted.rerank()
        assert ranking == ["ccc", "bb"]
        assert (ranking.status, ranking.reason, ranking.reranker) == (Status.DEGRADED, "open", "fallback")
        assert ranking.why.endswith("(slow, 5 s for 3 pairs)")
        assert scripted.events_of(Degraded) == [Degraded("open", "fallback")]

    def test_stats_count_answers_and_reasons(self) -> None:
        with ScriptedLadder() as scripted:
            scripted.slow_until_open()
            scripted.rerank(3)
            stats = scripted.ladder.get_stats()
        assert stats["degraded"] is True
        assert stats["p95_latency"] == "5.000s"
        assert stats["answers"] == {"primary": 20, "fallback": 3}
        assert stats["reasons"] == {"open": 3}

    def test_per_pair_many_pairs_are_not_slow(self) -> None:
        with ScriptedLadder(breaker=BreakerPolicy(per_pair=True)) as scripted:
            scripted.primary_takes(5.0)
            scripted.rerank(30)
            assert scripted.ladder.get_stats()["state"] == "closed"
            assert scripted.monitor.get_p95() == pytest.approx(5 / 3)


class TestErrors:
    def test_the_fallback_answers_and_the_failure_is_reported(self) -> None:
        with ScriptedLadder() as scripted:
            scripted.primary.fail = lambda pairs: ConnectionError("down")
            assert answered(scripted.rerank()) == ("fallback", "error")
        assert scripted.events_of(RungFailed) == [RungFailed("primary", "ConnectionError: down")]
        assert scripted.events_of(Degraded) == [Degraded("error", "fallback")]

    def test_five_in_a_row_open_the_breaker(self) -> None:
        with ScriptedLadder() as scripted:
            scripted.primary.fail = lambda pairs: ConnectionError("down")
            scripted.rerank(5)
            assert answered(scripted.rerank()) == ("fallback", "open")
            assert len(scripted.primary.calls) == 5
            assert scripted.monitor.samples == 0

    def test_when_the_fallback_fails_too_the_retrievers_order_remains(self) -> None:
        with ScriptedLadder() as scripted:
            scripted.primary.fail = scripted.fallback.fail = lambda pairs: ConnectionError("down")
            ranking = scripted.rerank()
        assert ranking == ["a", "ccc"]
        assert (ranking.scores, ranking.asked) == (None, 0)
        assert answered(ranking) == ("retrieval-order", "error")
        assert ranking.why == "the primary reranker failed (ConnectionError: down)"

    def test_unusable_scores_are_an_error(self) -> None:
        class Wrong(ScriptedReranker):
            def score(self, pairs: object) -> object:  # type: ignore[override]
                return [1.0]

        with ScriptedLadder(Wrong("primary")) as scripted:
            assert answered(scripted.rerank()) == ("fallback", "error")

    def test_further_rungs_in_order(self) -> None:
        third = ScriptedReranker("third")
        with ScriptedLadder(rungs=[third]) as scripted:
            scripted.primary.fail = scripted.fallback.fail = lambda pairs: ConnectionError("down")
            assert answered(scripted.rerank()) == ("third", "error")

    @pytest.mark.parametrize("fallback", [None, RetrievalOrder()])
    def test_without_a_fallback_the_retrievers_order_at_once(self, fallback: object) -> None:
        never = ScriptedReranker("never")
        with ScriptedLadder(fallback=fallback, rungs=[never]) as scripted:
            scripted.primary.fail = lambda pairs: ConnectionError("down")
            ranking = scripted.rerank()
        assert (answered(ranking), ranking.scores) == (("retrieval-order", "error"), None)
        assert never.calls == []

    def test_the_callers_mistakes_are_raised_and_say_nothing_about_the_primary(self) -> None:
        with ScriptedLadder() as scripted:
            scripted.primary.fail = lambda pairs: InvalidInputError("query too long")
            for _ in range(10):
                with pytest.raises(InvalidInputError, match="too long"):
                    scripted.rerank()
            assert scripted.ladder.get_stats()["state"] == "closed"
            assert scripted.fallback.calls == []

    def test_bad_input_reaches_no_rung(self) -> None:
        with ScriptedLadder() as scripted:
            for call in (lambda: scripted.ladder.rerank("", ["a"]), lambda: scripted.rerank(deadline_s=float("nan"))):
                with pytest.raises(InvalidInputError):
                    call()
            assert scripted.primary.calls == []


class TestLadder:
    def test_the_primary_is_asked_only_for_what_is_needed_and_a_lower_rung_for_everything(self) -> None:
        with ScriptedLadder() as scripted:
            scored = scripted.ladder.score("q", ["a", "ccc", "bb"], [2, 0])
            assert scored.scores is not None
            assert (scored.scores.tolist(), scored.reranker, scored.reason) == ([2, 1], "primary", None)
            scripted.ladder.force_open()
            scored = scripted.ladder.score("q", ["a", "ccc", "bb"], [2, 0])
            assert scored.scores is not None
            assert (scored.scores.tolist(), scored.reranker, scored.reason) == ([1, 3, 2], "fallback", "open")

    async def test_the_same_awaited(self) -> None:
        with ScriptedLadder() as scripted:
            scripted.ladder.force_open()
            scored = await scripted.ladder.ascore("q", ["a", "ccc"], [1])
            assert scored.scores is not None
            assert scored.scores.tolist() == [1, 3]

    def test_nothing_asked_needs_no_model(self) -> None:
        with ScriptedLadder() as scripted:
            scored = scripted.ladder.score("q", ["a"], [])
            assert scored.scores is not None
            assert (scored.scores.shape, scored.reason) == ((0,), None)
            assert scripted.primary.calls == []


class TestBusy:
    def crowded(self, **options: Any) -> tuple[ScriptedLadder, GatedReranker]:
        """The primary is known to need a second per pair, and is working on a call of two."""
        primary = GatedReranker("primary", service_s=1.0)
        scripted = ScriptedLadder(primary, is_lent=True, **options)
        primary.let_go(20)
        for _ in range(20):
            scripted.ladder.score("q", ["a"], [0])
            primary.wait_until_inside()
        scripted.lent.batcher.submit([("q", "a"), ("q", "b")])
        primary.wait_until_inside()
        return scripted, primary

    def test_sheds_when_wait_and_service_would_be_long_without_a_breaker_event(self) -> None:
        scripted, primary = self.crowded()
        with scripted:
            assert answered(scripted.ladder.rerank("q", ["a"])) == ("fallback", "busy")
            assert scripted.ladder.get_stats()["state"] == "closed"
            assert scripted.events_of(BreakerChanged) == []
            assert scripted.monitor.samples == 20
            primary.let_go()

    def test_waits_when_the_wait_is_short(self) -> None:
        scripted, primary = self.crowded(max_wait_s=3.0)
        with scripted:
            primary.let_go(2)
            assert answered(scripted.ladder.rerank("q", ["bb"], 1)) == ("primary", None)

    def test_an_idle_primary_is_never_too_busy_whatever_it_was_like_before(self) -> None:
        with ScriptedLadder() as scripted:
            scripted.primary_takes(500.0)
            assert [answered(scripted.rerank()) for _ in range(3)] == [("primary", None)] * 3

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
        with LadderWithBusyPrimary() as scripted:
            assert answered(scripted.rerank()) == ("fallback", "busy")
            assert scripted.ladder.get_stats()["state"] == "half-open"
            scripted.unblock()
            scripted.primary_takes(0.1)
            assert answered(scripted.rerank()) == ("primary", None)

    @pytest.mark.parametrize("factor", [0, -0.5, 1.5])
    def test_a_bad_admission_factor_is_named(self, factor: float) -> None:
        with pytest.raises(ConfigurationError, match="admission_factor"):
            ScriptedLadder(admission_factor=factor)


class TestDeadlines:
    @pytest.mark.parametrize("is_async", [False, True])
    def test_the_fallback_answers_in_time_while_the_primary_hangs(self, is_async: bool) -> None:
        primary = GatedReranker("primary", service_s=7.0)
        with ScriptedLadder(primary) as scripted:
            if is_async:
                ranking = asyncio.run(scripted.ladder.arerank("q", ["a", "ccc", "bb"], 2, deadline_s=SOON_S))
            else:
                ranking = scripted.rerank(deadline_s=SOON_S)
            assert answered(ranking) == ("fallback", "deadline")
            assert ranking == ["ccc", "bb"]
            assert scripted.ladder.get_stats()["abandoned"] == 1
            assert answered(scripted.rerank()) == ("fallback", "busy"), "no request waits behind an abandoned call"
            primary.wait_until_inside()
            primary.let_go()
        assert scripted.monitor.latencies == (7.0,), (
            "the time that the model took is recorded although the caller had left"
        )

    def test_a_primary_that_is_known_to_be_too_late_is_not_called_for_that(self) -> None:
        """Its answer would come when the caller has left, and others would have waited for it."""
        primary = GatedReranker("primary", service_s=7.0)
        with ScriptedLadder(primary, is_lent=True) as scripted:
            primary.let_go(10)
            scripted.monitor.p95_threshold = 10.0
            scripted.rerank(10)
            assert answered(scripted.rerank(deadline_s=SOON_S)) == ("fallback", "deadline")
            assert len(primary.calls) == 10

    @pytest.mark.parametrize("deadline_s", [0.0, -1.0])
    def test_no_time_left_is_the_retrievers_order_without_a_call(self, deadline_s: float) -> None:
        with ScriptedLadder() as scripted:
            assert answered(scripted.rerank(deadline_s=deadline_s)) == ("retrieval-order", "deadline")
            assert scripted.primary.calls == []

    def test_when_the_fallback_hangs_too_the_retrievers_order_is_in_time(self) -> None:
        primary, fallback = GatedReranker("primary"), GatedReranker("fallback")
        with ScriptedLadder(primary, fallback) as scripted:
            assert answered(scripted.rerank(deadline_s=SOON_S)) == ("retrieval-order", "deadline")
            primary.let_go()
            fallback.let_go()


class TestCancellation:
    async def test_a_call_cancelled_while_it_waits_records_nothing(self) -> None:
        primary = GatedReranker("primary", service_s=1.0)
        scripted = ScriptedLadder(primary)
        first = asyncio.create_task(scripted.ladder.arerank("q", ["a"]))
        await asyncio.to_thread(primary.wait_until_inside)
        waiting = asyncio.create_task(scripted.ladder.arerank("q", ["b"]))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert waiting.cancelled()
        primary.let_go()
        assert answered(await first) == ("primary", None)
        await scripted.ladder.aclose()
        assert scripted.monitor.samples == 1
        assert scripted.events_of(Degraded) == []

    async def test_a_cancelled_probe_frees_its_place(self) -> None:
        with LadderWithBusyPrimary(max_wait_s=1e9) as scripted:
            probe = asyncio.create_task(scripted.ladder.arerank("q", ["a"]))
            await asyncio.sleep(0)
            assert answered(scripted.rerank()) == ("fallback", "open")
            probe.cancel()
            await asyncio.gather(probe, return_exceptions=True)
            scripted.unblock()
            scripted.primary_takes(0.1)
            assert answered(scripted.rerank()) == ("primary", None)


class TestPace:
    """Work that is in no hurry leaves room for requests that are."""

    def test_as_many_pairs_as_take_a_quarter_of_the_threshold(self) -> None:
        with ScriptedLadder() as scripted:
            assert scripted.ladder.pairs_at_once() == 128, "as many as a call merges, while nothing is known"
            for count in (1, 2, 4, 8) * 10:
                scripted.primary_takes(0.1 * count)
                scripted.ladder.score("q", [str(number) for number in range(count)], range(count))
            assert scripted.ladder.pairs_at_once() in (4, 5)

    def test_a_deadline_of_infinity_waits_behind_any_other_work(self) -> None:
        primary = GatedReranker("primary", service_s=1.0)
        with ScriptedLadder(primary, is_lent=True) as scripted:
            primary.let_go(30)
            for _ in range(10):
                scripted.ladder.score("q", ["a"], [0])
            others = [scripted.lent.batcher.submit([(f"q{number}", "a")]) for number in range(19)]
            ranking = scripted.rerank(deadline_s=float("inf"))
            assert answered(ranking) == ("primary", None)
            for other in others:
                other.result(PATIENCE_S)


class TestShadows:
    """With ``shadow`` no caller waits for a probe."""

    @pytest.mark.parametrize("is_async", [False, True])
    def test_recovery_is_found_by_copies_of_requests_that_others_answer(self, is_async: bool) -> None:
        def ask(scripted: ScriptedLadder) -> tuple[str, str | None]:
            if is_async:
                return answered(asyncio.run(scripted.ladder.arerank("q", ["a", "ccc"], 2)))
            return answered(scripted.ladder.rerank("q", ["a", "ccc"], 2))

        with ScriptedLadder(breaker=BreakerPolicy(shadow=True)) as scripted:
            scripted.slow_until_open()
            scripted.primary_takes(0.1)
            scripted.clock.pass_(5.0)
            calls = len(scripted.primary.calls)
            seen = []
            while scripted.ladder.get_stats()["state"] != "closed":
                seen.append(ask(scripted))
            assert set(seen) == {("fallback", "open")}
            assert len(scripted.primary.calls) == calls + 3
            assert ask(scripted) == ("primary", None)

    def test_one_at_a_time_and_no_caller_waits_for_it(self) -> None:
        primary = GatedReranker("primary")
        with ScriptedLadder(primary, is_lent=True, breaker=BreakerPolicy(shadow=True)) as scripted:
            primary.let_go(20)
            scripted.slow_until_open()
            for _ in range(20):
                primary.wait_until_inside()
            scripted.clock.pass_(5.0)
            assert answered(scripted.rerank(5)) == ("fallback", "open")
            primary.wait_until_inside()
            assert len(primary.calls) == 20, "the probe is still inside, and there is no second one"
            primary.let_go()


class TestLowerRungs:
    """Each rung has its own breaker, and one that keeps failing is left alone, too."""

    def test_a_fallback_that_keeps_failing_is_not_asked_any_more(self) -> None:
        third = ScriptedReranker("third")
        with ScriptedLadder(rungs=[third]) as scripted:
            scripted.fallback.fail = lambda pairs: ConnectionError("down")
            scripted.ladder.force_open()
            assert answered(scripted.rerank(8)) == ("third", "open")
            assert len(scripted.fallback.calls) == 5
            states = {rung["reranker"]: rung["state"] for rung in scripted.ladder.get_stats()["rungs"]}
            assert states == {"primary": "forced-open", "fallback": "open", "third": "closed"}
            changes = scripted.events_of(BreakerChanged)
            assert [(change.reranker, change.is_primary) for change in changes] == [
                ("primary", True),
                ("fallback", False),
            ]
            assert changes[1].cause == "ConnectionError"

    def test_can_be_forced_by_name_and_with_a_reason(self) -> None:
        with ScriptedLadder() as scripted:
            scripted.ladder.force_open("maintenance", reranker="fallback")
            scripted.primary.fail = lambda pairs: ConnectionError("down")
            assert answered(scripted.rerank()) == ("retrieval-order", "error")
            assert scripted.ladder.get_stats()["rungs"][1]["cause"] == "maintenance"
            with pytest.raises(ConfigurationError, match="'nothing'; its rungs are primary, fallback"):
                scripted.ladder.disable(reranker="nothing")

    def test_every_rung_may_have_a_monitor_of_its_own(self) -> None:
        monitor = LatencyMonitor(20, 0.5)
        with ScriptedLadder(fallback=None) as scripted:
            fallback = ScriptedReranker("fallback", clock=scripted.clock, service_s=0.6)
            ladder = DegradableReranker(
                scripted.primary, LadderRung(fallback, monitor=monitor), scripted.monitor, clock=scripted.clock
            )
            with ladder:
                ladder.force_open()
                for _ in range(21):
                    ranking = ladder.rerank("q", ["a"])
                assert answered(ranking) == ("retrieval-order", "open")
                assert monitor.samples == 20

    @pytest.mark.parametrize("option", [{"timeout_s": 0.0}, {"timeout_s": float("nan")}, {"max_wait_s": -1.0}])
    def test_a_bad_option_is_named(self, option: dict[str, float]) -> None:
        with pytest.raises(ConfigurationError, match=next(iter(option))):
            LadderRung(ScriptedReranker(), **option)


class TestWithoutADeadline:
    """Callers that set none are answered within the threshold all the same."""

    @pytest.mark.parametrize("is_async", [False, True])
    def test_a_model_that_hangs_is_waited_for_no_longer_than_the_threshold(self, is_async: bool) -> None:
        primary = GatedReranker("primary")
        with DegradableReranker(primary, None, LatencyMonitor(p95_threshold=0.3)) as ladder:
            primary.let_go()
            ladder.rerank("q", ["a"])
            started = monotonic()
            ranking = asyncio.run(ladder.arerank("q", ["b"])) if is_async else ladder.rerank("q", ["b"])
            assert answered(ranking) == ("retrieval-order", "deadline")
            assert 0.25 < monotonic() - started < 5.0
            primary.let_go()


class TestHangs:
    """A call that takes five times as long as requests wait for it is given up, and another thread takes its place."""

    def test_a_hung_call_opens_the_breaker_and_the_next_probe_finds_a_free_worker(self) -> None:
        primary = GatedReranker("primary")
        with ScriptedLadder(primary, is_lent=True) as scripted:
            primary.let_go()
            scripted.rerank()
            primary.wait_until_inside()
            hung = scripted.lent.batcher.submit([("q", "hangs")])
            primary.wait_until_inside()
            scripted.clock.pass_(10.1)
            assert answered(scripted.rerank()) == ("fallback", "busy")
            with pytest.raises(RerankerHungError, match="primary did not answer within 10 s"):
                hung.result(PATIENCE_S)
            [change] = scripted.events_of(BreakerChanged)
            assert (change.new, change.reason, change.cause) == ("open", "hung", "given up after 10.1 s")
            assert [event.error for event in scripted.events_of(RungFailed)] == [
                "RerankerHungError: no answer within 10.1 s, given up"
            ]
            scripted.clock.pass_(5.0)
            # One for the probe, on the thread that has taken the place, and one for the call that hung.
            primary.let_go(2)
            assert answered(scripted.rerank()) == ("primary", None)

    def test_a_call_that_is_only_slow_is_not_given_up(self) -> None:
        primary = GatedReranker("primary")
        with ScriptedLadder(primary, is_lent=True) as scripted:
            primary.let_go()
            scripted.rerank()
            primary.wait_until_inside()
            slow = scripted.lent.batcher.submit([("q", "slow")])
            primary.wait_until_inside()
            scripted.clock.pass_(9.9)
            assert answered(scripted.rerank()) == ("fallback", "busy")
            primary.let_go()
            assert slow.result(PATIENCE_S).tolist() == [4.0]

    def test_a_first_call_may_load_for_long(self) -> None:
        primary = GatedReranker("primary")
        with ScriptedLadder(primary, is_lent=True) as scripted:
            first = scripted.lent.batcher.submit([("q", "loads")])
            primary.wait_until_inside()
            scripted.clock.pass_(149.0)
            assert answered(scripted.rerank()) == ("fallback", "busy")
            primary.let_go()
            assert first.result(PATIENCE_S).tolist() == [5.0]


class TestByHand:
    def test_force_open_disable_reset(self) -> None:
        with ScriptedLadder() as scripted:
            scripted.ladder.force_open()
            scripted.clock.pass_(1e6)
            assert answered(scripted.rerank()) == ("fallback", "open")
            assert scripted.ladder.get_stats()["degraded"] is True
            scripted.ladder.disable()
            scripted.primary_takes(50.0)
            assert answered(scripted.rerank(30)) == ("primary", None)
            assert scripted.ladder.get_stats()["state"] == "disabled"
            scripted.ladder.reset()
            assert (scripted.ladder.get_stats()["state"], scripted.monitor.samples) == ("closed", 0)

    def test_repr(self) -> None:
        with ScriptedLadder() as scripted:
            assert repr(scripted.ladder) == "<DegradableReranker closed: primary, fallback, retrieval-order>"


class TestEnd:
    def test_close_ends_its_own_threads_and_leaves_a_lent_batcher_alone(self) -> None:
        with AsyncBatchReranker(ScriptedReranker("primary")) as primary:
            ladder = DegradableReranker(primary, ScriptedReranker("fallback"), LatencyMonitor())
            ladder.rerank("q", ["a"])
            ladder.force_open()
            before = set(all_threads())
            ladder.rerank("q", ["a"])
            (thread_of_the_fallback,) = set(all_threads()) - before
            ladder.close()
            ladder.close()
            assert not thread_of_the_fallback.is_alive()
            assert primary.rerank("q", ["a"], 1) == ["a"]

    async def test_async_with(self) -> None:
        async with DegradableReranker(ScriptedReranker("primary"), None, LatencyMonitor()) as ladder:
            assert await ladder.arerank("q", ["a"]) == ["a"]


class TestBatches:
    async def test_merge_no_longer_than_admission_leaves_of_the_threshold(self) -> None:
        """0.2 of 2 s: two pairs of a model that needs 0.15 s for one."""
        primary = GatedReranker("primary", service_s=0.15)
        with ScriptedLadder(primary, max_wait_s=1e9) as scripted:
            tasks = [asyncio.create_task(scripted.ladder.ascore("q", ["first"], [0]))]
            await asyncio.to_thread(primary.wait_until_inside)
            tasks += [asyncio.create_task(scripted.ladder.ascore(f"q{number}", ["a"], [0])) for number in range(4)]
            await asyncio.sleep(0)
            primary.let_go(3)
            await asyncio.gather(*tasks)
        assert [len(call) for call in primary.calls] == [1, 2, 2]

    def test_events_of_all_rungs(self) -> None:
        with ScriptedLadder() as scripted:
            scripted.rerank()
            scripted.ladder.force_open()
            scripted.rerank()
        assert [event.reranker for event in scripted.events_of(BatchScored)] == ["primary", "fallback"]
