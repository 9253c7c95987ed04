"""Requests that the surrogate prunes: the reranker is asked about what could be among the best, and only about that."""

from collections.abc import Generator, Sequence
from dataclasses import replace
from typing import Any
from zlib import crc32

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from semcache.documents import Document
from semcache.entries.entry import Neighbour
from semcache.flow.outcome import Outcome
from semcache.flow.policy import FlowPolicy, PrunePolicy, ReusePolicy
from semcache.flow.prune import is_explored, learned, vectors_at_hand
from semcache.flow.requests import Request, checked_request
from semcache.flow.rerank import rerank
from semcache.flow.reuse import Learned
from semcache.flow.run import run, run_many
from semcache.flow.steps import Step
from semcache.protocols import Scored
from semcache.pruning.features import features
from semcache.pruning.statistics import Statistics
from semcache.pruning.surrogate import Surrogate
from semcache.ranking import Status
from tests.fakes import CountingReranker, OneRung
from tests.flow.runner import FlowRunner

DOCUMENTS = [f"passage {n}" for n in range(50)]
PRUNE = PrunePolicy(mode="on", explore=0.0)


class FallingReranker(CountingReranker):
    """Likes the retriever's order, with some noise of its own."""

    def score_of(self, query: str, text: str) -> float:
        noise = np.random.default_rng(crc32(f"{query} {text}".encode())).normal()
        return 5 - float(text.removeprefix("passage ")) / 5 + 0.3 * noise


def surrogate_of(reranker: CountingReranker, documents: Sequence[str] = DOCUMENTS) -> Surrogate:
    """The surrogate that forty queries teach which were scored whole."""
    sums = Statistics.empty()
    for number in range(40):
        scores = np.array([reranker.score_of(f"learned {number}", text) for text in documents])
        sums += Statistics.of(features(f"learned {number}", documents), scores)
    surrogate = Surrogate.of(sums)
    assert surrogate is not None
    return surrogate


@pytest.fixture
def runner() -> FlowRunner:
    reranker = FallingReranker()
    policy = FlowPolicy(ReusePolicy(), prune=PRUNE, surrogate=surrogate_of(reranker))
    return FlowRunner(reranker, policy)


def performed(flow: Generator[Step, Any, Learned | None]) -> Learned | None:
    """The result of a part of a flow that asks for nothing."""
    with pytest.raises(StopIteration) as ended:
        next(flow)
    found: Learned | None = ended.value.value
    return found


def top(outcome: Outcome, k: int = 5) -> list[int]:
    return list(outcome.order[:k])


def test_a_miss_asks_about_the_documents_that_could_be_among_the_best(runner: FlowRunner) -> None:
    outcome = runner.ask("a new question", DOCUMENTS)
    asked = {text for _, text in runner.reranker.pairs}
    assert outcome.status is Status.PRUNED
    assert 5 <= outcome.asked == len(asked) < 25
    assert (outcome.skipped, outcome.reused) == (50 - outcome.asked, 0)
    fresh = runner.fresh("a new question", DOCUMENTS)
    assert top(outcome) == sorted(range(50), key=lambda n: -fresh[n])[:5]
    assert all(DOCUMENTS[n] in asked for n in top(outcome))
    assert outcome.why == "no near query: none of similarity 0.8 or more"


def test_only_scores_of_the_reranker_are_remembered(runner: FlowRunner) -> None:
    outcome = runner.ask("a new question", DOCUMENTS)
    stored = runner.store.read_exact("", "a new question")
    fresh = runner.fresh("a new question", DOCUMENTS)
    fingerprints = checked_request("q", DOCUMENTS, 1).fingerprints
    assert stored is not None
    known = {fingerprints.index(name): score for name, score in stored.items() if name in fingerprints}
    assert len(known) == outcome.asked
    # The one beside them says that this request was answered by so many scores.
    assert [score for name, score in stored.items() if name not in fingerprints] == [outcome.asked]
    assert known == {n: pytest.approx(fresh[n]) for n in known}


def test_the_same_request_again_asks_about_nothing(runner: FlowRunner) -> None:
    first = runner.ask("a new question", DOCUMENTS)
    again = runner.ask("a new question", DOCUMENTS)
    assert (again.status, again.asked, again.rounds) == (Status.PRUNED, 0, 0)
    assert top(again) == top(first)
    assert again.reused == first.asked and again.skipped == first.skipped
    assert again.why.startswith(f"{first.skipped} of 50 documents were not scored for this query before")


