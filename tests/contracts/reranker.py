"""The contract of rerankers, for every kind of model behind them."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from semcache.protocols import Reranker

QUERY = "how many people live in berlin ?"
TEXTS = ["berlin is a city , many people live in berlin", "paris is the capital of france", "museums"]
PAIRS = [(QUERY, text) for text in TEXTS]


class RerankerContract:
    """Derive a test class and give it a fixture ``reranker``."""

    tolerance = 1e-4
    """How far a pair's score may depend on the pairs beside it."""

    def test_fits_the_protocol(self, reranker: Reranker) -> None:
        assert isinstance(reranker, Reranker)
        assert reranker.name
        assert isinstance(reranker.listwise, bool)

    def test_gives_one_finite_float32_per_pair(self, reranker: Reranker) -> None:
        scores = reranker.score(PAIRS)
        assert scores.shape == (len(PAIRS),)
        assert scores.dtype == np.float32
        assert np.isfinite(scores).all()

    def test_gives_no_scores_for_no_pairs(self, reranker: Reranker) -> None:
        scores = reranker.score([])
        assert scores.shape == (0,)
        assert scores.dtype == np.float32

    def test_takes_any_text(self, reranker: Reranker) -> None:
        odd = [(QUERY, text) for text in ("", "\ud800 broken", "日本語 🙂", "berlin " * 150_000)]
        assert np.isfinite(reranker.score(odd)).all()

    def test_takes_a_text_twice(self, reranker: Reranker) -> None:
        assert reranker.score([PAIRS[0], PAIRS[1], PAIRS[0]]).shape == (3,)

    def test_leaves_the_pairs_alone(self, reranker: Reranker) -> None:
        given = list(PAIRS)
        reranker.score(given)
        assert given == PAIRS

    def test_answers_several_threads_at_once(self, reranker: Reranker) -> None:
        expected = reranker.score(PAIRS)
        with ThreadPoolExecutor(4) as threads:
            answers = list(threads.map(lambda _: reranker.score(PAIRS), range(8)))
        assert all(answer == pytest.approx(expected, abs=1e-5) for answer in answers)

    def test_shows_its_name(self, reranker: Reranker) -> None:
        assert reranker.name in repr(reranker)


class PointwiseContract(RerankerContract):
    """For rerankers whose scores hold across calls."""

    def test_says_so(self, reranker: Reranker) -> None:
        assert reranker.listwise is False

    def test_scores_a_pair_alone_as_among_others(self, reranker: Reranker) -> None:
        alone = np.concatenate([reranker.score([pair]) for pair in PAIRS])
        assert reranker.score(PAIRS) == pytest.approx(alone, abs=self.tolerance)

    def test_takes_several_queries_in_one_call(self, reranker: Reranker) -> None:
        mixed = [PAIRS[0], ("where is paris ?", TEXTS[1]), PAIRS[1]]
        alone = np.concatenate([reranker.score([pair]) for pair in mixed])
        assert reranker.score(mixed) == pytest.approx(alone, abs=self.tolerance)


class ListwiseContract(RerankerContract):
    """For rerankers that give an order of one query's documents."""

    def test_says_so(self, reranker: Reranker) -> None:
        assert reranker.listwise is True

    def test_gives_every_document_its_own_rank(self, reranker: Reranker) -> None:
        assert len(set(reranker.score(PAIRS).tolist())) == len(PAIRS)
