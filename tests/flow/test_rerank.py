"""The flow, driven over a store and a reranker that can be looked into."""

from collections.abc import Sequence
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from semcache.entries.entry import Neighbour
from semcache.entries.fingerprint import document_fingerprint, entry_id
from semcache.events import CacheFailed, TrustRefused
from semcache.flow.calls import Calls
from semcache.flow.drive import drive
from semcache.flow.outcome import Outcome
from semcache.flow.policy import FlowPolicy, ReusePolicy
from semcache.flow.requests import checked_request
from semcache.flow.rerank import rerank
from semcache.flow.run import run_many
from semcache.flow.steps import Embed, FindNeighbours, Score, Step
from semcache.protocols import FloatArray, Pair, Scored
from semcache.ranking import Status
from tests.fakes import CountingOrder, CountingReranker, MemoryStore
from tests.flow.runner import FlowRunner, ScriptedGuard

DOCUMENTS = [f"passage {n} about the moon and word{n * 7 % 11}" for n in range(30)]


def test_a_first_request_is_fresh_and_the_same_again_is_exact_without_embedding() -> None:
    runner = FlowRunner()
    first = runner.ask("how far is the moon", DOCUMENTS)
    assert (first.status, first.asked, first.reused) == (Status.FRESH, 30, 0)
    runner.embedder.texts.clear()
    runner.store.calls.clear()
    again = runner.ask("how far is  the moon", DOCUMENTS, top_k=20)
    assert (again.status, again.asked, again.reused) == (Status.EXACT, 0, 30)
    assert (again.order, again.scores) == (first.order, first.scores)
    assert runner.embedder.texts == []
    assert runner.store.calls == ["read_exact"]


def test_a_changed_candidate_is_the_only_one_scored() -> None:
    runner = FlowRunner()
    runner.ask("how far is the moon", DOCUMENTS)
    runner.reranker.pairs.clear()
    changed = [*DOCUMENTS[:-1], "another text"]
    outcome = runner.ask("how far is the moon", changed)
    assert outcome.status is Status.PARTIAL
    assert runner.reranker.pairs == [("how far is the moon", "another text")]
    assert outcome.scores == runner.fresh("how far is the moon", changed)


def test_words_in_another_order_are_trusted_without_a_guard_and_never_stored() -> None:
    runner = FlowRunner()
    first = runner.ask("how far is the moon", DOCUMENTS)
    outcome = runner.ask("the moon is how far", DOCUMENTS)
    assert (outcome.status, outcome.asked, outcome.scores) == (Status.SEMANTIC, 0, first.scores)
    assert outcome.similarity == pytest.approx(1, abs=1e-6)
    assert len(runner.store.scores) == 1


def test_a_guard_turns_trust_into_verification() -> None:
    runner = FlowRunner(policy=FlowPolicy(ReusePolicy(trust_threshold=0.8), guard=ScriptedGuard()))
    runner.ask("can I take this with my warm milk", DOCUMENTS)
    outcome = runner.ask("can I not take this with my warm milk", DOCUMENTS)
    assert outcome.status is Status.VERIFIED
    assert [type(event) for event in runner.events] == [TrustRefused]
    fresh = runner.fresh("can I not take this with my warm milk", DOCUMENTS)
    assert [outcome.scores[place] for place in outcome.order[:5]] == [fresh[place] for place in outcome.order[:5]]


class Opposites(CountingReranker):
    """Likes the passages of one half for a question and those of the other half for its opposite."""

    def score_of(self, query: str, text: str) -> float:
        return 5 + len(text) / 100 if (" not " in query) == (" not " in text) else -5 - len(text) / 100


BOTH_SIDES = [
    *(f"why you can take medicine {n}{'.' * n}" for n in range(10)),
    *(f"why you can not take medicine {n}{'.' * n}" for n in range(10)),
]


@pytest.mark.parametrize("max_rounds", [1, None])
def test_scores_of_the_opposite_question_hide_no_document(max_rounds: int | None) -> None:
    policy = FlowPolicy(ReusePolicy(trust_threshold=0.8, max_rounds=max_rounds), guard=ScriptedGuard())
    runner = FlowRunner(Opposites(), policy)
    runner.ask("can I take this with my warm milk", BOTH_SIDES)
    outcome = runner.ask("can I not take this with my warm milk", BOTH_SIDES)
    assert outcome.order[:5] == [19, 18, 17, 16, 15]
    assert (outcome.status, outcome.asked) == (Status.FRESH, 20)
    assert "guard: negation (similarity 0.9" in outcome.why