class Doubtful(FallingReranker):
    """Scores that are far from what any surrogate expects, so that each round asks about more."""

    def score_of(self, query: str, text: str) -> float:
        return super().score_of(query, text) + 4 * float(np.random.default_rng(crc32(text.encode())).normal())


@pytest.mark.parametrize("max_rounds", [1, 5])
def test_a_repetition_asks_about_nothing_also_after_more_was_learned(max_rounds: int) -> None:
    policy = FlowPolicy(
        ReusePolicy(),
        prune=replace(PRUNE, max_rounds=max_rounds, confidence=0.5),
        surrogate=surrogate_of(FallingReranker()),
    )
    runner = FlowRunner(Doubtful(), policy)
    first = runner.ask("a new question", DOCUMENTS)
    assert first.status is Status.PRUNED
    runner.policy = replace(policy, surrogate=surrogate_of(Doubtful()))
    # The order of the documents is the retriever's, and does not make another request.
    again = runner.ask("a new question", DOCUMENTS[::-1])
    assert (again.status, again.asked, again.reused) == (Status.PRUNED, 0, first.asked)
    assert [DOCUMENTS[::-1][n] for n in top(again)] == [DOCUMENTS[n] for n in top(first)]


@pytest.mark.parametrize("change", ["documents", "top_k", "confidence", "forgotten", "given up"])
def test_what_is_no_repetition_goes_through_the_rule(change: str) -> None:
    policy = FlowPolicy(ReusePolicy(), prune=replace(PRUNE, confidence=0.5), surrogate=surrogate_of(FallingReranker()))
    runner = FlowRunner(Doubtful(), policy)
    first = runner.ask("a new question", DOCUMENTS[:45])
    documents, top_k = DOCUMENTS[:45], 5
    if change == "documents":
        documents = DOCUMENTS
    elif change == "top_k":
        top_k = 20
    elif change == "confidence":
        runner.policy = replace(policy, prune=replace(PRUNE, confidence=4.0))
    elif change == "forgotten":
        runner.store.forget(document=checked_request("q", DOCUMENTS, 1).fingerprints[top(first)[0]])
    else:
        runner.policy = replace(policy, prune=replace(PRUNE, mode="measure"))
    again = runner.ask("a new question", documents, top_k)
    assert again.asked > 0
    assert again.status is (Status.PRUNED if again.skipped else Status.PARTIAL)
    assert not (change == "given up" and again.skipped)


def test_a_near_hit_leaves_out_documents_that_no_neighbour_knows(runner: FlowRunner) -> None:
    runner.policy = replace(runner.policy, surrogate=None)
    runner.ask("how far is the moon", DOCUMENTS[:20])
    runner.reranker.pairs.clear()
    without = runner.ask("how far is the moon tonight", DOCUMENTS)
    runner.store.forget("", query="how far is the moon tonight")
    runner.policy = replace(runner.policy, surrogate=surrogate_of(runner.reranker))
    outcome = runner.ask("how far is the moon tonight", DOCUMENTS)
    assert without.asked >= 30 and without.skipped == 0
    assert (outcome.status, outcome.similarity) == (Status.VERIFIED, without.similarity)
    assert outcome.asked < 25 and outcome.skipped > 20
    assert outcome.asked + outcome.reused + outcome.skipped == 50
    assert top(outcome) == top(without)


def test_while_measuring_a_near_hit_is_corrected_and_skips_only_what_a_neighbour_knows(runner: FlowRunner) -> None:
    near, later = "how far is the moon", "how far is the moon tonight"
    runner.policy = replace(runner.policy, surrogate=None)
    runner.ask(near, DOCUMENTS[:35])
    runner.reranker.pairs.clear()
    runner.policy = replace(runner.policy, prune=PrunePolicy(mode="measure"), surrogate=surrogate_of(runner.reranker))
    outcome = runner.ask(later, DOCUMENTS)
    assert (outcome.status, outcome.skipped) == (Status.VERIFIED, 0)
    assert {(later, text) for text in DOCUMENTS[35:]} <= set(runner.reranker.pairs)
    assert outcome.asked < 50
    assert top(outcome) == sorted(range(50), key=lambda n: -runner.fresh(later, DOCUMENTS)[n])[:5]


def test_while_measuring_a_miss_is_scored_whole(runner: FlowRunner) -> None:
    runner.policy = replace(runner.policy, prune=PrunePolicy(mode="measure"))
    assert runner.ask("a new question", DOCUMENTS).status is Status.FRESH


