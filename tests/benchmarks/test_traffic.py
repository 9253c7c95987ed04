"""The replay of recorded scores: what counts as a loss, what is counted as asked, and what time it is said to take."""

import numpy as np
import pytest

from benchmarks.streams import Stream
from benchmarks.traffic_clock import Prices
from benchmarks.traffic_loss import absolute_loss, gains, kept, loss, scaled_gains
from benchmarks.traffic_plot import REASONS, avoided, shares
from benchmarks.traffic_replay import Precomputed, Recorded, Replayed, Served
from benchmarks.traffic_report import along, by_status, figures
from semcache.ranking import Status

SCORES = np.array([2.0, -1.0, 0.5, -3.0])


def served(status: Status, asked: int, query: int = 0, lost: float = 0.0) -> Served:
    return Served(query, status.value, asked, min(asked, 1), 0.001, 0.002, 1, lost, lost, lost, 1.0)


def stream() -> Stream:
    vectors = np.eye(3, dtype=np.float32)
    near = np.array([[0, 1], [2, 1]])
    return Stream("toy", ("a", "b", "c"), ("x", "y"), np.array([0, 1, 0]), near, vectors[:2, :2], vectors[:2], vectors)


def test_the_true_order_loses_nothing() -> None:
    for gain in (gains(SCORES), scaled_gains(SCORES)):
        assert loss([0, 2, 1, 3], gain, 3) == pytest.approx(0)


def test_a_loss_is_the_share_of_the_discounted_gain_that_is_missing() -> None:
    gain = np.array([1.0, 0.0, 0.5, 0.0])
    whole = 1 + 0.5 / np.log2(3)
    assert loss([2, 0], gain, 2) == pytest.approx(1 - (0.5 + 1 / np.log2(3)) / whole)
    assert loss([0, 1], gain, 2) == pytest.approx(1 - 1 / whole)


def test_where_nothing_is_relevant_next_to_nothing_is_lost() -> None:
    gain = np.array([2e-5, 1e-5, 1e-5])
    assert loss([1, 2], gain, 1) == pytest.approx(0.5)
    assert absolute_loss([1, 2], gain, 1) == pytest.approx(1e-5)
    assert absolute_loss([0, 1], gain, 2) == pytest.approx(0)


def test_a_shorter_answer_loses_what_it_leaves_out() -> None:
    assert loss([], gains(SCORES), 2) == 1


def test_ranks_behind_top_k_do_not_count() -> None:
    assert loss([0, 3, 1, 2], gains(SCORES), 1) == pytest.approx(0)


def test_documents_below_the_least_score_are_no_loss() -> None:
    for gain in (gains(SCORES, 0.0), scaled_gains(SCORES, 0.0)):
        assert loss([0, 2], gain, 3) == pytest.approx(0)
    assert loss([], gains(SCORES, 5.0), 3) == 0
    assert kept([0, 2], SCORES, 3, 0.0) == 1
    assert kept([], SCORES, 3, 5.0) == 1


def test_kept_is_the_share_of_the_true_top_k() -> None:
    assert kept([0, 3], SCORES, 2) == 0.5


def test_equal_scores_have_no_order_to_lose() -> None:
    assert loss([3, 2], scaled_gains(np.ones(4)), 2) == 0


def test_a_recorded_reranker_answers_and_counts_only_what_was_scored() -> None:
    reranker = Recorded("model", stream(), np.array([[1.0, 2.0], [3.0, 4.0]], dtype=np.float32))
    assert reranker.score([("x", "b"), ("y", "c")]).tolist() == [2.0, 3.0]
    with pytest.raises(KeyError):
        reranker.score([("x", "c")])
    assert reranker.pairs == 2


def test_vectors_of_the_stream_are_given_by_text() -> None:
    embedder = Precomputed(stream())
    assert embedder.embed(["y", "x"]).tolist() == stream().query_vectors[[1, 0]].tolist()
    assert embedder.calls == 1


def test_pairs_of_audits_count_as_asked_and_take_time() -> None:
    answers = [served(Status.FRESH, 10), served(Status.EXACT, 0, query=1)]
    without, audited = (figures(answers, 10, Prices(0.01, 0.002), pairs) for pairs in (0, 4))
    assert without["avoided"] == pytest.approx(0.5)
    assert audited["avoided"] == pytest.approx(0.3)
    # Two requests of 0.1 s each; what they took: 10 pairs, two embeddings and twice a millisecond.
    assert without["time_saved"] == pytest.approx(1 - (0.1 + 0.004 + 0.002) / 0.2)
    assert audited["time_saved"] == pytest.approx(without["time_saved"] - 0.04 / 0.2)


def test_time_of_redis_is_shared_out() -> None:
    answers = [served(Status.EXACT, 0), served(Status.EXACT, 0, query=1)]
    without, with_redis = (figures(answers, 10, Prices(0.01, 0), beside_s=seconds) for seconds in (0, 0.02))
    assert with_redis["time_saved"] == pytest.approx(without["time_saved"] - 0.1)


def test_an_interval_holds_its_mean() -> None:
    answers = [served(Status.PRUNED, asked, query=asked, lost=asked / 100) for asked in range(10)]
    found = figures(answers, 10, Prices(0.01, 0.002))
    for name in ("avoided", "time_saved", "loss", "scaled_loss"):
        assert found[f"{name}_low"] < found[name] < found[f"{name}_high"]


def test_figures_by_status_cover_every_request() -> None:
    answers = [served(Status.FRESH, 10), served(Status.EXACT, 0), served(Status.PRUNED, 4, lost=0.2)]
    replayed = Replayed(answers, 0, 0.02, 0.01, 2, 100, {})
    rows = {row["status"]: row for row in by_status(replayed, 10, Prices(0.01, 0.002))}
    # Its share of the time beside requests, one third of 0.03 s, is a tenth of the 0.1 s of whole scoring.
    assert rows["fresh"]["time_saved"] == pytest.approx(-(0.002 + 0.001 + 0.01) / 0.1)
    assert sum(row["requests"] for row in rows.values()) == 3
    assert rows["pruned"]["avoided"] == pytest.approx(0.6)
    assert rows["pruned"]["loss"] == pytest.approx(0.2)


def test_the_learning_curve_has_the_parts_in_order() -> None:
    answers = [served(Status.FRESH, 10)] * 50 + [served(Status.PRUNED, 4)] * 50
    rows = list(along(answers, 10))
    assert [row["requests_to"] for row in rows] == list(range(10, 101, 10))
    assert [round(row["avoided"], 3) for row in rows] == [0.0] * 5 + [0.6] * 5


def test_every_pair_has_one_reason() -> None:
    partly = [served(status, asked) for status in (Status.VERIFIED, Status.PARTIAL, Status.PRUNED) for asked in (2, 7)]
    answers = [*partly, served(Status.EXACT, 0), served(Status.SEMANTIC, 0), served(Status.FRESH, 10)]
    found = shares(answers, 10)
    total = np.sum([found[reason] for reason in REASONS], axis=0)
    assert total == pytest.approx(np.ones(len(total)), abs=1e-4)
    assert avoided(found)[-1] == pytest.approx(1 - np.mean([answer.asked for answer in answers]) / 10, abs=1e-4)