def test_a_near_query_that_asks_the_same_is_used_beside_one_that_asks_the_opposite() -> None:
    runner = FlowRunner(Opposites(), FlowPolicy(ReusePolicy(), guard=ScriptedGuard()))
    runner.ask("can I not take this with my warm milk", BOTH_SIDES)
    runner.ask("can I take this with my warm oat milk", BOTH_SIDES)
    outcome = runner.ask("can I take this with my warm milk", BOTH_SIDES)
    assert outcome.order[:5] == [9, 8, 7, 6, 5]
    assert outcome.status is Status.VERIFIED
    assert outcome.drift is not None and outcome.drift.median == 0


def test_its_own_entry_is_not_taken_for_a_neighbour_without_drift() -> None:
    runner = FlowRunner()
    runner.ask("how far is the moon", DOCUMENTS)
    runner.ask("how far is our moon", DOCUMENTS[:10])
    partial = runner.ask("how far is our moon", DOCUMENTS)
    assert partial.similarity < 0.99
    assert partial.evidence.id == entry_id("", "how far is the moon")
    alone = FlowRunner()
    alone.ask("how far is the moon", DOCUMENTS[:10])
    outcome = alone.ask("how far is the moon", DOCUMENTS)
    assert (outcome.status, outcome.similarity, outcome.evidence) == (Status.PARTIAL, None, None)


class ReadsLate(MemoryStore):
    """Does not find an entry yet when it is asked for that of exactly this query."""

    def read_exact(self, tenant: str, query: str) -> None:
        self.calls.append("read_exact")


@pytest.mark.parametrize("kind", [CountingReranker, CountingOrder])
def test_its_own_entry_that_came_after_the_exact_read_is_exact(kind: type[CountingReranker]) -> None:
    runner = FlowRunner(kind(), store_of=ReadsLate)
    first = runner.ask("how far is the moon", DOCUMENTS)
    runner.reranker.pairs.clear()
    again = runner.ask("how far is  the moon", DOCUMENTS)
    assert (again.status, again.order, again.similarity) == (Status.EXACT, first.order, None)
    assert not runner.reranker.pairs


def test_its_own_entry_that_came_after_the_exact_read_teaches_no_drift() -> None:
    runner = FlowRunner(store_of=ReadsLate)
    runner.ask("how far is the moon", DOCUMENTS[:20])
    outcome = runner.ask("how far is the moon", DOCUMENTS)
    assert (outcome.status, outcome.asked, outcome.evidence) == (Status.PARTIAL, 10, None)


def test_an_unrelated_query_is_fresh() -> None:
    runner = FlowRunner()
    runner.ask("how far is the moon", DOCUMENTS)
    assert runner.ask("best pizza dough recipe", DOCUMENTS).status is Status.FRESH


def test_a_long_query_is_only_looked_up_exactly() -> None:
    runner = FlowRunner()
    query = "moon " * 300
    assert runner.ask(query, DOCUMENTS).status is Status.FRESH
    assert runner.ask(query, DOCUMENTS).status is Status.EXACT
    assert runner.embedder.texts == []


def test_a_degraded_answer_is_never_stored_and_covers_every_document() -> None:
    runner = FlowRunner()
    runner.ask("how far is the moon", DOCUMENTS[:20])
    runner.ladder.degrade = "open"
    outcome = runner.ask("how far is the moon", DOCUMENTS)
    assert (outcome.status, outcome.reason, outcome.reranker) == (Status.DEGRADED, "open", "fallback")
    assert sorted(outcome.order) == list(range(30))
    runner.ladder.degrade = None
    runner.reranker.pairs.clear()
    again = runner.ask("how far is the moon", DOCUMENTS)
    assert (again.status, len(runner.reranker.pairs)) == (Status.PARTIAL, 10)
    assert again.scores == runner.fresh("how far is the moon", DOCUMENTS)


def test_a_degraded_answer_in_the_middle_of_a_verification_stays_degraded() -> None:
    runner = FlowRunner()
    runner.ask("how far is the moon", DOCUMENTS)
    before = dict(runner.store.scores)
    runner.ladder.degrade = "busy"
    assert runner.ask("how far is our moon", DOCUMENTS).status is Status.DEGRADED
    assert runner.store.scores == before


def test_a_listwise_order_is_served_whole_or_not_at_all() -> None:
    runner = FlowRunner(CountingOrder())
    first = runner.ask("how far is the moon", DOCUMENTS)
    assert runner.ask("how far is the moon", DOCUMENTS[5:15]).status is Status.EXACT
    assert runner.ask("the moon is how far", DOCUMENTS).scores == first.scores
    runner.reranker.pairs.clear()
    more = runner.ask("how far is the moon", [*DOCUMENTS, "another text"])
    assert (more.status, len(runner.reranker.pairs)) == (Status.FRESH, 31)