def test_what_a_neighbour_knows_is_moved_by_what_the_surrogate_expects_of_the_change(runner: FlowRunner) -> None:
    vectors = np.eye(50, 8, dtype=np.float32) + 0.1
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    request = replace(checked_request("red", DOCUMENTS, 5), document_vectors=vectors)
    neighbour = Neighbour("id", 0.9, {}, 0.0, query="passage 7", vector=vectors[1])
    found = performed(learned(request, runner.policy, vectors[0], [neighbour]))
    assert found is not None
    surrogate = runner.policy.surrogate
    assert surrogate is not None
    then = features("passage 7", DOCUMENTS, query_vector=vectors[1], document_vectors=vectors)
    now = features("red", DOCUMENTS, query_vector=vectors[0], document_vectors=vectors)
    assert found.changes[0] == pytest.approx(surrogate.change(now, then))


def test_explored_queries_are_scored_whole(runner: FlowRunner) -> None:
    runner.policy = replace(runner.policy, prune=replace(PRUNE, explore=1.0))
    outcome = runner.ask("a new question", DOCUMENTS)
    assert (outcome.status, outcome.asked) == (Status.FRESH, 50)
    assert outcome.why == "scored whole to measure what pruning costs"
    assert outcome.whole is not None and outcome.whole.vector is not None


def test_the_share_of_explored_queries_is_kept_to() -> None:
    requests = [checked_request(f"question {n}", ["a"], 1) for n in range(2000)]
    for share in (0.0, 0.02, 0.5, 1.0):
        assert sum(is_explored(request, share) for request in requests) == pytest.approx(2000 * share, abs=60)


def test_nothing_is_pruned_without_a_surrogate_and_the_answer_says_why(runner: FlowRunner) -> None:
    runner.policy = replace(runner.policy, surrogate=None, unpruned="pruning: learning")
    outcome = runner.ask("a new question", DOCUMENTS)
    assert (outcome.status, outcome.asked) == (Status.FRESH, 50)
    assert outcome.why.endswith("; pruning: learning")


@pytest.mark.parametrize("documents", [5, 7])
def test_a_list_hardly_longer_than_top_k_is_scored_at_once(runner: FlowRunner, documents: int) -> None:
    outcome = runner.ask("a new question", DOCUMENTS[:documents])
    assert (outcome.status, outcome.rounds) == (Status.FRESH, 1)


def test_a_degraded_answer_is_whole_and_stores_nothing(runner: FlowRunner) -> None:
    runner.ladder.degrade = "busy"
    outcome = runner.ask("a new question", DOCUMENTS)
    assert (outcome.status, outcome.reason, len(outcome.order)) == (Status.DEGRADED, "busy", 50)
    assert outcome.whole is None and runner.store.read_exact("", "a new question") is None


def test_an_answer_of_the_surrogate_is_completed_by_what_near_queries_are_known_to_score(runner: FlowRunner) -> None:
    class Ladder(OneRung):
        def score(
            self, query: str, documents: Sequence[str], ask: Sequence[int], *, deadline_s: float | None = None
        ) -> Scored:
            if self.degrade is None:
                return super().score(query, documents, ask, deadline_s=deadline_s)
            return Scored(np.zeros(len(documents), dtype=np.float32), "learned", self.degrade)

    # The last document is the best for a near query, which no feature shows.
    runner.reranker.score_of = lambda query, text: 50.0 if text == DOCUMENTS[-1] else -float(DOCUMENTS.index(text))  # type: ignore[method-assign]
    ladder = Ladder(runner.reranker)
    runner.calls = replace(runner.calls, score=ladder.score)
    runner.policy = replace(runner.policy, prune=replace(PRUNE, mode="measure"))
    runner.ask("how far is the moon", DOCUMENTS)
    ladder.degrade = "busy"
    outcome = runner.ask("how far is the moon tonight", DOCUMENTS)
    assert (outcome.status, outcome.reranker, outcome.reason) == (Status.DEGRADED, "learned", "busy")
    assert top(outcome, 2) == [49, 0]
    assert runner.store.read_exact("", "how far is the moon tonight") is None


class Cheap:
    """Nearly the scores of a reranker, with a count of its calls."""

    def __init__(self, reranker: CountingReranker, *, is_failing: bool = False) -> None:
        self.reranker = reranker
        self.is_failing = is_failing
        self.calls: list[tuple[str, int]] = []

    def __call__(
        self, query: str, texts: Sequence[str], *, deadline_s: float | None = None
    ) -> NDArray[np.float32] | None:
        self.calls.append((query, len(texts)))
        scores = [self.reranker.score_of(query, text) + 0.1 * (sum(text.encode()) % 7) for text in texts]
        return None if self.is_failing else np.array(scores, dtype=np.float32)


