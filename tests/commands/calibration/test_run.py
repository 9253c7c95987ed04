"""Whole calibrations with small models: what is counted, what is scored, and that stopping changes nothing."""

import random
from dataclasses import replace

import numpy as np
import pytest

from semcache.commands.calibration.advice import advised
from semcache.commands.calibration.cases import NEVER, Case, Near
from semcache.commands.calibration.figures import THRESHOLDS, Figures, interval, worst
from semcache.commands.calibration.log import Logged
from semcache.commands.calibration.replay import nearest_earlier, replay
from semcache.commands.calibration.run import Options, calibrate_entries, calibrate_log, contiguous_sample
from semcache.commands.calibration.sampling import draw_sample
from semcache.entries.entry import StoredEntry
from semcache.errors import ConfigurationError, InvalidInputError
from semcache.flow.reuse import ReusePolicy
from semcache.guards import CueGuard
from tests.fakes import CountingOrder, CountingReranker, WordEmbedder

WORDS = ["how", "can", "i", "reset", "change", "my", "lost", "password", "email", "account", "phone", "number", "new"]
TEXTS = [f"passage {number} about {WORDS[number % len(WORDS)]}" for number in range(60)]
OPTIONS = Options(ReusePolicy(), 0.05, 1000, 100_000, 7, 4, 512)


def quiet(what, step, steps):
    pass


@pytest.fixture(scope="module")
def log():
    chance = random.Random(3)
    queries = [" ".join(chance.sample(WORDS, 6)) for _ in range(40)]
    return [
        Logged(query, tuple(chance.sample(TEXTS[:30], 20)))
        for query in (
            chance.choice(queries) if chance.random() < 0.4 else " ".join(chance.sample(WORDS, 6)) for _ in range(120)
        )
    ]


@pytest.fixture(scope="module")
def found(log, tmp_path_factory):
    state = tmp_path_factory.mktemp("whole") / "state"
    return calibrate_log(log, WordEmbedder(), CountingReranker(), OPTIONS, state, quiet)


class Stopping(CountingReranker):
    """Is interrupted in the middle of its calls, as by Ctrl-C."""

    def __init__(self, calls):
        super().__init__()
        self.left = calls

    def score(self, pairs):
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
        return super().score(pairs)