def test_a_broken_store_and_a_broken_embedder_change_nothing_but_the_work() -> None:
    runner = FlowRunner()
    runner.store.broken = True
    outcome = runner.ask("how far is the moon", DOCUMENTS)
    assert (outcome.status, outcome.scores) == (Status.FRESH, runner.fresh("how far is the moon", DOCUMENTS))
    assert {event.step for event in runner.events if isinstance(event, CacheFailed)} == {
        "ReadExact",
        "FindNeighbours",
        "Remember",
    }


def test_a_step_that_cannot_be_done_without_raises_to_the_caller() -> None:
    class Broken(CountingReranker):
        def score(self, pairs: Sequence[Pair]) -> FloatArray:
            raise RuntimeError("model gone")

    with pytest.raises(RuntimeError, match="model gone"):
        FlowRunner(Broken()).ask("how far is the moon", DOCUMENTS)


def test_many_flows_share_one_embedding_call_and_agree_with_single_ones() -> None:
    runner, single = FlowRunner(), FlowRunner()
    queries = ["how far is the moon", "best pizza dough", "how far is the moon", "who built rome"]
    calls = []
    runner.calls = Calls(
        runner.store,
        lambda texts: calls.append(list(texts)) or runner.embedder.embed(texts),
        runner.ladder.score,
        4,
        runner.events.append,
    )
    outcomes = run_many([runner.flow(query, DOCUMENTS) for query in queries], runner.calls)
    assert calls == [queries]
    assert [o.scores for o in outcomes] == [single.fresh(query, DOCUMENTS) for query in queries]


WORDS = st.sampled_from(["moon", "far", "pizza", "dough", "rome", "is", "the"])
QUERIES = st.lists(WORDS, min_size=1, max_size=4).map(" ".join)
CANDIDATES = st.lists(st.sampled_from(DOCUMENTS), min_size=1, max_size=30)
REQUESTS = st.lists(
    st.tuples(QUERIES, CANDIDATES, st.integers(1, 12), st.sampled_from(["", "a", "b"])), min_size=1, max_size=12
)


@settings(max_examples=150, deadline=None)
@given(REQUESTS, st.sampled_from([-1.0, 0.5, 0.9, 1.0]))
def test_for_any_sequence_of_requests(requests: list[tuple[str, list[str], int, str]], threshold: float) -> None:
    runner = FlowRunner(policy=FlowPolicy(ReusePolicy(trust_threshold=1.0, reuse_threshold=threshold)))
    for query, documents, top_k, tenant in requests:
        known = {key for key in runner.store.scores if key[0] == tenant}
        runner.ladder.asked.clear()
        outcome = runner.ask(query, documents, top_k, tenant)
        fresh = runner.fresh(query, documents)
        assert sorted(outcome.order) == list(range(len(set(documents))))
        if outcome.status in (Status.EXACT, Status.PARTIAL, Status.FRESH):
            assert outcome.scores == fresh
            assert list(outcome.order) == sorted(range(len(fresh)), key=lambda place: -fresh[place])
        if outcome.status is Status.VERIFIED and outcome.reason is None:
            top = outcome.order[: min(top_k, len(documents))]
            assert [outcome.scores[place] for place in top] == [fresh[place] for place in top]
        if not known:
            assert outcome.status is Status.FRESH
        assert outcome.asked + outcome.reused == len(fresh)
        assert (outcome.why == "") == (outcome.status in (Status.EXACT, Status.SEMANTIC))
        assert (outcome.rounds, outcome.asked) == (len(runner.ladder.asked), sum(runner.ladder.asked))


@settings(max_examples=60, deadline=None)
@given(REQUESTS)
def test_everything_stored_is_true_for_its_own_query(requests: list[tuple[str, list[str], int, str]]) -> None:
    runner = FlowRunner()
    for query, documents, top_k, tenant in requests:
        runner.ask(query, documents, top_k, tenant)
    for (query, documents, _, tenant), text in product(requests, DOCUMENTS):
        known = runner.store.read_exact(tenant, query) or {}
        score = known.get(document_fingerprint(text))
        assert score is None or score == float(np.float32(runner.reranker.score_of(query, text)))
        assert documents