def cascading(*, is_failing: bool = False) -> tuple[FlowRunner, Cheap]:
    """A runner whose surrogate has learned what a cheap reranker's scores tell."""
    reranker = Doubtful()
    cheap = Cheap(reranker, is_failing=is_failing)
    sums = Statistics.empty()
    for number in range(40):
        query = f"learned {number}"
        truth = np.array([reranker.score_of(query, text) for text in DOCUMENTS])
        said = Cheap(reranker)(query, DOCUMENTS)
        sums += Statistics.of(features(query, DOCUMENTS, cheap_scores=said), truth)
    prune = replace(PRUNE, cascade="cheap")
    runner = FlowRunner(reranker, FlowPolicy(ReusePolicy(), prune=prune, surrogate=Surrogate.of(sums)))
    runner.calls = replace(runner.calls, score_cheaply=cheap)
    return runner, cheap


def test_a_cheap_reranker_sees_all_documents_so_that_the_primary_is_asked_about_fewer() -> None:
    runner, cheap = cascading()
    without, silent = cascading(is_failing=True)
    outcome, unhelped = runner.ask("a new question", DOCUMENTS), without.ask("a new question", DOCUMENTS)
    assert cheap.calls == silent.calls == [("a new question", 50)]
    assert (outcome.status, outcome.cheap_asked) == (Status.PRUNED, 50)
    assert outcome.asked < 15 < unhelped.asked and unhelped.cheap_asked == 0
    fresh = runner.fresh("a new question", DOCUMENTS)
    assert top(outcome) == sorted(range(50), key=lambda n: -fresh[n])[:5]
    # A repetition asks neither.
    assert (runner.ask("a new question", DOCUMENTS).cheap_asked, len(cheap.calls)) == (0, 1)


@pytest.mark.parametrize("change", [{"mode": "measure"}, {"explore": 1.0}, {"cascade": None}])
def test_a_cheap_reranker_is_asked_where_that_may_save_something_alone(change: dict[str, Any]) -> None:
    runner, cheap = cascading()
    assert runner.policy.prune is not None
    runner.policy = replace(runner.policy, prune=replace(runner.policy.prune, **change))
    assert runner.ask("a new question", DOCUMENTS).cheap_asked == 0
    assert runner.ask("a short list", DOCUMENTS[:6]).cheap_asked == 0
    assert not cheap.calls


def test_flows_in_lockstep_have_cheap_scores_of_their_own() -> None:
    runner, cheap = cascading()
    flows = [runner.flow(query, DOCUMENTS) for query in ("a new question", "another one entirely")]
    assert [outcome.cheap_asked for outcome in run_many(flows, runner.calls)] == [50, 50]
    assert [query for query, _ in cheap.calls] == ["a new question", "another one entirely"]


@pytest.mark.parametrize(("kind", "taken"), [("off", None), ("given", "given"), ("documents", "given")])
def test_vectors_that_callers_give_come_first(kind: Any, taken: str | None, runner: FlowRunner) -> None:
    carrying = [Document(text, {"embedding": [0.0, 1.0]}) for text in DOCUMENTS]
    given = np.tile(np.array([1, 0], dtype=np.float32), (50, 1))
    policy = replace(runner.policy, prune=replace(PRUNE, document_vectors=kind))
    request = replace(checked_request("q", carrying, 5), document_vectors=given)
    found = vectors_at_hand(request, policy, given[0])
    assert found is (given if taken else None)


@pytest.mark.parametrize(("kind", "are_taken"), [("off", False), ("given", False), ("documents", True)])
def test_vectors_that_documents_carry_are_taken_where_the_user_says_so(
    kind: Any, are_taken: bool, runner: FlowRunner
) -> None:
    carrying = [Document(text, {"embedding": [0.0, 2.0]}) for text in DOCUMENTS]
    policy = replace(runner.policy, prune=replace(PRUNE, document_vectors=kind))
    found = vectors_at_hand(checked_request("q", carrying, 5), policy, np.array([1, 0], dtype=np.float32))
    assert (found is not None) is are_taken
    assert found is None or (found == [0, 1]).all()


