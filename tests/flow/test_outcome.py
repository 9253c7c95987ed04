"""Outcomes by text become rankings and look-ups by the caller's documents."""

import numpy as np
import pytest

from semcache.entries.entry import Neighbour
from semcache.flow.outcome import Found, Outcome, answered, best_first, lookup, ranking
from semcache.flow.requests import Request, checked_request
from semcache.protocols import Scored
from semcache.ranking import Drift, Status

A, B, C = (checked_request("q", [text], 1).fingerprints[0] for text in "abc")


@pytest.fixture
def request_() -> Request:
    """Four documents of three texts."""
    return checked_request("q", ["a", "b", "a", "c"], 3)


def scored(*scores: float, reason: str | None = None) -> Scored:
    return Scored(np.array(scores, dtype=np.float32), "r", reason)


def test_equal_scores_stay_in_the_callers_order() -> None:
    assert best_first([1.0, 3.0, 1.0, 3.0]) == [1, 3, 0, 2]


class TestAnswered:
    def test_the_primary_gives_a_fresh_outcome(self, request_: Request) -> None:
        outcome = answered(request_, scored(1.0, 3.0, 2.0))
        assert (outcome.order, outcome.scores, outcome.status) == ([1, 2, 0], [1.0, 3.0, 2.0], Status.FRESH)
        assert (outcome.asked, outcome.reused, outcome.rounds, outcome.reranker) == (3, 0, 1, "r")

    def test_a_lower_rung_gives_a_degraded_one(self, request_: Request) -> None:
        outcome = answered(request_, scored(1.0, 3.0, 2.0, reason="busy"))
        assert (outcome.status, outcome.reason, outcome.asked) == (Status.DEGRADED, "busy", 3)

    def test_the_retrievers_order_asks_no_model(self, request_: Request) -> None:
        outcome = answered(request_, Scored(None, "retrieval-order", "open"))
        assert (list(outcome.order), outcome.scores, outcome.asked, outcome.rounds) == ([0, 1, 2], None, 0, 0)
        assert list(ranking(request_, ["a", "b", "a", "c"], outcome)) == ["a", "a", "b"]

    def test_no_documents_take_no_round(self) -> None:
        outcome = answered(checked_request("q", [], 3), scored())
        assert (outcome.asked, outcome.rounds) == (0, 0)


class TestRanking:
    def test_every_field_is_handed_on(self, request_: Request) -> None:
        drift = Drift(0.5, 0.1, 7)
        outcome = Outcome([1, 0, 2], [2.0, 3.0, 1.0], Status.VERIFIED, "r", "rounds", 0.9, 1, 2, 3, drift)
        documents = [{"text": "a"}, {"text": "b"}, {"text": "a"}, {"text": "c"}]
        found = ranking(request_, documents, outcome)
        assert [id(document) for document in found] == [id(documents[index]) for index in (1, 0, 2)]
        assert (found.indices, found.scores) == ((1, 0, 2), (3.0, 2.0, 2.0))
        assert (found.status, found.reranker, found.reason) == (Status.VERIFIED, "r", "rounds")
        assert (found.similarity, found.asked, found.reused, found.rounds, found.drift) == (0.9, 1, 2, 3, drift)

    def test_without_scores_there_are_none(self, request_: Request) -> None:
        assert ranking(request_, list("abac"), Outcome([0, 1, 2], None, Status.DEGRADED, "r")).scores is None


class TestLookup:
    def test_everything_known_has_the_status_of_the_outcome(self, request_: Request) -> None:
        outcome = Outcome([1, 0, 2], [2.0, 3.0, 1.0], Status.SEMANTIC, "r", similarity=0.98)
        found = lookup(request_, Found(None, outcome=outcome))
        assert (found.scores, found.status, found.similarity) == ((2.0, 3.0, 2.0, 1.0), Status.SEMANTIC, 0.98)

    def test_a_part_of_a_known_query_is_partial(self, request_: Request) -> None:
        near = (Neighbour("far", 0.7, {C: 9.0}, 0.0),)
        found = lookup(request_, Found({A: 2.0, B: 3.0}, neighbours=near))
        assert (found.scores, found.status, found.similarity) == ((2.0, 3.0, 2.0, None), Status.PARTIAL, 0.7)

    def test_a_miss_has_no_status(self, request_: Request) -> None:
        found = lookup(request_, Found(None))
        assert (found.scores, found.status, found.similarity) == ((None,) * 4, None, None)
