"""The rule that skips documents: what it promises for any scores, and tables of the cases it was made for."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from semcache.entries.entry import Neighbour
from semcache.flow.drift import Floats, expect
from semcache.flow.policy import ReusePolicy
from semcache.flow.reuse import (
    UNKNOWN,
    Learned,
    Prior,
    Settled,
    likely_bar,
    next_to_ask,
    prior,
    settle,
    with_learned,
)
from semcache.pruning.surrogate import Predicted

NAN = float("nan")


@dataclass
class Verification:
    settled: Settled
    fresh: Floats
    asked: list[list[int]]

    @property
    def positions(self) -> list[int]:
        return [position for ask in self.asked for position in ask]


def verify(known: Prior, truth: Floats, top_k: int, policy: ReusePolicy, exact: Floats | None = None) -> Verification:
    """Plays the part of the flow: ask, score, ask again, settle."""
    fresh = np.full(len(truth), NAN) if exact is None else exact.copy()
    asked: list[list[int]] = []
    while len(ask := next_to_ask(known, fresh, top_k, len(asked), policy)):
        asked.append(ask.tolist())
        fresh[ask] = truth[ask]
    return Verification(settle(known, fresh, top_k, policy), fresh, asked)


def one_neighbour(scores: Any, similarity: float = 0.9) -> Prior:
    scores = np.array(scores, dtype=float)
    return Prior(scores, np.where(np.isnan(scores), UNKNOWN, 0), np.array([similarity]))


DrawnRequest = tuple[Prior, Floats, int]
"""Prior, true scores, top_k."""

# The machine may be busy; how long one example takes says nothing about the rule.
any_request = settings(deadline=None, max_examples=60)
finite = st.floats(-20, 20, allow_nan=False, width=32)


@st.composite
def requests(draw: st.DrawFn) -> DrawnRequest:
    """A request with up to three neighbours and any drift at all, with or without a surrogate for the rest."""
    count = draw(st.integers(1, 40))
    neighbours = draw(st.integers(1, 3))
    truth = np.array(draw(st.lists(finite, min_size=count, max_size=count)))
    cached = np.array(draw(st.lists(finite, min_size=count, max_size=count)))
    source = np.array(draw(st.lists(st.integers(UNKNOWN, neighbours - 1), min_size=count, max_size=count)))
    similarity = np.array(draw(st.lists(st.floats(0.45, 1.0), min_size=neighbours, max_size=neighbours)))
    known = Prior(np.where(source == UNKNOWN, NAN, cached), source.astype(np.intp), similarity)
    if draw(st.booleans()):
        known = with_learned(known, learned(count, draw(st.integers(0, 1000))))
    return known, truth, draw(st.integers(1, 15))


def learned(count: int, seed: int) -> Learned:
    """Any expectations, of documents that share any part of what they are off by."""
    random = np.random.default_rng(seed)
    vectors = random.normal(size=(count, 3))
    predicted = Predicted(random.normal(0, 3, count), random.uniform(0.1, 3, count))
    return Learned(predicted, np.eye(count) + vectors @ vectors.T, confidence=random.choice([None, 0.0, 2.0]))


policies = st.builds(
    ReusePolicy,
    confidence=st.floats(0, 4),
    max_rounds=st.integers(1, 5),
    max_pairs_share=st.floats(0.05, 1.0),
    drift_limit=st.none() | st.floats(0.1, 5),
)


class TestPrior:
    def test_takes_the_nearest_neighbour_that_has_the_document(self) -> None:
        far = Neighbour("far", 0.7, {b"a": 1.0, b"b": 2.0, b"c": 3.0}, 0.0)
        near = Neighbour("near", 0.9, {b"b": 20.0}, 0.0)
        known = prior([b"a", b"b", b"x"], [far, near])
        np.testing.assert_array_equal(known.scores, [1.0, 20.0, NAN])
        np.testing.assert_array_equal(known.source, [0, 1, UNKNOWN])
        np.testing.assert_array_equal(known.similarity, [0.7, 0.9])

    def test_of_two_equally_near_neighbours_the_first_wins(self) -> None:
        first = Neighbour("first", 0.9, {b"a": 1.0}, 0.0)
        second = Neighbour("second", 0.9, {b"a": 2.0}, 0.0)
        assert prior([b"a"], [first, second]).scores.tolist() == [1.0]

    def test_without_neighbours_nothing_is_known(self) -> None:
        known = prior([b"a"], [])
        assert known.source.tolist() == [UNKNOWN]
        assert np.isnan(known.scores).all()

    def test_a_score_that_is_not_finite_counts_as_unknown(self) -> None:
        known = prior([b"a", b"b"], [Neighbour("n", 0.9, {b"a": NAN, b"b": float("inf")}, 0.0)])
        assert known.source.tolist() == [UNKNOWN, UNKNOWN]


class TestAnyRequest:
    @any_request
    @given(requests(), policies)
    def test_never_asks_twice_and_ends_within_the_rounds(self, request_: DrawnRequest, policy: ReusePolicy) -> None:
        known, truth, top_k = request_
        done = verify(known, truth, top_k, policy)
        assert len(done.positions) == len(set(done.positions))
        assert len(done.asked) <= policy.max_rounds

    @any_request
    @given(requests(), policies)
    def test_every_document_is_ordered_once_and_fresh_ones_come_first(
        self, request_: DrawnRequest, policy: ReusePolicy
    ) -> None:
        known, truth, top_k = request_
        done = verify(known, truth, top_k, policy)
        assert sorted(done.settled.order.tolist()) == list(range(len(truth)))
        skipped = np.isnan(done.fresh[done.settled.order])
        assert (np.diff(skipped.astype(int)) >= 0).all()

    @any_request
    @given(requests(), policies)
    def test_a_complete_top_k_was_scored_for_this_query(self, request_: DrawnRequest, policy: ReusePolicy) -> None:
        known, truth, top_k = request_
        done = verify(known, truth, top_k, policy)
        top = done.settled.order[:top_k]
        if done.settled.reason is None:
            np.testing.assert_array_equal(done.settled.scores[top], truth[top])
            assert done.settled.reason is None
        else:
            assert done.settled.reason in {"budget", "rounds"}

    @any_request
    @given(requests(), policies)
    def test_the_fresh_documents_are_ordered_by_their_fresh_scores(
        self, request_: DrawnRequest, policy: ReusePolicy
    ) -> None:
        known, truth, top_k = request_
        done = verify(known, truth, top_k, policy)
        fresh = done.fresh[done.settled.order]
        fresh = fresh[~np.isnan(fresh)]
        assert (np.diff(fresh) <= 0).all()

    @any_request
    @given(requests(), policies)
    def test_unknown_documents_are_all_asked_in_the_first_round(
        self, request_: DrawnRequest, policy: ReusePolicy
    ) -> None:
        known, truth, top_k = request_
        unknown = set(np.flatnonzero(known.source == UNKNOWN).tolist())
        done = verify(known, truth, top_k, policy)
        assert unknown <= set(done.asked[0] if done.asked else [])

    @any_request
    @given(requests(), policies)
    def test_known_documents_stay_within_the_budget(self, request_: DrawnRequest, policy: ReusePolicy) -> None:
        known, truth, top_k = request_
        done = verify(known, truth, top_k, policy)
        spent = sum(known.is_cached[position] for position in done.positions)
        assert spent <= max(policy.max_pairs_share * len(truth), 1)

    @any_request
    @given(requests(), policies)
    def test_the_same_request_gives_the_same_answer(self, request_: DrawnRequest, policy: ReusePolicy) -> None:
        known, truth, top_k = request_
        first, second = verify(known, truth, top_k, policy), verify(known, truth, top_k, policy)
        assert first.asked == second.asked
        np.testing.assert_array_equal(first.settled.order, second.settled.order)

    @any_request
    @given(st.integers(0, 2**32 - 1), st.integers(2, 60), st.sampled_from([0.01, 3.0, 1000.0]), st.floats(-50, 50))
    def test_the_scale_of_the_scores_does_not_matter(self, seed: int, count: int, scale: float, shift: float) -> None:
        random = np.random.default_rng(seed)
        cached = random.normal(0, 4, count)
        truth = 0.8 * cached - 1 + random.normal(0, 1, count)
        plain = verify(one_neighbour(cached), truth, 5, ReusePolicy())
        other = verify(one_neighbour(cached * scale + shift), truth * scale + shift, 5, ReusePolicy())
        assert plain.asked == other.asked

    @any_request
    @given(requests(), policies, st.data())
    def test_exact_scores_count_as_fresh(
        self, request_: DrawnRequest, policy: ReusePolicy, data: st.DataObject
    ) -> None:
        known, truth, top_k = request_
        exact = np.where(data.draw(st.lists(st.booleans(), min_size=len(truth), max_size=len(truth))), truth, NAN)
        done = verify(known, truth, top_k, policy, exact)
        assert not set(done.positions) & set(np.flatnonzero(~np.isnan(exact)).tolist())
        if done.settled.reason is None:
            top = done.settled.order[:top_k]
            np.testing.assert_array_equal(done.settled.scores[top], truth[top])


class TestCases:
    def test_everything_fresh_asks_nothing(self) -> None:
        truth = np.array([3.0, 1.0, 2.0])
        done = verify(one_neighbour([1, 2, 3]), truth, 2, ReusePolicy(), exact=truth)
        assert done.asked == []
        assert done.settled.order.tolist() == [0, 2, 1]
        assert done.settled.reason is None

    def test_nothing_known_asks_everything_at_once(self) -> None:
        done = verify(one_neighbour([NAN] * 30), np.arange(30.0), 5, ReusePolicy())
        assert done.asked == [list(range(30))]
        assert done.settled.drift is None

    def test_as_many_wanted_as_there_are_asks_everything_at_once(self) -> None:
        done = verify(one_neighbour(np.arange(8.0)), np.arange(8.0), 8, ReusePolicy())
        assert done.asked == [list(range(8))]

    def test_a_drift_that_shifts_all_scores_alike_costs_nothing_more(self) -> None:
        cached = np.arange(50.0)
        done = verify(one_neighbour(cached, 0.97), cached - 7, 10, ReusePolicy())
        assert done.settled.reason is None
        assert done.settled.order[:10].tolist() == list(range(49, 39, -1))
        assert done.settled.drift.median == pytest.approx(-7)
        assert len(done.positions) <= 15

    @pytest.mark.parametrize("similarity", [0.6, 0.8, 0.97])
    def test_scores_turned_upside_down_are_noticed(self, similarity: float) -> None:
        cached = np.random.default_rng(1).normal(0, 4, 50)
        done = verify(one_neighbour(cached, similarity), -cached, 10, ReusePolicy(drift_limit=1.5))
        np.testing.assert_array_equal(done.settled.order[:10], np.argsort(cached)[:10])

    def test_a_drift_above_the_limit_asks_everything(self) -> None:
        random = np.random.default_rng(2)
        cached, truth = random.normal(0, 4, (2, 50))
        done = verify(one_neighbour(cached), truth, 10, ReusePolicy(drift_limit=0.1))
        assert sorted(done.positions) == list(range(50))
        assert done.settled.reason is None

    def test_a_spent_budget_is_admitted(self) -> None:
        random = np.random.default_rng(3)
        cached, truth = random.normal(0, 4, (2, 50))
        done = verify(one_neighbour(cached), truth, 10, ReusePolicy(max_pairs_share=0.2))
        assert done.settled.reason == "budget"
        assert len(done.positions) == 10

    def test_an_only_round_reaches_farther_for_cached_scores_since_no_answer_says_how_far_they_drifted(self) -> None:
        cached = np.random.default_rng(7).normal(0, 4, 50)
        unasked = np.full(50, NAN)
        one = next_to_ask(one_neighbour(cached), unasked, 10, 0, ReusePolicy(max_rounds=1))
        surer = next_to_ask(one_neighbour(cached), unasked, 10, 0, ReusePolicy(max_rounds=1, confidence=2))
        several = next_to_ask(one_neighbour(cached), unasked, 10, 0, ReusePolicy())
        assert set(several.tolist()) < set(one.tolist()) < set(surer.tolist())

    def test_an_only_round_asks_about_known_documents_beside_unknown_ones(self) -> None:
        cached = np.random.default_rng(7).normal(0, 4, 50)
        source = np.where(np.arange(50) < 40, 0, UNKNOWN)
        known = Prior(np.where(source == 0, cached, NAN), source, np.array([0.85]))
        one = set(next_to_ask(known, np.full(50, NAN), 10, 0, ReusePolicy(max_rounds=1)).tolist())
        best = set(np.argsort(-cached[:40])[:12].tolist())
        assert set(range(40, 50)) | best < one

    def test_in_an_only_round_no_source_is_surer_than_another(self) -> None:
        scores = np.linspace(5, -5, 40)
        near = Prior(np.where(np.arange(40) % 2, scores, NAN), np.where(np.arange(40) % 2, 0, UNKNOWN), np.array([0.9]))
        asked = [
            next_to_ask(
                with_learned(near, Learned(Predicted(scores, np.ones(40)), confidence=z)),
                np.full(40, NAN),
                5,
                0,
                ReusePolicy(max_rounds=1),
            )
            for z in (0.5, 3.0)
        ]
        more = set(asked[1].tolist()) - set(asked[0].tolist())
        assert set(asked[0].tolist()) < set(asked[1].tolist()) and {at % 2 for at in more} == {0, 1}

    def test_spent_rounds_are_admitted(self) -> None:
        random = np.random.default_rng(3)
        cached, truth = random.normal(0, 4, (2, 50))
        done = verify(one_neighbour(cached), truth, 10, ReusePolicy(max_rounds=1, drift_limit=None))
        assert done.settled.reason == "rounds"

    def test_equal_scores_keep_the_order_of_the_caller(self) -> None:
        done = verify(one_neighbour([1.0] * 20), np.ones(20), 5, ReusePolicy())
        fresh = [position for position in done.settled.order.tolist() if not np.isnan(done.fresh[position])]
        assert fresh == sorted(fresh)

    def test_the_drift_of_every_neighbour_is_its_own(self) -> None:
        truth = np.random.default_rng(4).permutation(np.linspace(10, 0, 60))
        source = np.tile([0, 1], 30)
        cached = truth + np.where(source == 0, 1.5, -1.5)
        done = verify(Prior(cached, source, np.array([0.9, 0.9])), truth, 10, ReusePolicy())
        np.testing.assert_array_equal(done.settled.order[:10], np.argsort(-truth)[:10])
        skipped = np.isnan(done.fresh)
        assert np.abs(done.settled.scores - truth)[skipped].max() < 1.0


class TestSurrogate:
    def test_what_no_neighbour_knows_takes_the_expected_score_at_the_level_of_the_others(self) -> None:
        predicted = Predicted(np.array([1.0, 0.0, -1.0]), np.ones(3))
        known = prior([b"a", b"b", b"c"], [Neighbour("n", 0.9, {b"a": 6.0, b"b": 6.0}, 0.0)], Learned(predicted))
        # Both agree on average of a and b: 6.0 and 0.5.
        assert known.scores.tolist() == [6.0, 6.0, -1.0 + 5.5]
        assert known.source.tolist() == [0, 0, known.learned]
        assert known.is_cached.tolist() == [True, True, False]

    def test_without_completing_what_no_neighbour_knows_stays_unknown(self) -> None:
        learned = Learned(Predicted(np.zeros(2), np.ones(2)), changes={0: np.array([1.0, 1.0])}, completes=False)
        known = prior([b"a", b"b"], [Neighbour("n", 0.9, {b"a": 6.0}, 0.0)], learned)
        assert known.source.tolist() == [0, UNKNOWN]
        assert known.scores[0] == 6.5 and np.isnan(known.scores[1])
        assert 1 in next_to_ask(known, np.full(2, np.nan), 1, 0, ReusePolicy())

    def test_a_cached_score_is_moved_by_half_of_the_change_between_the_queries(self) -> None:
        predicted = Predicted(np.zeros(2), np.ones(2))
        changes = {0: np.array([1.0, -1.0])}
        known = prior(
            [b"a", b"b"], [Neighbour("n", 0.9, {b"a": 6.0, b"b": 5.0}, 0.0)], Learned(predicted, None, changes)
        )
        assert known.scores.tolist() == [6.5, 4.5]

    def test_documents_that_are_alike_are_expected_to_be_off_alike(self) -> None:
        alike = np.array([[1.0, 0.9, 0.0, 0.0], [0.9, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]])
        nothing = Prior(np.full(4, NAN), np.full(4, UNKNOWN, dtype=np.intp), np.empty(0))
        known = with_learned(nothing, Learned(Predicted(np.zeros(4), np.ones(4)), alike))
        expected = expect(known, np.array([3.0, NAN, NAN, 0.0]))
        assert expected.scores[1] > expected.scores[2] + 1
        assert expected.spread[1] < expected.spread[2]

    def test_the_fewer_rounds_there_are_the_farther_the_first_one_reaches(self) -> None:
        scores = np.linspace(3, -3, 60)
        nothing = Prior(np.full(60, NAN), np.full(60, UNKNOWN, dtype=np.intp), np.empty(0))
        known = with_learned(nothing, Learned(Predicted(scores, np.ones(60))))
        unasked = np.full(60, NAN)
        sizes = [
            len(next_to_ask(known, unasked, 5, 0, ReusePolicy(confidence=2, max_rounds=most))) for most in (1, 2, 3)
        ]
        assert sizes == sorted(sizes, reverse=True)
        assert sizes[0] > sizes[2] > 7

    def test_the_bar_is_where_as_many_documents_are_expected_to_be_above(self) -> None:
        random = np.random.default_rng(5)
        scores, spread = random.normal(0, 3, 50), random.uniform(0.5, 2, 50)
        bar = likely_bar(scores, spread, 10)
        above = (random.normal(scores, spread, (4000, 50)) > bar).sum(axis=1)
        assert above.mean() == pytest.approx(10, abs=0.15)
        assert likely_bar(np.arange(10.0), np.zeros(10), 3) == pytest.approx(6.5, abs=0.51)

    def test_a_document_is_as_surely_out_of_reach_as_its_source_needs(self) -> None:
        scores = np.linspace(5, -5, 40)
        nothing = Prior(np.full(40, NAN), np.full(40, UNKNOWN, dtype=np.intp), np.empty(0))
        truth = scores + np.random.default_rng(6).normal(0, 1, 40)
        asked = [
            len(
                verify(
                    with_learned(nothing, Learned(Predicted(scores, np.ones(40)), confidence=z)),
                    truth,
                    5,
                    ReusePolicy(),
                ).positions
            )
            for z in (0.5, 3.0)
        ]
        assert asked[0] < asked[1]

    def test_a_document_that_cannot_reach_the_least_score_is_not_asked_about(self) -> None:
        scores = np.linspace(5, -5, 40)
        known = with_learned(
            Prior(np.full(40, NAN), np.full(40, UNKNOWN, dtype=np.intp), np.empty(0)),
            Learned(Predicted(scores, np.full(40, 0.5))),
        )
        fresh = np.where(np.arange(40) < 7, scores, NAN)
        policy = ReusePolicy(confidence=8)
        assert len(next_to_ask(known, fresh, 5, 2, policy)) > 0
        assert not len(next_to_ask(known, fresh, 5, 2, policy, min_score=100.0))
        assert settle(known, fresh, 5, policy, min_score=100.0).reason is None