def drawn_from(
    near: list[Neighbour], policy: FlowPolicy, query: str = "q", *, listwise: bool = False
) -> tuple[Outcome, list[Step]]:
    """The outcome of a request for three documents when these neighbours are found, and the steps that it took."""
    steps: list[Step] = []

    def answer(step: Step) -> object:
        steps.append(step)
        if isinstance(step, Score):
            return Scored(np.array([float(position) for position in step.ask], dtype=np.float32), "r")
        answers = {FindNeighbours: near, Embed: np.ones(1, dtype=np.float32)}
        return answers.get(type(step))

    request = checked_request(query, ["a", "b", "c"], 1)
    return drive(rerank(request, policy, "r", listwise=listwise), answer), steps


def neighbour(similarity: float, **scores: float) -> Neighbour:
    known = {document_fingerprint(text): score for text, score in scores.items()}
    return Neighbour("near", similarity, known, 0.0)


@pytest.mark.parametrize(("similarity", "trusted"), [(0.9, True), (np.nextafter(0.9, 0), False)])
def test_a_neighbour_is_trusted_from_the_threshold_on(similarity: float, trusted: bool) -> None:
    policy = FlowPolicy(ReusePolicy(trust_threshold=0.9))
    outcome, _ = drawn_from([neighbour(similarity, a=1, b=2, c=3)], policy)
    assert (outcome.status is Status.SEMANTIC) is trusted


@pytest.mark.parametrize(("similarity", "used"), [(0.6, True), (np.nextafter(0.6, 0), False)])
def test_a_neighbour_is_used_from_the_threshold_on(similarity: float, used: bool) -> None:
    outcome, _ = drawn_from([neighbour(similarity, a=1, b=2, c=3)], FlowPolicy(ReusePolicy(reuse_threshold=0.6)))
    assert (outcome.similarity is not None) is used


@pytest.mark.parametrize(("length", "embedded"), [(8, True), (9, False)])
def test_queries_up_to_the_longest_are_embedded(length: int, embedded: bool) -> None:
    _, steps = drawn_from([], FlowPolicy(ReusePolicy(), max_query_chars=8), "x" * length)
    assert (Embed in map(type, steps)) is embedded


def test_a_neighbour_that_knows_none_of_the_documents_teaches_nothing() -> None:
    outcome, _ = drawn_from([neighbour(0.9, x=1)], FlowPolicy(ReusePolicy()))
    assert (outcome.status, outcome.similarity, outcome.evidence) == (Status.FRESH, None, None)


def test_two_trusted_neighbours_serve_together_and_the_nearer_one_first() -> None:
    policy = FlowPolicy(ReusePolicy(trust_threshold=0.9))
    near = [neighbour(0.95, a=1.0, b=2.0), neighbour(0.92, b=9.0, c=3.0)]
    outcome, _ = drawn_from(near, policy)
    assert (outcome.status, outcome.scores, outcome.similarity) == (Status.SEMANTIC, [1.0, 2.0, 3.0], 0.95)


@pytest.mark.parametrize("listwise", [False, True])
def test_the_similarity_is_that_of_the_nearest_that_was_used(listwise: bool) -> None:
    near = [neighbour(0.99, x=1.0), neighbour(0.92, a=3.0, b=2.0, c=1.0)]
    outcome, _ = drawn_from(near, FlowPolicy(ReusePolicy(trust_threshold=0.9)), listwise=listwise)
    assert (outcome.status, outcome.scores, outcome.similarity) == (Status.SEMANTIC, [3.0, 2.0, 1.0], 0.92)


def test_the_evidence_of_a_verification_is_that_of_the_nearest_neighbour() -> None:
    near = [neighbour(0.9, a=5.0, b=4.0), neighbour(0.8, c=-7.0)]
    outcome, _ = drawn_from(near, FlowPolicy(ReusePolicy(confidence=0, max_rounds=1)))
    evidence = outcome.evidence
    assert evidence is not None
    assert (evidence.id, evidence.similarity) == ("near", 0.9)
    assert (evidence.cached.tolist(), evidence.fresh.tolist()) == ([5.0, 4.0], [0.0, 1.0])
    assert outcome.scores is not None
    assert evidence.worst == min(outcome.scores)


def test_withdrawn_trust_verifies_even_the_same_query() -> None:
    policy = FlowPolicy(ReusePolicy(), trust_near=False, trust_exact=False)
    runner = FlowRunner()
    runner.ask("how far is the moon", DOCUMENTS)
    runner.policy = policy
    outcome = runner.ask("how far is the moon", DOCUMENTS)
    assert (outcome.status, outcome.similarity) == (Status.VERIFIED, pytest.approx(1, abs=1e-6))
    assert outcome.evidence is not None
    assert outcome.evidence.id == entry_id("", "how far is the moon")
    assert outcome.nearest is None, "its own entry is no other query's"
