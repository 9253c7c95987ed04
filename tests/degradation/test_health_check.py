"""A ladder whose primary fails: for all, or for some inputs only."""

import pytest

from semcache.degradation.monitor import LatencyMonitor
from semcache.degradation.reranker import DegradableReranker
from semcache.protocols import Pair
from tests.scripted import ScriptedClock, ScriptedReranker, poison


def ladder(primary: ScriptedReranker) -> DegradableReranker:
    return DegradableReranker(primary, None, LatencyMonitor(), clock=primary.clock or pytest.fail(), rng=lambda: 0.0)


@pytest.fixture
def primary() -> ScriptedReranker:
    return ScriptedReranker("primary", clock=ScriptedClock(), service_s=0.01)


def test_bursts_of_inputs_that_the_primary_cannot_read_do_not_take_it_from_others(primary: ScriptedReranker) -> None:
    primary.fail = poison("POISON")
    with ladder(primary) as reranker:
        for number in range(100):
            good = reranker.rerank(f"good {number}", ["a", "bb"], 2)
            assert good.reason is None
            bad = [reranker.rerank(f"bad {number} {place}", ["POISON", "x"], 2) for place in range(8)]
            assert {ranking.reason for ranking in bad} == {"error"}


async def test_awaited(primary: ScriptedReranker) -> None:
    primary.fail = poison("POISON")
    async with ladder(primary) as reranker:
        for number in range(20):
            assert (await reranker.arerank(f"good {number}", ["a", "bb"], 2)).reason is None
            for place in range(8):
                await reranker.arerank(f"bad {number} {place}", ["POISON", "x"], 2)


def test_a_primary_that_is_down_is_left_alone_after_five_errors_and_a_check(primary: ScriptedReranker) -> None:
    with ladder(primary) as reranker:
        reranker.rerank("scored before", ["a"], 1)
        down: list[Pair] = []
        primary.fail = lambda pairs: down.extend(pairs) or ConnectionError("down")  # type: ignore[func-returns-value]
        reasons = [reranker.rerank(f"q{number}", ["a"], 1).reason for number in range(5)]
        assert reasons == ["error"] * 5
        reranker.close()  # the check is over then
        assert down[-1] == ("scored before", "a")
        assert len(down) == 6
        assert reranker.get_stats()["state"] == "open"


def test_a_primary_that_never_answered_needs_no_check(primary: ScriptedReranker) -> None:
    primary.fail = lambda pairs: ConnectionError("down")
    with ladder(primary) as reranker:
        for number in range(5):
            reranker.rerank(f"q{number}", ["a"], 1)
        assert reranker.get_stats()["state"] == "open"
    assert len(primary.calls) == 5
