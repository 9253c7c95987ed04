"""Why an answer has no better status: one line for each way in which the cache could not answer alone."""

from collections.abc import Sequence

import numpy as np
import pytest

from semcache.flow.calls import Calls
from semcache.flow.outcome import answered, lookup
from semcache.flow.policy import FlowPolicy, ReusePolicy
from semcache.flow.requests import checked_request
from semcache.flow.rerank import find, rerank
from semcache.flow.run import run, run_many
from semcache.flow.why import degraded
from semcache.protocols import FloatArray, Scored
from semcache.ranking import Status
from tests.fakes import CountingOrder, WordEmbedder
from tests.flow.runner import FlowRunner, ScriptedGuard

DOCUMENTS = [f"passage {n} about the moon and word{n * 7 % 11}" for n in range(30)]
QUERY, NEAR, FAR = "how far is the moon", "how far is our moon", "best pizza dough recipe"


def asked(
    query: str,
    documents: Sequence[str] = DOCUMENTS,
    *,
    policy: FlowPolicy | None = None,
    before: Sequence[str] = DOCUMENTS,
    top_k: int = 5,
) -> tuple[Status, str]:
    """Status and reason of a query after ``QUERY`` has been asked about the documents ``before``."""
    runner = FlowRunner(policy=policy)
    runner.ask(QUERY, list(before))
    outcome = runner.ask(query, list(documents), top_k)
    return outcome.status, outcome.why


class TestWhatTheCacheKnew:
    @pytest.mark.parametrize("query", [QUERY, "the moon is how far"])
    def test_an_answer_without_the_reranker_needs_no_reason(self, query: str) -> None:
        status, why = asked(query)
        assert status in (Status.EXACT, Status.SEMANTIC)
        assert why == ""

    def test_no_near_query(self) -> None:
        assert asked(FAR) == (Status.FRESH, "no near query: none of similarity 0.8 or more")

    def test_below_the_trust_threshold(self) -> None:
        status, why = asked(NEAR)
        assert status is Status.VERIFIED
        assert why == "below the trust threshold: 0.857 < 0.97"

    def test_a_similarity_just_below_the_threshold_is_not_shown_as_equal(self) -> None:
        policy = FlowPolicy(ReusePolicy(trust_threshold=0.858, reuse_threshold=0.5))
        assert asked(NEAR, policy=policy)[1] == "below the trust threshold: 0.857 < 0.858"

    def test_a_guard_saw_a_difference(self) -> None:
        runner = FlowRunner(policy=FlowPolicy(ReusePolicy(trust_threshold=0.8), guard=ScriptedGuard()))
        runner.ask("can I take this with my warm milk", DOCUMENTS)
        outcome = runner.ask("can I not take this with my warm milk", DOCUMENTS)
        assert (outcome.status, outcome.why) == (
            Status.VERIFIED,
            f"guard: negation (similarity {outcome.similarity:.3f})",
        )

    def test_a_trusted_query_does_not_know_every_document(self) -> None:
        assert asked("the moon is how far", before=DOCUMENTS[:28]) == (
            Status.VERIFIED,
            "the trusted queries know 28 of 30 documents",
        )

    def test_nothing_shared(self) -> None:
        assert asked(NEAR, before=["other texts", "are these"]) == (
            Status.FRESH,
            "nothing shared: no near query knows any of these documents (nearest: similarity 0.857)",
        )

    def test_a_part_of_the_list_is_new(self) -> None:
        assert asked(QUERY, [*DOCUMENTS, "new", "newer"]) == (
            Status.PARTIAL,
            "2 of 32 documents were not scored for this query before; no near query: none of similarity 0.8 or more",
        )

    def test_an_order_that_is_served_whole_says_what_is_new(self) -> None:
        runner = FlowRunner(CountingOrder())
        runner.ask(QUERY, DOCUMENTS)
        assert runner.ask(QUERY, [*DOCUMENTS, "new"]).why.startswith("1 of 31 documents were not scored for this query")
        assert runner.ask(NEAR, DOCUMENTS).why.startswith("below the trust threshold")


