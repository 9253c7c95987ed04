"""The flow, driven over a store and a reranker that can be looked into."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from semcache.entries.fingerprint import document_fingerprint, entry_id
from semcache.events import CacheFailed, Event, TrustRefused
from semcache.flow.drive import Calls, run, run_many
from semcache.flow.outcome import Outcome
from semcache.flow.policy import FlowPolicy, ReusePolicy
from semcache.flow.requests import checked_request
from semcache.flow.rerank import rerank
from semcache.ranking import Status
from tests.fakes import CountingOrder, CountingReranker, MemoryStore, OneRung, WordEmbedder

DOCUMENTS = [f"passage {n} about the moon and word{n * 7 % 11}" for n in range(30)]


class World:
    """Everything a flow touches."""

    def __init__(self, reranker: CountingReranker | None = None, policy: FlowPolicy | None = None) -> None:
        self.reranker = reranker or CountingReranker()
        self.store = MemoryStore(listwise=self.reranker.listwise)
        self.embedder = WordEmbedder()
        self.ladder = OneRung(self.reranker)
        self.policy = policy or FlowPolicy(ReusePolicy())
        self.events: list[Event] = []
        self.calls = Calls(self.store, self.embedder.embed, self.ladder.score, 4, self.events.append)

    def ask(self, query: str, documents: list[str], top_k: int = 5, tenant: str = "") -> Outcome:
        return run(self.flow(query, documents, top_k, tenant), self.calls)

    def flow(self, query: str, documents: list[str], top_k: int = 5, tenant: str = ""):
        wanted = checked_request(query, documents, top_k, tenant)
        return rerank(wanted, self.policy, self.reranker.name, listwise=self.reranker.listwise)

    def fresh(self, query: str, documents: list[str]) -> list[float]:
        return [float(np.float32(self.reranker.score_of(query, text))) for text in dict.fromkeys(documents)]


class ScriptedGuard:
    def cues(self, query: str) -> bytes:
        return b"not" if " not " in query else b""

    def difference(self, ours: bytes, theirs: bytes) -> str | None:
        return None if ours == theirs else "negation"


def test_a_first_request_is_fresh_and_the_same_again_is_exact_without_embedding():
    world = World()
    first = world.ask("how far is the moon", DOCUMENTS)
    assert (first.status, first.asked, first.reused) == (Status.FRESH, 30, 0)
    world.embedder.texts.clear()
    world.store.calls.clear()
    again = world.ask("how far is  the moon", DOCUMENTS, top_k=20)
    assert (again.status, again.asked, again.reused) == (Status.EXACT, 0, 30)
    assert (again.order, again.scores) == (first.order, first.scores)
    assert world.embedder.texts == []
    assert world.store.calls == ["read_exact"]


def test_a_changed_candidate_is_the_only_one_scored():
    world = World()
    world.ask("how far is the moon", DOCUMENTS)
    world.reranker.pairs.clear()
    changed = [*DOCUMENTS[:-1], "another text"]
    outcome = world.ask("how far is the moon", changed)
    assert outcome.status is Status.PARTIAL
    assert world.reranker.pairs == [("how far is the moon", "another text")]
    assert outcome.scores == world.fresh("how far is the moon", changed)


def test_words_in_another_order_are_trusted_without_a_guard_and_never_stored():
    world = World()
    first = world.ask("how far is the moon", DOCUMENTS)
    outcome = world.ask("the moon is how far", DOCUMENTS)
    assert (outcome.status, outcome.asked, outcome.scores) == (Status.SEMANTIC, 0, first.scores)
    assert outcome.similarity == pytest.approx(1, abs=1e-6)
    assert len(world.store.scores) == 1


def test_a_guard_turns_trust_into_verification():
    world = World(policy=FlowPolicy(ReusePolicy(trust_threshold=0.8), guard=ScriptedGuard()))
    world.ask("can I take this with my warm milk", DOCUMENTS)
    outcome = world.ask("can I not take this with my warm milk", DOCUMENTS)
    assert outcome.status is Status.VERIFIED
    assert [type(event) for event in world.events] == [TrustRefused]
    fresh = world.fresh("can I not take this with my warm milk", DOCUMENTS)
    assert [outcome.scores[place] for place in outcome.order[:5]] == [fresh[place] for place in outcome.order[:5]]


def test_its_own_entry_is_not_taken_for_a_neighbour_without_drift():
    world = World()
    world.ask("how far is the moon", DOCUMENTS)
    world.ask("how far is our moon", DOCUMENTS[:10])
    partial = world.ask("how far is our moon", DOCUMENTS)
    assert partial.similarity < 0.99
    assert partial.evidence.id == entry_id("", "how far is the moon")
    alone = World()
    alone.ask("how far is the moon", DOCUMENTS[:10])
    outcome = alone.ask("how far is the moon", DOCUMENTS)
    assert (outcome.status, outcome.similarity, outcome.evidence) == (Status.PARTIAL, None, None)


def test_an_unrelated_query_is_fresh():
    world = World()
    world.ask("how far is the moon", DOCUMENTS)
    assert world.ask("best pizza dough recipe", DOCUMENTS).status is Status.FRESH


def test_a_long_query_is_only_looked_up_exactly():
    world = World()
    query = "moon " * 300
    assert world.ask(query, DOCUMENTS).status is Status.FRESH
    assert world.ask(query, DOCUMENTS).status is Status.EXACT
    assert world.embedder.texts == []


def test_a_degraded_answer_is_never_stored_and_covers_every_document():
    world = World()
    world.ask("how far is the moon", DOCUMENTS[:20])
    world.ladder.degrade = "open"
    outcome = world.ask("how far is the moon", DOCUMENTS)
    assert (outcome.status, outcome.reason, outcome.reranker) == (Status.DEGRADED, "open", "fallback")
    assert sorted(outcome.order) == list(range(30))
    world.ladder.degrade = None
    world.reranker.pairs.clear()
    again = world.ask("how far is the moon", DOCUMENTS)
    assert (again.status, len(world.reranker.pairs)) == (Status.PARTIAL, 10)
    assert again.scores == world.fresh("how far is the moon", DOCUMENTS)


def test_a_degraded_answer_in_the_middle_of_a_verification_stays_degraded():
    world = World()
    world.ask("how far is the moon", DOCUMENTS)
    before = dict(world.store.scores)
    world.ladder.degrade = "busy"
    assert world.ask("how far is our moon", DOCUMENTS).status is Status.DEGRADED
    assert world.store.scores == before


def test_a_listwise_order_is_served_whole_or_not_at_all():
    world = World(CountingOrder())
    first = world.ask("how far is the moon", DOCUMENTS)
    assert world.ask("how far is the moon", DOCUMENTS[5:15]).status is Status.EXACT
    assert world.ask("the moon is how far", DOCUMENTS).scores == first.scores
    world.reranker.pairs.clear()
    more = world.ask("how far is the moon", [*DOCUMENTS, "another text"])
    assert (more.status, len(world.reranker.pairs)) == (Status.FRESH, 31)


def test_a_broken_store_and_a_broken_embedder_change_nothing_but_the_work():
    world = World()
    world.store.broken = True
    outcome = world.ask("how far is the moon", DOCUMENTS)
    assert (outcome.status, outcome.scores) == (Status.FRESH, world.fresh("how far is the moon", DOCUMENTS))
    assert {event.step for event in world.events if isinstance(event, CacheFailed)} == {
        "ReadExact",
        "FindNeighbours",
        "Remember",
    }


def test_a_step_that_cannot_be_done_without_raises_to_the_caller():
    class Broken(CountingReranker):
        def score(self, pairs):
            raise RuntimeError("model gone")

    with pytest.raises(RuntimeError, match="model gone"):
        World(Broken()).ask("how far is the moon", DOCUMENTS)


def test_many_flows_share_one_embedding_call_and_agree_with_single_ones():
    world, single = World(), World()
    queries = ["how far is the moon", "best pizza dough", "how far is the moon", "who built rome"]
    calls = []
    world.calls = Calls(
        world.store,
        lambda texts: calls.append(list(texts)) or world.embedder.embed(texts),
        world.ladder.score,
        4,
        world.events.append,
    )
    outcomes = run_many([world.flow(query, DOCUMENTS) for query in queries], world.calls)
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
def test_for_any_sequence_of_requests(requests, threshold):
    world = World(policy=FlowPolicy(ReusePolicy(trust_threshold=1.0, reuse_threshold=threshold)))
    for query, documents, top_k, tenant in requests:
        known = {key for key in world.store.scores if key[0] == tenant}
        outcome = world.ask(query, documents, top_k, tenant)
        fresh = world.fresh(query, documents)
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


@settings(max_examples=60, deadline=None)
@given(REQUESTS)
def test_everything_stored_is_true_for_its_own_query(requests):
    world = World()
    for query, documents, top_k, tenant in requests:
        world.ask(query, documents, top_k, tenant)
    for (query, documents, _, tenant), text in product(requests, DOCUMENTS):
        known = world.store.read_exact(tenant, query) or {}
        score = known.get(document_fingerprint(text))
        assert score is None or score == float(np.float32(world.reranker.score_of(query, text)))
        assert documents
