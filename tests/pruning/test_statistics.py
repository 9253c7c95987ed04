"""Sums of requests: adding them, forgetting, and their bytes."""

import numpy as np
import pytest

from semcache.pruning.features import features
from semcache.pruning.statistics import SIZE, Statistics
from semcache.pruning.surrogate import Surrogate

TEXTS = ["fleas live for weeks", "the moon", "a flea in the ear", "cats and dogs"]


def request(seed: int) -> Statistics:
    scores = np.random.default_rng(seed).normal(size=len(TEXTS))
    return Statistics.of(features("flea", TEXTS, retrieval_scores=[4, 3, None, 1]), scores)


def test_merged_statistics_are_the_plain_sum_of_their_numbers() -> None:
    assert (request(1) + request(2)).sums.tolist() == (request(1).sums + request(2).sums).tolist()


def test_bytes_give_the_same_statistics_back() -> None:
    stored = request(1).to_bytes()
    found = Statistics.from_bytes(stored)
    assert found is not None
    assert found.sums.tolist() == request(1).sums.tolist()
    assert len(stored) == 8 * (SIZE + 1)


@pytest.mark.parametrize(
    "damaged", [b"", request(1).to_bytes()[:-1], b"\0" * 8 * (SIZE + 1), request(1).to_bytes()[:-8] + b"\xff" * 8]
)
def test_damaged_bytes_are_no_statistics(damaged: bytes) -> None:
    assert Statistics.from_bytes(damaged) is None


def test_too_few_requests_make_no_surrogate() -> None:
    assert Surrogate.of(Statistics.empty()) is None
    assert Surrogate.of(request(1).scaled(29)) is None
    assert Surrogate.of(request(1).scaled(31)) is not None


def test_they_say_what_share_of_the_documents_had_a_feature() -> None:
    with_scores = request(1)
    without = Statistics.of(features("flea", TEXTS), np.arange(4.0))
    shares = (with_scores + without + without + without).feature_shares
    assert set(shares) == {"log_rank", "retrieval_score", "overlap", "log_length"}
    assert (shares["log_rank"], shares["retrieval_score"]) == (1.0, 0.25)
    assert Statistics.empty().feature_shares == {}
