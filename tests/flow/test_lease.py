"""A request with a lease asks, waits, or goes on, and ends what it holds."""

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from semcache.errors import RerankerError
from semcache.events import LeaseAwaited
from semcache.flow.calls import Calls
from semcache.flow.lease import lease_of
from semcache.flow.outcome import Outcome
from semcache.flow.policy import FlowPolicy, ReusePolicy
from semcache.flow.requests import Request, checked_request
from semcache.flow.rerank import rerank
from semcache.flow.run import run
from semcache.flow.steps import AwaitScores, Lease, ReadExact, Score, Step
from semcache.flow.waiting import LeaseCalls
from semcache.protocols import Scored
from semcache.ranking import Status
from tests.fakes import MemoryStore
from tests.flow.runner import FlowRunner

QUERY, DOCUMENTS = "how far is the moon", [f"passage {number}" for number in range(6)]


class LeasedStore(MemoryStore):
    """Keeps the leases that were ended with scores."""

    def __init__(self) -> None:
        super().__init__()
        self.ended: list[Lease] = []

    def remember(self, *arguments: Any, lease: Lease | None = None, **named: Any) -> bool:
        if lease is not None:
            self.ended.append(lease)
        return super().remember(*arguments, **named)


class Leases:
    """Leases in memory. Another process holds the one that is asked for, until it ends after so many looks."""

    def __init__(self, runner: FlowRunner, *, held_for: int | None = 0, computes: bool = True) -> None:
        self.runner = runner
        self.store = runner.store = LeasedStore()
        runner.calls = replace(runner.calls, store=self.store)
        self.looks_left = held_for
        self.computes = computes
        self.ended: list[Lease] = []
        self.claims = 0
        self.pauses: list[float] = []
        self.renewed: list[Lease] = []
        self.calls = LeaseCalls(self.claim, self.look, self.computing, self.pauses.append, runner.events.append)

    def claim(self, lease: Lease) -> None:
        self.claims += 1
        lease.is_ours = self.looks_left == 0

    def look(self, lease: Lease) -> tuple[Any, bool]:
        if self.looks_left:
            self.looks_left -= 1
            if not self.looks_left and self.computes:
                FlowRunner.ask(self.runner, QUERY, DOCUMENTS)
        return self.runner.store.read_exact("", QUERY), self.looks_left == 0

    @contextmanager
    def computing(self, lease: Lease) -> Iterator[None]:
        asked = len(self.runner.ladder.asked)
        yield
        self.renewed += [lease] * (len(self.runner.ladder.asked) - asked)

    def near(self, tenant: str, vectors: Sequence[Any], k: int, least: float, _: Any, lease: Any = None) -> Any:
        if lease is not None:
            self.claim(lease)
        return [(self.runner.store.find_neighbours(tenant, vectors[0], k, least), None, [])]


def ask(leases: Leases, *, life_s: float = 60.0, longest_s: float | None = None, top_k: int = 3) -> Outcome:
    runner = leases.runner
    request = checked_request(QUERY, DOCUMENTS, top_k)
    calls = Calls(
        runner.store,
        runner.embedder.embed,
        runner.ladder.score,
        4,
        runner.events.append,
        near=leases.near,
        leases=leases.calls,
    )

    def new_lease(request: Request) -> Lease:
        return lease_of(request, life_s, b"token", longest_s, give_up=leases.ended.append)

    return run(rerank(request, runner.policy, "counting", new_lease=new_lease), calls)


def waits(leases: Leases) -> list[str]:
    return [event.outcome for event in leases.runner.events if isinstance(event, LeaseAwaited)]


EXACT_ONLY = FlowPolicy(None)
EITHER = pytest.mark.parametrize("policy", [FlowPolicy(ReusePolicy()), EXACT_ONLY], ids=["search", "exact only"])


@EITHER
def test_one_that_holds_it_asks_and_does_not_wait(policy: FlowPolicy) -> None:
    leases = Leases(FlowRunner(policy=policy))
    assert ask(leases).status is Status.FRESH
    assert (leases.claims, leases.pauses, waits(leases)) == (1, [], [])
    assert [lease.token for lease in leases.renewed] == [b"token"]
    # With the scores, so that it takes no round trip of its own.
    assert ([lease.token for lease in leases.store.ended], leases.ended) == ([b"token"], [])


def test_what_is_known_exactly_needs_none() -> None:
    leases = Leases(FlowRunner())
    ask(leases)
    assert ask(leases).status is Status.EXACT
    assert leases.claims == 1


@EITHER
def test_another_waits_for_the_scores_and_asks_nothing(policy: FlowPolicy) -> None:
    leases = Leases(FlowRunner(policy=policy), held_for=3)
    outcome = ask(leases)
    assert (outcome.status, outcome.asked, outcome.scores) == (
        Status.EXACT,
        0,
        leases.runner.fresh(QUERY, DOCUMENTS),
    )
    assert (leases.runner.ladder.asked, waits(leases), leases.ended) == ([6], ["answered"], [])
    assert leases.renewed == []
    assert len(leases.pauses) == 3
    assert all(0 < pause_s <= 0.05 for pause_s in leases.pauses)


def test_when_the_other_has_given_up_it_takes_its_place() -> None:
    leases = Leases(FlowRunner(), held_for=2, computes=False)
    assert ask(leases).status is Status.FRESH
    assert waits(leases) == ["released"]


def test_after_its_time_it_asks_itself_and_leaves_the_lease_alone() -> None:
    leases = Leases(FlowRunner(), held_for=10**9)
    assert ask(leases, life_s=0.0).status is Status.FRESH
    assert (waits(leases), leases.ended, leases.store.ended) == (["timeout"], [], [])