class TestOfALog:
    def test_stopped_and_resumed_it_finds_the_same_and_asks_nothing_twice(self, log, found, tmp_path):
        asked = []
        for calls in (0, 1, 7, 30):
            reranker = Stopping(calls)
            with pytest.raises(KeyboardInterrupt):
                calibrate_log(log, WordEmbedder(), reranker, OPTIONS, tmp_path / "state", quiet)
            asked += reranker.pairs
        reranker = CountingReranker()
        again = calibrate_log(log, WordEmbedder(), reranker, OPTIONS, tmp_path / "state", quiet)
        assert again == found
        asked += reranker.pairs
        assert len(asked) == len(set(asked)) == found.sampled_pairs

    def test_higher_thresholds_hit_less(self, found):
        for rows in (found.trusted, found.unguarded, found.verified):
            assert [row.threshold for row in rows] == list(THRESHOLDS)
            hits = [row.hits for row in rows]
            assert hits == sorted(hits, reverse=True)
        assert found.verified[0].hits > 0.5
        assert found.exact < 0.4

    def test_a_guard_only_takes_hits_away(self, found):
        assert all(ours.hits <= bare.hits for ours, bare in zip(found.trusted, found.unguarded, strict=True))

    def test_shares_of_statuses_add_up(self, found):
        for outlook in (found.now, found.then):
            assert sum(outlook.shares.values()) == pytest.approx(1)
            assert 0 <= outlook.avoided <= 1

    def test_max_pairs_is_kept_and_every_stratum_stands_for_its_own(self, log, tmp_path):
        reranker = CountingReranker()
        options = replace(OPTIONS, max_pairs=400)
        found = calibrate_log(log, WordEmbedder(), reranker, options, tmp_path / "state", quiet)
        assert 0 < len(reranker.pairs) == found.sampled_pairs <= 400

    def test_too_few_pairs_for_a_single_request_is_said(self, log, tmp_path):
        with pytest.raises(InvalidInputError, match="max-pairs is 3"):
            calibrate_log(
                log, WordEmbedder(), CountingReranker(), replace(OPTIONS, max_pairs=3), tmp_path / "state", quiet
            )

    def test_a_reranker_of_orders_is_refused(self, log, tmp_path):
        with pytest.raises(ConfigurationError, match="orders"):
            calibrate_log(log, WordEmbedder(), CountingOrder(), OPTIONS, tmp_path / "state", quiet)

    def test_a_log_without_near_queries_needs_no_reranker(self, tmp_path):
        reranker = CountingReranker()
        log = [Logged("reset password", ("a", "b")), Logged("xylophone", ("c",))]
        found = calibrate_log(log, WordEmbedder(), reranker, OPTIONS, tmp_path / "state", quiet)
        assert (found.sampled, reranker.pairs, found.trust.threshold) == (0, [], None)

    def test_a_query_too_long_to_be_looked_up_is_near_to_nothing(self, log, tmp_path):
        options = replace(OPTIONS, max_query_chars=3)
        found = calibrate_log(log, WordEmbedder(), CountingReranker(), options, tmp_path / "state", quiet)
        assert found.verified[0].hits == 0

    def test_a_part_of_the_log_is_contiguous_and_the_same_for_a_seed(self, log):
        part = list(contiguous_sample(log, 10, 5))
        start = log.index(part[0])
        assert part == list(log[start : start + 10]) == list(contiguous_sample(log, 10, 5))