class TestWhatCouldNotBeSkipped:
    def test_a_list_too_short(self) -> None:
        status, why = asked(NEAR, DOCUMENTS[:4])
        assert status is Status.FRESH
        assert why.endswith("; list too short to verify: 4 documents for a top 4")

    def test_too_few_documents_shared(self) -> None:
        status, why = asked(NEAR, before=DOCUMENTS[:3])
        assert status is Status.FRESH
        assert why.endswith("; too few documents shared to verify: 3 of 30 for a top 5")

    def test_every_document_could_still_reach_the_top(self) -> None:
        status, why = asked(NEAR, policy=FlowPolicy(ReusePolicy(confidence=1000.0, drift_limit=1e-9)))
        assert status is Status.FRESH
        assert why.endswith("; every document could still reach the top 5")


class TestWhatWasNotAllowed:
    def test_without_reuse(self) -> None:
        assert asked(NEAR, policy=FlowPolicy(None)) == (Status.FRESH, "near queries are not looked for")

    def test_a_long_query(self) -> None:
        assert asked("moon " * 300) == (
            Status.FRESH,
            "query longer than 512 characters: near queries are not looked for",
        )

    def test_trust_that_was_withdrawn(self) -> None:
        rule = ReusePolicy()
        lost = FlowPolicy(rule, trust_near=False, withdrawn="near queries cost more than the budget")
        assert asked(NEAR, policy=lost) == (
            Status.VERIFIED,
            "trust withdrawn: near queries cost more than the budget",
        )
        raised = FlowPolicy(ReusePolicy(trust_threshold=0.99), withdrawn="near queries cost more than the budget")
        assert asked(NEAR, policy=raised)[1] == (
            "below the trust threshold: 0.857 < 0.99 (trust withdrawn: near queries cost more than the budget)"
        )
        exact = FlowPolicy(rule, trust_exact=False, trust_near=False, withdrawn="the same query was scored differently")
        assert asked(QUERY, policy=exact)[1] == "trust withdrawn: the same query was scored differently"


class TestWhatFailed:
    def test_a_store_that_is_away(self) -> None:
        runner = FlowRunner()
        runner.store.broken = True
        assert runner.ask(QUERY, DOCUMENTS).why == "cache unavailable: ConnectionError: scripted outage"
        flows = [runner.flow(query, DOCUMENTS) for query in (QUERY, FAR)]
        assert {outcome.why for outcome in run_many(flows, runner.calls)} == {
            "cache unavailable: ConnectionError: scripted outage"
        }

    def test_an_embedder_that_fails_keeps_the_query_out(self) -> None:
        class Broken(WordEmbedder):
            def embed(self, texts: Sequence[str]) -> FloatArray:
                raise ValueError(f"cannot embed {texts[0]!r}")

        runner = FlowRunner()
        runner.calls = Calls(runner.store, Broken().embed, runner.ladder.score, 4, runner.events.append)
        assert runner.ask(QUERY, DOCUMENTS).why == "query not embedded: ValueError: cannot embed '…'"

    def test_a_deadline_that_is_over(self) -> None:
        runner = FlowRunner()
        outcome = run(runner.flow(QUERY, DOCUMENTS), runner.calls, deadline=0.0)
        assert outcome.why == "cache unavailable: the deadline left no time"

    @pytest.mark.parametrize(
        ("reason", "why"),
        [
            ("open", "the circuit breaker keeps calls from the primary reranker"),
            ("busy", "the primary reranker was too busy"),
            ("moody", "the primary reranker did not answer: moody"),
        ],
    )
    def test_a_degraded_answer(self, reason: str, why: str) -> None:
        runner = FlowRunner()
        runner.ladder.degrade = reason
        assert runner.ask(QUERY, DOCUMENTS).why == why == degraded(reason)

    def test_an_answer_without_a_cache_needs_no_reason(self) -> None:
        request = checked_request(QUERY, ["a"], 1)
        assert answered(request, Scored(np.ones(1, dtype=np.float32), "r")).why == ""


def test_a_look_up_says_it_too() -> None:
    runner = FlowRunner()
    request = checked_request(QUERY, DOCUMENTS, 1)
    flow = find(request, runner.policy, "counting")
    assert lookup(request, run(flow, runner.calls)).why == ("no near query: none of similarity 0.8 or more")


def test_no_documents_need_no_reason() -> None:
    flow = rerank(checked_request(QUERY, [], 1), FlowPolicy(ReusePolicy()), "counting")
    with pytest.raises(StopIteration) as ended:
        next(flow)
    assert ended.value.value.why == ""