def test_a_listwise_reranker_is_never_pruned() -> None:
    reranker = FallingReranker()
    surrogate = surrogate_of(reranker)
    reranker.listwise = True  # type: ignore[misc]
    runner = FlowRunner(reranker, FlowPolicy(ReusePolicy(), prune=PRUNE, surrogate=surrogate))
    outcome = runner.ask("a new question", DOCUMENTS)
    assert (outcome.status, outcome.asked, outcome.whole) == (Status.FRESH, 50, None)


def test_a_limit_of_rounds_is_kept_to(runner: FlowRunner) -> None:
    runner.policy = replace(runner.policy, prune=replace(PRUNE, max_rounds=1))
    outcome = runner.ask("a new question", DOCUMENTS)
    assert outcome.rounds == 1
    assert 7 <= outcome.asked < 50


def test_documents_below_the_least_score_are_not_asked_about(runner: FlowRunner) -> None:
    runner.policy = replace(runner.policy, prune=replace(PRUNE, confidence=3.5))
    request = checked_request("a new question", DOCUMENTS, 5)
    without = run(rerank(request, runner.policy, "counting"), runner.calls)
    request = replace(request, tenant="another", min_score=5.5)
    outcome = run(rerank(request, runner.policy, "counting"), runner.calls)
    assert outcome.asked < without.asked


@settings(max_examples=25, deadline=None)
@given(learned=st.integers(0, 2**32 - 1), asked=st.integers(0, 2**32 - 1), top_k=st.integers(1, 6), z=st.floats(0, 3))
def test_the_top_k_is_always_scored_for_this_query(learned: int, asked: int, top_k: int, z: float) -> None:
    """However wrong the surrogate is, what it expects is neither served as one of the best nor remembered."""

    class Chance(CountingReranker):
        seed = learned

        def score_of(self, query: str, text: str) -> float:
            return float(np.float32(np.random.default_rng([self.seed, sum(text.encode())]).normal()))

    reranker = Chance()
    documents = DOCUMENTS[:20]
    surrogate = surrogate_of(reranker, documents)
    reranker.seed = asked
    policy = FlowPolicy(ReusePolicy(), prune=replace(PRUNE, confidence=z), surrogate=surrogate)
    runner = FlowRunner(reranker, policy)
    outcome = runner.ask("a new question", documents, top_k)
    fresh = runner.fresh("a new question", documents)
    sent = {text for _, text in reranker.pairs}
    assert outcome.scores is not None
    for position in top(outcome, top_k):
        assert documents[position] in sent and outcome.scores[position] == pytest.approx(fresh[position])
    stored = runner.store.read_exact("", "a new question") or {}
    request = checked_request("q", documents, 1)
    by_fingerprint = dict(zip(request.fingerprints, fresh, strict=True))
    kept = {fingerprint: score for fingerprint, score in stored.items() if fingerprint in by_fingerprint}
    assert all(score == pytest.approx(by_fingerprint[fingerprint]) for fingerprint, score in kept.items())
    assert len(kept) == outcome.asked == len(sent)
    assert len(stored) - len(kept) == (outcome.asked < 20)


def test_requests_are_never_changed() -> None:
    request = checked_request("q", DOCUMENTS, 5)
    before = Request(*(getattr(request, name) for name in Request.__slots__))
    next(rerank(request, FlowPolicy(ReusePolicy(), prune=PRUNE), "r"))
    assert request == before


@settings(max_examples=15, deadline=None)
@given(steps=st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 3), st.integers(1, 8)), min_size=2, max_size=8))
def test_no_score_crosses_the_wall_between_tenants(steps: list[tuple[str, int, int]]) -> None:
    """Tenants share what is learned, which holds no scores; a score of one is never served or counted for another."""
    reranker = FallingReranker()
    together = FlowRunner(reranker, FlowPolicy(ReusePolicy(), prune=PRUNE, surrogate=surrogate_of(reranker)))
    alone = {
        tenant: FlowRunner(
            FallingReranker(), FlowPolicy(ReusePolicy(), prune=PRUNE, surrogate=together.policy.surrogate)
        )
        for tenant in "ab"
    }
    for tenant, number, top_k in steps:
        ours = together.ask(f"question {number}", DOCUMENTS, top_k, tenant)
        theirs = alone[tenant].ask(f"question {number}", DOCUMENTS, top_k, tenant)
        assert (ours.order, ours.scores, ours.status, ours.asked) == (
            theirs.order,
            theirs.scores,
            theirs.status,
            theirs.asked,
        )