class TestReplay:
    def test_only_what_was_asked_before_is_known(self):
        log = [
            Logged("reset password", ("a", "b")),
            Logged("reset my password", ("b", "c")),
            Logged("reset  password", ("a", "c")),
        ]
        vectors = WordEmbedder().embed(["reset password", "reset my password"])
        first, second, third = replay(log, vectors, CueGuard(), 4)
        assert (first.near, first.exact) == ((), frozenset())
        assert [near.known for near in second.near] == [frozenset(second.fingerprints[:1])]
        assert third.exact == frozenset(third.fingerprints[:1])
        assert [near.known for near in third.near] == [frozenset(third.fingerprints[1:])]

    def test_neighbours_are_those_of_a_comparison_with_all_that_came_before(self):
        rng = np.random.default_rng(0)
        vectors = rng.normal(size=(40, 4)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        places = np.concatenate((np.arange(25), rng.integers(0, 25, 30), np.arange(25, 40)))
        for at, near in enumerate(nearest_earlier(vectors, places, 3)):
            before = set(places[:at].tolist()) - {int(places[at])}
            expected = sorted(((float(vectors[places[at]] @ vectors[other]), other) for other in before), reverse=True)
            assert [other for other, _ in near] == [other for cosine, other in expected if cosine >= 0.45][:3]


def case(near, documents=2, exact=()):
    return Case(
        "q", "text", tuple(bytes([n]) for n in range(documents)), frozenset(bytes([n]) for n in exact), tuple(near)
    )


def near(similarity, known, *, is_alike=True):
    return Near(f"n{similarity}", similarity, frozenset(bytes([n]) for n in known), is_alike)


@pytest.mark.parametrize(
    ("one", "reuse_from", "trust_from", "unguarded_from"),
    [
        (case([]), NEVER, NEVER, NEVER),
        (case([near(0.9, [0])]), 0.9, NEVER, NEVER),
        (case([near(0.9, [0]), near(0.8, [1])]), 0.9, 0.8, 0.8),
        (case([near(0.9, [0])], exact=[1]), 0.9, 0.9, 0.9),
        (case([near(0.9, [0, 1], is_alike=False), near(0.7, [0, 1])]), 0.9, 0.7, 0.9),
        (case([near(0.9, [0, 1])], exact=[0, 1]), NEVER, NEVER, NEVER),
    ],
)
def test_from_which_thresholds_a_case_is_a_hit(one, reuse_from, trust_from, unguarded_from):
    assert (one.reuse_from, one.trust_from, one.unguarded_from) == (reuse_from, trust_from, unguarded_from)


def test_weights_of_the_sample_stand_for_all_cases():
    cases = [case([near(0.5, [0])])] * 50 + [case([near(0.99, [0, 1])])] * 5
    sample = draw_sample(cases, 100, 1)
    assert sum(sample.weights) == pytest.approx(55)


class TestOfEntries:
    def entry(self, name, vector, scores, cues=b""):
        return StoredEntry(name, np.array(vector, dtype=np.float32), scores, float(len(name)), None, cues)

    def test_shared_documents_of_near_entries_are_compared(self):
        documents = [bytes([n]) * 16 for n in range(25)]
        one = self.entry("a", [1.0, 0.0], {document: n for n, document in enumerate(documents[:20])})
        same = self.entry("bb", [1.0, 0.0], {document: n for n, document in enumerate(documents[5:])})
        far = self.entry("ccc", [0.0, 1.0], {document: n for n, document in enumerate(documents)})
        few = self.entry("dddd", [1.0, 0.0], dict.fromkeys(documents[:3], 1.0))
        found = calibrate_entries([one, same, far, few], "reranker", "embedder", OPTIONS)
        assert (found.requests, found.sampled, found.source) == (4, 1, "cache")
        assert found.trusted[0].hits == 0.25
        assert (found.trusted[0].loss, found.trusted[0].overlap) == (0.0, 1.0)

    def test_a_reversed_order_is_a_loss(self):
        documents = [bytes([n]) * 16 for n in range(20)]
        one = self.entry("a", [1.0, 0.0], {document: n for n, document in enumerate(documents)})
        other = self.entry("bb", [1.0, 0.0], {document: -n for n, document in enumerate(documents)})
        found = calibrate_entries([one, other], "reranker", "embedder", OPTIONS)
        assert found.trusted[0].loss > 0.4
        assert found.verified[0].loss < found.trusted[0].loss


class TestAdvice:
    def rows(self, highs, sampled=100):
        return [Figures(t, 0.1, 0.1, sampled, 1.0, high / 2, 0.0, high, high, 1.0, 1.0) for t, high in highs.items()]

    @pytest.mark.parametrize(
        ("highs", "advice"),
        [
            ({0.9: 0.005, 0.8: 0.008, 0.7: 0.02}, 0.8),
            ({0.9: 0.005, 0.8: 0.02, 0.7: 0.005}, 0.9),
            ({0.9: 0.02, 0.8: 0.001}, None),
            ({0.9: 0.001}, 0.9),
        ],
    )
    def test_the_lowest_threshold_from_which_on_the_bound_keeps_the_budget(self, highs, advice):
        assert advised(self.rows(highs), 0.01).threshold == advice

    def test_too_few_hits_are_no_evidence(self):
        advice = advised(self.rows({0.9: 0.0}, sampled=29), 0.01)
        assert advice.threshold is None
        assert "longer log" in advice.reason


def test_the_interval_holds_the_mean_and_knows_clusters():
    values, weights = np.array([0.0, 0.0, 0.3, 0.3]), np.array([1.0, 2.0, 1.0, 1.0])
    low, high = interval(values, weights, ["a", "b", "c", "d"])
    assert low < np.average(values, weights=weights) < high
    assert interval(values, weights, ["a"] * 4) == pytest.approx((0.12, 0.12))


def test_the_worst_share_counts_weights():
    losses = np.array([0.9, 0.5, 0.1])
    assert worst(losses, np.array([1.0, 4.0, 95.0])) == 0.5
    assert worst(losses, np.array([5.0, 1.0, 94.0])) == 0.9
