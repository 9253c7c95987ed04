"""Tenants that share a batcher: one neither sees nor takes up what is another's."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import Future
from contextvars import copy_context

import pytest

from semcache.batching.batcher import Batcher
from semcache.batching.limits import Limits
from semcache.batching.tenants import RecentTenants, over_their_share
from semcache.errors import ConfigurationError, QueueFullError
from semcache.protocols import FloatArray, Pair
from semcache.runtime.budget import TimeBudget, current_budget
from semcache.runtime.tenancy import current_tenant, serve, serving
from tests.batching.test_awaited import Remote
from tests.scripted import PATIENCE_S, GatedReranker, ScriptedClock

SAME: list[Pair] = [("q", "a"), ("q", "bb")]


def submitted(batcher: Batcher, tenant: str | None, pairs: list[Pair]) -> Future[FloatArray]:
    if tenant is None:
        return batcher.submit(pairs)
    with serving(tenant):
        return batcher.submit(pairs)


class TestEqualRequests:
    def test_of_one_tenant_share_a_call_that_is_running_and_those_of_another_do_not(self) -> None:
        model = GatedReranker()
        with Batcher(model) as batcher:
            running = submitted(batcher, "a", SAME)
            model.wait_until_inside()
            futures = [submitted(batcher, tenant, SAME) for tenant in ("a", "b", "", None)]
            model.let_go(5)
            for future in (running, *futures):
                assert future.result(PATIENCE_S).tolist() == [1, 2]
        assert [len(call) for call in model.calls] == [2, 6]

    async def test_nor_awaited(self) -> None:
        remote = Remote()
        remote.gate = asyncio.Event()

        async def ask(tenant: str) -> FloatArray:
            with serving(tenant):
                return await batcher.ascore(SAME)

        async with Batcher(remote) as batcher:
            tasks = [asyncio.create_task(ask(tenant)) for tenant in ("a", "b", "a", "")]
            while remote.under_way < 3:
                await asyncio.sleep(0)
            remote.gate.set()
            assert [scores.tolist() for scores in await asyncio.gather(*tasks)] == [[1, 2]] * 4
        assert remote.calls == [2, 2, 2]


class TestShareOfTheQueue:
    """A queue of ten pairs, of which a tenant may have half while there are others."""

    def test_one_tenant_alone_has_all_of_it(self) -> None:
        self.fill(["a"] * 11, refused_from=10)

    def test_work_of_no_tenant_does_not_count_as_another_one(self) -> None:
        self.fill([None, *["a"] * 10], refused_from=10)

    def test_while_there_are_others_a_tenant_has_its_share(self) -> None:
        self.fill(["b", *["a"] * 6], refused_from=6)

    def test_and_leaves_the_rest_to_them(self) -> None:
        self.fill(["b", *["a"] * 5, *["b"] * 4, "c"], refused_from=10)

    def fill(self, tenants: list[str | None], refused_from: int) -> None:
        model = GatedReranker()
        with Batcher(model, max_queue_pairs=10) as batcher:
            submitted(batcher, None, [("busy", "x")])
            model.wait_until_inside()
            for number, tenant in enumerate(tenants[:refused_from]):
                submitted(batcher, tenant, [("q", str(number))])
            with pytest.raises(QueueFullError, match="are waiting"):
                submitted(batcher, tenants[refused_from], [("q", "too many")])
            model.let_go(100)

    async def test_awaited(self) -> None:
        remote = Remote()
        remote.gate = asyncio.Event()
        async with Batcher(remote, concurrency=1, max_queue_pairs=10) as batcher:
            tasks = [asyncio.create_task(self.ask(batcher, tenant)) for tenant in ("b", "b", *"aaaaa")]
            while batcher.waiting_pairs < 6:
                await asyncio.sleep(0)
            with pytest.raises(QueueFullError, match="of this tenant"):
                await self.ask(batcher, "a")
            with serving("a"):
                assert batcher.load().busy
            tasks.append(asyncio.create_task(self.ask(batcher, "b")))
            remote.gate.set()
            assert len(await asyncio.gather(*tasks)) == 8

    async def ask(self, batcher: Batcher, tenant: str) -> FloatArray:
        with serving(tenant):
            return await batcher.ascore([("q", str(id(object())))])

    def test_what_waits_of_a_tenant_counts_double_for_itself(self) -> None:
        clock = ScriptedClock()
        model = GatedReranker(clock=clock, service_s=0.5)
        with Batcher(model, clock=clock) as batcher:
            model.let_go()
            submitted(batcher, "b", [("q", "before")]).result(PATIENCE_S)
            model.wait_until_inside()
            submitted(batcher, None, [("busy", "x")])
            model.wait_until_inside()
            for number in range(4):
                submitted(batcher, "a", [("q", str(number))])
            waits = {}
            for tenant in ("a", "b"):
                with serving(tenant):
                    waits[tenant] = batcher.load().wait_s
            assert waits == {"b": pytest.approx(0.5 + 4 * 0.5), "a": pytest.approx(0.5 + 8 * 0.5)}
            model.let_go(10)

    @pytest.mark.parametrize("share", [0, -1, 1.1, float("nan"), "half"])
    def test_a_share_out_of_range_is_refused(self, share: float) -> None:
        with pytest.raises(ConfigurationError, match="tenant_share must be a number above 0 and at most 1"):
            Limits(tenant_share=share)


class TestShareOfTheCalls:
    """Four calls at once, of which a tenant may hold two while others wait."""

    async def test_others_go_first_once_a_tenant_holds_its_share(self) -> None:
        remote = Remote()
        remote.gate = asyncio.Event()
        begun: list[str] = []

        async def ask(tenant: str, number: int) -> None:
            with serving(tenant):
                await batcher.ascore([(tenant, str(number))])

        remote.asked = lambda pairs: begun.append(pairs[0][0])
        async with Batcher(remote, concurrency=4) as batcher:
            tasks = [asyncio.create_task(ask("a", number)) for number in range(8)]
            while remote.under_way < 4:
                await asyncio.sleep(0)
            tasks += [asyncio.create_task(ask("b", number)) for number in range(2)]
            while batcher.waiting_pairs < 6:
                await asyncio.sleep(0)
            remote.gate.set()
            await asyncio.gather(*tasks)
        assert "".join(begun) == "aaaabbaaaa", "alone it held all four; then the two of the other came first"

    def test_so_they_do_in_threads(self) -> None:
        entered: list[str] = []

        class Noted(GatedReranker):
            def score(self, pairs: Sequence[Pair]) -> FloatArray:
                entered.append(pairs[0][0])
                return super().score(pairs)

        model = Noted(concurrency=2)
        with Batcher(model, max_requests=1) as batcher:
            futures = [submitted(batcher, "a", [("a", str(number))]) for number in range(2)]
            for _ in range(2):
                model.wait_until_inside()
            futures += [submitted(batcher, "a", [("a", "later")]), submitted(batcher, "b", [("b", "first")])]
            model.let_go()
            model.wait_until_inside()
            model.let_go(3)
            for future in futures:
                future.result(PATIENCE_S)
        assert entered == ["a", "a", "b", "a"]

    def test_others_that_wait_for_a_call_under_way_hold_up_none(self) -> None:
        model = GatedReranker(concurrency=4)
        with Batcher(model, max_requests=1) as batcher:
            futures = [submitted(batcher, tenant, [(tenant, str(n))]) for n, tenant in enumerate("aab")]
            for _ in futures:
                model.wait_until_inside()
            futures += [submitted(batcher, "b", [("b", "2")]), submitted(batcher, "a", [("a", "another")])]
            model.wait_until_inside()
            model.let_go(4)
            for future in futures:
                future.result(PATIENCE_S)
        assert len(model.calls) == 4

    def test_with_one_call_at_a_time_there_is_nothing_to_divide(self) -> None:
        assert over_their_share(["a"], 1, 0.5) == {"a"}
        assert over_their_share([], 1, 0.5) == frozenset()
        assert over_their_share(["a", "a"], 5, 0.5) == frozenset()
        assert over_their_share(["a", "a", "a", None, None, None], 5, 0.5) == {"a"}
        assert over_their_share(["a", "a"], 2, 1.0) == {"a"}


class TestRecentTenants:
    def test_whether_there_are_others(self) -> None:
        recent = RecentTenants()
        assert not recent.has_others("a", 0.0)
        recent.note("a", 0.0)
        recent.note("a", 1.0)
        recent.note(None, 1.0)
        assert not recent.has_others("a", 1.0)
        assert recent.has_others("b", 1.0)
        recent.note("b", 2.0)
        assert recent.has_others("a", 2.0)
        assert recent.has_others("b", 2.0)
        recent.note("b", 31.5)
        assert not recent.has_others("b", 31.5), "the last of another was 30.5 s ago"
        assert recent.has_others("a", 61.5)
        assert not recent.has_others("a", 61.6)

    def test_work_of_no_tenant_is_never_limited(self) -> None:
        recent = RecentTenants()
        recent.note("a", 0.0)
        assert not recent.has_others(None, 0.0)


def test_whose_request_it_is_holds_in_the_block_only() -> None:
    assert current_tenant() is None
    with serving("a"):
        with serving(""):
            assert current_tenant() == ""
        assert current_tenant() == "a"
    assert current_tenant() is None


def test_a_request_whose_loop_is_gone_ends_without_an_error() -> None:
    async def forever() -> None:
        with TimeBudget(1):
            while True:
                await asyncio.sleep(0)

    request = serve("a", forever)
    copy_context().run(request.send, None)
    request.close()
    assert current_tenant() is None
    assert current_budget() is None
