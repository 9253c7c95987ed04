"""Whole calibrations with small models: what is counted, what is scored, and that stopping changes nothing."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from semcache.commands.calibration.figures import THRESHOLDS
from semcache.commands.calibration.log import Logged
from semcache.commands.calibration.result import Calibration
from semcache.commands.calibration.run import CalibrationOptions, calibrate_entries, calibrate_log, contiguous_sample
from semcache.entries.entry import StoredEntry
from semcache.errors import ConfigurationError, InvalidInputError
from semcache.flow.policy import ReusePolicy
from semcache.protocols import FloatArray, Pair
from tests.fakes import CountingOrder, CountingReranker, WordEmbedder

Log = Sequence[Logged]


WORDS = ["how", "can", "i", "reset", "change", "my", "lost", "password", "email", "account", "phone", "number", "new"]
TEXTS = [f"passage {number} about {WORDS[number % len(WORDS)]}" for number in range(60)]
OPTIONS = CalibrationOptions(ReusePolicy(), 0.05, 1000, 100_000, 7, 4, 512)


def quiet(task: str, step: int, steps: int) -> None:
    pass


@pytest.fixture(scope="module")
def log() -> Log:
    chance = random.Random(3)
    queries = [" ".join(chance.sample(WORDS, 6)) for _ in range(40)]
    return [
        Logged(query, tuple(chance.sample(TEXTS[:30], 20)))
        for query in (
            chance.choice(queries) if chance.random() < 0.4 else " ".join(chance.sample(WORDS, 6)) for _ in range(120)
        )
    ]


@pytest.fixture(scope="module")
def found(log: Log, tmp_path_factory: pytest.TempPathFactory) -> Calibration:
    state = tmp_path_factory.mktemp("whole") / "state"
    return calibrate_log(log, WordEmbedder(), CountingReranker(), OPTIONS, state, quiet)


class Stopping(CountingReranker):
    """Is interrupted after so many calls, as by Ctrl-C."""

    def __init__(self, calls: int) -> None:
        super().__init__()
        self.left = calls

    def score(self, pairs: Sequence[Pair]) -> FloatArray:
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
        return super().score(pairs)


class TestOfALog:
    def test_stopped_and_resumed_it_finds_the_same_and_asks_nothing_twice(
        self, log: Log, found: Calibration, tmp_path: Path
    ) -> None:
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

    def test_higher_thresholds_hit_less(self, found: Calibration) -> None:
        for rows in (found.trusted, found.unguarded, found.verified):
            assert [row.threshold for row in rows] == list(THRESHOLDS)
            hits = [row.hits for row in rows]
            assert hits == sorted(hits, reverse=True)
        assert found.verified[0].hits > 0.5
        assert found.exact < 0.4

    def test_a_guard_only_takes_hits_away(self, found: Calibration) -> None:
        assert all(ours.hits <= bare.hits for ours, bare in zip(found.trusted, found.unguarded, strict=True))

    def test_shares_of_statuses_add_up(self, found: Calibration) -> None:
        for outlook in (found.now, found.then):
            assert sum(outlook.shares.values()) == pytest.approx(1)
            assert 0 <= outlook.avoided <= 1

    def test_max_pairs_is_kept_and_every_stratum_stands_for_its_own(self, log: Log, tmp_path: Path) -> None:
        reranker = CountingReranker()
        options = replace(OPTIONS, max_pairs=400)
        found = calibrate_log(log, WordEmbedder(), reranker, options, tmp_path / "state", quiet)
        assert 0 < len(reranker.pairs) == found.sampled_pairs <= 400

    def test_too_few_pairs_for_a_single_request_is_said(self, log: Log, tmp_path: Path) -> None:
        with pytest.raises(InvalidInputError, match="max-pairs is 3"):
            calibrate_log(
                log, WordEmbedder(), CountingReranker(), replace(OPTIONS, max_pairs=3), tmp_path / "state", quiet
            )

    def test_a_reranker_of_orders_is_refused(self, log: Log, tmp_path: Path) -> None:
        with pytest.raises(ConfigurationError, match="orders"):
            calibrate_log(log, WordEmbedder(), CountingOrder(), OPTIONS, tmp_path / "state", quiet)

    def test_a_log_without_near_queries_needs_no_reranker(self, tmp_path: Path) -> None:
        reranker = CountingReranker()
        log = [Logged("reset password", ("a", "b")), Logged("xylophone", ("c",))]
        found = calibrate_log(log, WordEmbedder(), reranker, OPTIONS, tmp_path / "state", quiet)
        assert (found.sampled, reranker.pairs, found.trust.threshold) == (0, [], None)

    def test_a_query_too_long_to_be_looked_up_is_near_to_nothing(self, log: Log, tmp_path: Path) -> None:
        options = replace(OPTIONS, max_query_chars=3)
        found = calibrate_log(log, WordEmbedder(), CountingReranker(), options, tmp_path / "state", quiet)
        assert found.verified[0].hits == 0

    def test_a_part_of_the_log_is_contiguous_and_the_same_for_a_seed(self, log: Log) -> None:
        part = list(contiguous_sample(log, 10, 5))
        start = log.index(part[0])
        assert part == list(log[start : start + 10]) == list(contiguous_sample(log, 10, 5))


class TestOfEntries:
    def entry(self, name: str, vector: Sequence[float], scores: Mapping[bytes, float]) -> StoredEntry:
        return StoredEntry(name, np.array(vector, dtype=np.float32), scores, float(len(name)))

    def test_shared_documents_of_near_entries_are_compared(self) -> None:
        documents = [bytes([n]) * 16 for n in range(25)]
        one = self.entry("a", [1.0, 0.0], {document: n for n, document in enumerate(documents[:20])})
        same = self.entry("bb", [1.0, 0.0], {document: n for n, document in enumerate(documents[5:])})
        far = self.entry("ccc", [0.0, 1.0], {document: n for n, document in enumerate(documents)})
        few = self.entry("dddd", [1.0, 0.0], dict.fromkeys(documents[:3], 1.0))
        found = calibrate_entries([one, same, far, few], "reranker", "embedder", OPTIONS)
        assert (found.requests, found.sampled, found.source) == (4, 1, "cache")
        assert found.trusted[0].hits == 0.25
        assert (found.trusted[0].loss, found.trusted[0].overlap) == (0.0, 1.0)

    def test_a_reversed_order_is_a_loss(self) -> None:
        documents = [bytes([n]) * 16 for n in range(20)]
        one = self.entry("a", [1.0, 0.0], {document: n for n, document in enumerate(documents)})
        other = self.entry("bb", [1.0, 0.0], {document: -n for n, document in enumerate(documents)})
        found = calibrate_entries([one, other], "reranker", "embedder", OPTIONS)
        assert found.trusted[0].loss > 0.4
        assert found.verified[0].loss < found.trusted[0].loss