def test_one_that_is_renewed_is_waited_for_as_long_as_it_may_be() -> None:
    leases = Leases(FlowRunner(), held_for=50)
    assert ask(leases, life_s=0.0, longest_s=60.0).status is Status.EXACT
    assert (len(leases.pauses), waits(leases)) == (50, ["answered"])


def test_the_time_that_it_waited_is_not_the_rerankers() -> None:
    steps, flow = stepped(lease_of(checked_request(QUERY, DOCUMENTS, 3), 1.0, b"token"), None)
    assert isinstance(steps[-1], AwaitScores)
    steps[-1].waited_s = 0.75
    asking = flow.send(None)
    assert isinstance(asking, Score)
    assert asking.waited_s == 0.75


def test_scores_of_all_documents_end_the_wait_whosever_the_lease_is() -> None:
    # A process that claimed it after they were stored, and needed it no more.
    leases = Leases(FlowRunner(), held_for=10**9)
    leases.look = lambda lease: (  # type: ignore[method-assign]
        FlowRunner.ask(leases.runner, QUERY, DOCUMENTS) and leases.runner.store.read_exact("", QUERY),
        False,
    )
    leases.calls = LeaseCalls(leases.claim, leases.look, leases.computing, leases.pauses.append, lambda _: None)
    assert ask(leases).status is Status.EXACT


def test_a_degraded_answer_lets_the_others_go_on() -> None:
    leases = Leases(FlowRunner())
    leases.runner.ladder.degrade = "busy"
    assert ask(leases).status is Status.DEGRADED
    assert [lease.is_ours for lease in leases.ended] == [True]


def test_so_does_an_error_that_the_caller_gets() -> None:
    leases = Leases(FlowRunner())

    def fail(*_: Any, **__: Any) -> Scored:
        raise RerankerError("scripted")

    leases.runner.ladder.score = fail  # type: ignore[method-assign]
    with pytest.raises(RerankerError):
        ask(leases)
    assert len(leases.ended) == 1


def stepped(lease: Lease, *answers: Any) -> tuple[list[Step], Generator[Step, Any, Outcome]]:
    """The steps of a request whose lease is given, as far as there are answers."""
    request = checked_request(QUERY, DOCUMENTS, 3)
    flow = rerank(request, EXACT_ONLY, "counting", new_lease=lambda _: lease)
    steps = [next(flow)]
    steps += [flow.send(answer) for answer in answers]
    return steps, flow


def test_what_the_other_has_left_out_is_asked_for() -> None:
    request = checked_request(QUERY, DOCUMENTS, 3)
    part = dict.fromkeys(request.fingerprints[:4], 1.0)
    steps, _ = stepped(lease_of(request, 1.0, b"token"), None, part)
    assert [type(step) for step in steps] == [ReadExact, AwaitScores, Score]
    assert isinstance(steps[2], Score)
    assert steps[2].ask == (4, 5)


def test_where_waiting_fails_it_asks() -> None:
    steps, _ = stepped(lease_of(checked_request(QUERY, DOCUMENTS, 3), 1.0, b"token"), None, None)
    assert [type(step) for step in steps] == [ReadExact, AwaitScores, Score]


def test_no_lease_is_claimed_where_redis_has_failed() -> None:
    flow = rerank(checked_request(QUERY, DOCUMENTS, 3), EXACT_ONLY, "counting", new_lease=lambda _: pytest.fail("made"))
    reading = next(flow)
    assert isinstance(reading, ReadExact)
    reading.failure = "StoreUnavailableError: gone"
    assert isinstance(flow.send(None), Score)


def test_equal_requests_have_leases_of_one_name() -> None:
    def name(documents: list[str], top_k: int = 3) -> str:
        return lease_of(checked_request(QUERY, documents, top_k), 1.0, b"token").name

    assert name(DOCUMENTS) == name(DOCUMENTS[::-1])
    assert len({name(DOCUMENTS), name(DOCUMENTS[1:]), name(DOCUMENTS, 2)}) == 3


def test_an_interrupted_request_gives_its_lease_up() -> None:
    ended: list[Lease] = []
    lease = lease_of(checked_request(QUERY, DOCUMENTS, 3), 1.0, b"token", give_up=ended.append)
    lease.is_ours = True
    steps, flow = stepped(lease, None)
    assert isinstance(steps[-1], Score)
    flow.close()
    assert ended == [lease]


@pytest.mark.parametrize("held_for", [0, None], ids=["ours", "of another process"])
def test_an_answer_by_a_near_query_gives_up_a_lease_of_ours(held_for: int | None) -> None:
    leases = Leases(FlowRunner(), held_for=held_for)
    FlowRunner.ask(leases.runner, "how far is the moon away", DOCUMENTS)
    leases.runner.policy = FlowPolicy(ReusePolicy(trust_threshold=0.5, reuse_threshold=0.5))
    assert ask(leases).status is Status.SEMANTIC
    assert [lease.token for lease in leases.ended] == ([b"token"] if held_for == 0 else [])


def test_so_does_a_repetition_that_asks_nothing() -> None:
    leases = Leases(FlowRunner())
    FlowRunner.ask(leases.runner, "how far is the moon away", DOCUMENTS)
    leases.runner.policy = FlowPolicy(ReusePolicy(trust_threshold=1.0, reuse_threshold=0.5, confidence=0.1))
    assert [ask(leases, top_k=1).status, ask(leases, top_k=1).asked] == [Status.VERIFIED, 0]
    assert [lease.token for lease in leases.ended] == [b"token"]
