"""Degraded answers by what is remembered: scores of this query, of near ones, and a lower rung beside them."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from semcache.entries.entry import Neighbour
from semcache.entries.fingerprint import document_fingerprint
from semcache.flow.policy import FlowPolicy, ReusePolicy
from semcache.flow.requests import checked_request
from semcache.flow.rerank import rerank
from semcache.flow.stand_in import Remembered, on_scale, stand_in
from semcache.flow.steps import Embed, FindNeighbours, ReadExact, Remember, Score
from semcache.protocols import Scored
from semcache.ranking import Status

TEXTS = [f"passage {number}" for number in range(10)]
REQUEST = checked_request("a question", TEXTS, 3)
NAN = float("nan")
ORDER = Scored(None, "retrieval-order", "open")
FALLBACK = Scored(np.arange(10, dtype=np.float32), "fallback", "busy")
"""A lower rung that takes the documents for better the later they come."""


def known(*positions: int) -> np.ndarray:
    """The primary takes documents for better the earlier they come; it has scored those at these positions."""
    scores = np.full(10, NAN)
    scores[list(positions)] = [-float(position) for position in positions]
    return scores


class TestStandIn:
    def test_scores_of_the_primary_come_before_the_lower_rung(self) -> None:
        outcome = stand_in(REQUEST, FALLBACK, Remembered(known(*range(10)), 10, 0.91))
        assert list(outcome.order) == list(range(10))
        assert (outcome.status, outcome.reason, outcome.reranker) == (Status.DEGRADED, "busy", "fallback")
        assert (outcome.similarity, outcome.reused, outcome.asked) == (0.91, 10, 10)
        assert outcome.why == (
            "the primary reranker was too busy; "
            "10 of 10 documents by scores remembered of near queries (similarity 0.910)"
        )

    def test_the_others_are_placed_by_the_lower_rung(self) -> None:
        scored = Scored(-np.arange(10, dtype=np.float32), "fallback", "open")
        outcome = stand_in(REQUEST, scored, Remembered(known(0, 3, 6, 9), 4))
        assert (outcome.order[0], outcome.order[-1]) == (0, 9)
        assert [position for position in outcome.order if position % 3] == [1, 2, 4, 5, 7, 8]
        assert outcome.why.endswith(
            "4 of 10 documents by scores remembered of this query, the others placed among them by fallback"
        )

    def test_a_lower_rung_that_is_wrong_about_what_is_known_places_nothing(self) -> None:
        outcome = stand_in(REQUEST, FALLBACK, Remembered(known(0, 3, 6, 9), 4))
        assert outcome.scores is not None
        assert {outcome.scores[position] for position in (1, 2, 4, 5, 7, 8)} == {-4.5}

    @pytest.mark.parametrize(
        ("scored", "count", "similarity", "is_used"),
        [
            (FALLBACK, 3, None, True),
            (FALLBACK, 2, None, False),
            (FALLBACK, 3, 0.6, True),
            (ORDER, 5, None, True),
            (ORDER, 4, None, False),
            (ORDER, 5, 0.7, True),
            (ORDER, 10, 0.69, False),
        ],
    )
    def test_only_where_it_was_seen_to_be_better(
        self, scored: Scored, count: int, similarity: float | None, is_used: bool
    ) -> None:
        outcome = stand_in(REQUEST, scored, Remembered(known(*range(count)), count, similarity))
        assert (outcome.reused == count) is is_used
        assert outcome.status is Status.DEGRADED
        if scored is ORDER:
            assert (outcome.scores is not None) is is_used
            assert outcome.asked == 0


class TestOnScale:
    @given(st.lists(st.tuples(st.none() | st.floats(-50, 50), st.floats(-50, 50)), min_size=1, max_size=30))
    def test_known_scores_stay_and_every_document_gets_one(self, documents: list[tuple[float | None, float]]) -> None:
        scores = np.array([NAN if score is None else score for score, _ in documents])
        if np.isnan(scores).all():
            return
        completed = on_scale(scores, np.array([other for _, other in documents]))
        assert np.isfinite(completed).all()
        assert (completed == scores)[~np.isnan(scores)].all()

    @given(st.lists(st.floats(-50, 50), min_size=3, max_size=20), st.integers(0, 20))
    def test_unknown_documents_keep_the_order_of_the_lower_rung(self, other: list[float], at: int) -> None:
        scores = np.full(len(other), NAN)
        scores[at % len(other)] = 1.0
        scores[(at + 1) % len(other)] = 2.0
        completed = on_scale(scores, np.array(other))
        unknown = np.isnan(scores)
        order = np.argsort(np.array(other)[unknown], kind="stable")
        assert (np.diff(completed[unknown][order]) >= -1e-9).all()


class AnyGuard:
    """Sees a difference where it is told."""

    def __init__(self, difference: str | None) -> None:
        self.seen = difference

    def cues(self, query: str) -> bytes:
        return b""

    def difference(self, ours: bytes, theirs: bytes, similarity: float = 1.0) -> str | None:
        return self.seen


class TestFlow:
    """The state of a request when the ladder says that the primary did not answer."""

    def answered(self, policy: FlowPolicy, *, exact: Any = None, near: Any = (), listwise: bool = False) -> Any:
        """The outcome of a request whose first call of the primary fails, and the steps that it took."""
        flow, steps, answer = rerank(REQUEST, policy, "primary", listwise=listwise), [], None
        try:
            while True:
                step = flow.send(answer)
                steps.append(step)
                match step:
                    case ReadExact():
                        answer = exact
                    case Embed():
                        answer = np.ones(2, np.float32)
                    case FindNeighbours():
                        answer = near
                    case Score():
                        answer = ORDER
                    case _:
                        answer = None
        except StopIteration as done:
            assert not any(isinstance(step, Remember) for step in steps), "nothing of a degraded answer is remembered"
            return done.value

    def scores_of(self, *positions: int) -> dict[bytes, float]:
        return {document_fingerprint(TEXTS[position]): float(position) for position in positions}

    def neighbour(self, similarity: float) -> Neighbour:
        return Neighbour("near", similarity, self.scores_of(*range(8)), created_at=0.0)

    @pytest.mark.parametrize("policy", [FlowPolicy(None), FlowPolicy(ReusePolicy())])
    def test_scores_of_this_query_are_used(self, policy: FlowPolicy) -> None:
        outcome = self.answered(policy, exact=self.scores_of(*range(8)))
        assert (outcome.status, outcome.reason, outcome.similarity, outcome.reused) == ("degraded", "open", None, 8)
        assert list(outcome.order[:3]) == [7, 6, 5]

    def test_scores_of_a_near_query_are_used(self) -> None:
        outcome = self.answered(FlowPolicy(ReusePolicy()), near=[self.neighbour(0.8)])
        assert (outcome.status, outcome.similarity, outcome.reused) == ("degraded", 0.8, 8)
        assert list(outcome.order[:3]) == [7, 6, 5]

    @pytest.mark.parametrize(
        ("policy", "similarity"),
        [
            (FlowPolicy(ReusePolicy()), 0.65),
            (FlowPolicy(ReusePolicy(), guard=AnyGuard("negation")), 0.9),
            (FlowPolicy(ReusePolicy(), trust_near=False), 0.9),
        ],
        ids=["too far", "guarded", "withdrawn"],
    )
    def test_not_if_that_query_may_ask_something_else(self, policy: FlowPolicy, similarity: float) -> None:
        outcome = self.answered(policy, near=[self.neighbour(similarity)])
        assert (outcome.status, outcome.scores, outcome.reused) == ("degraded", None, 0)

    def test_a_guard_that_sees_nothing_does_not_keep_them_apart(self) -> None:
        outcome = self.answered(FlowPolicy(ReusePolicy(), guard=AnyGuard(None)), near=[self.neighbour(0.9)])
        assert outcome.reused == 8

    def test_orders_are_not_mixed(self) -> None:
        outcome = self.answered(FlowPolicy(None), exact=self.scores_of(*range(8)), listwise=True)
        assert (outcome.scores, outcome.reused) == (None, 0)
