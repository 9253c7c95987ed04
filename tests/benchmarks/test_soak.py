"""The soak's own logic: what counts as growth and as settled, and which answers are found to be wrong."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.soak_figures import floor_growth, growth, settled_minute, type_growth
from benchmarks.soak_record import Record
from benchmarks.soak_requests import TOP_K, ScriptedReranker, Work, not_own
from semcache import Ranking, Status
from semcache.protocols import FloatArray


def samples(*by_minute: float) -> list[dict[str, float]]:
    """One sample a second; the values of each minute are those given."""
    return [
        {"at_s": 60.0 * minute + second, "own_mib": size}
        for minute, size in enumerate(by_minute)
        for second in range(60)
    ]


class TestFigures:
    def test_growth_is_of_the_end_over_the_minute_after_the_given_one(self) -> None:
        grown = growth(samples(100, 200, 200, 220, 220, 220), "own_mib", 1)
        assert (grown.value, grown.low, grown.high) == pytest.approx((0.1, 0.1, 0.1))

    def test_settled_is_the_first_minute_after_which_nothing_grows_by_more_than_two_percent(self) -> None:
        assert settled_minute(samples(100, 150, 199, 200, 201, 202), "own_mib") == 2

    def test_what_grows_to_the_end_never_settles(self) -> None:
        assert settled_minute(samples(100, 103, 107, 111, 115, 119), "own_mib") is None

    def test_what_comes_and_goes_has_not_grown_while_its_least_number_stays(self) -> None:
        restless = [{"at_s": float(at), "own_mib": 10 + at % 7} for at in range(600)]
        leaking = [{**sample, "own_mib": sample["own_mib"] + sample["at_s"] // 60} for sample in restless]
        assert floor_growth(restless, "own_mib", 2).value == 0
        assert floor_growth(leaking, "own_mib", 2).value == 6

    def test_the_types_that_grew_most_come_first(self) -> None:
        rows = type_growth([{"list": 5, "dict": 5}, {"list": 6, "dict": 4}, {"list": 9, "dict": 6}])
        assert [(row["type"], row["grown"], row["steps_up"]) for row in rows] == [("list", 4, 2), ("dict", 1, 1)]


class Vectors:
    """A random unit vector per text."""

    name, dims = "random", 384

    def embed(self, texts: Sequence[str]) -> FloatArray:
        rows = np.array([np.random.default_rng(list(text.encode())).standard_normal(self.dims) for text in texts])
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


WORK = Work("a query", "{}", [f"text {n}" for n in range(12)], None)


@pytest.fixture
def reranker() -> ScriptedReranker:
    return ScriptedReranker(Vectors())


def answer(reranker: ScriptedReranker, status: Status = Status.EXACT, query: str = WORK.query) -> Ranking[str]:
    scores = reranker.true_scores(query, WORK.documents)
    best = [int(place) for place in np.argsort(-scores)[:TOP_K]]
    documents = tuple(WORK.documents[place] for place in best)
    return Ranking(documents, tuple(best), tuple(map(float, scores[best])), status, "scripted", similarity=0.99)


class TestChecks:
    def test_right_answers_have_no_fault(self, reranker: ScriptedReranker) -> None:
        for status in Status:
            assert reranker.fault_of(WORK, answer(reranker, status)) == ""

    @pytest.mark.parametrize("status", [Status.EXACT, Status.FRESH, Status.VERIFIED, Status.PRUNED, Status.SEMANTIC])
    def test_scores_of_another_query_are_found(self, reranker: ScriptedReranker, status: Status) -> None:
        assert "scores of" in reranker.fault_of(WORK, answer(reranker, status, "a quite different query"))

    def test_a_document_that_is_missing_among_the_best_is_found(self, reranker: ScriptedReranker) -> None:
        right = answer(reranker)
        last = int(np.argmin(reranker.true_scores(WORK.query, WORK.documents)))
        worse = replace(
            right,
            documents=(*right.documents[:-1], WORK.documents[last]),
            indices=(*right.indices[:-1], last),
            scores=(*(right.scores or ())[:-1], float(reranker.true_scores(WORK.query, [WORK.documents[last]])[0])),
        )
        assert reranker.fault_of(WORK, worse) == "not the best"

    def test_a_document_of_another_request_is_found(self, reranker: ScriptedReranker) -> None:
        right = answer(reranker)
        assert not_own(WORK, replace(right, documents=("a stranger", *right.documents[1:])))
        assert not_own(WORK, replace(right, indices=(right.indices[1], *right.indices[1:])))
        assert not_own(WORK, replace(right, scores=tuple(reversed(right.scores or ()))))


def test_a_report_begins_where_the_last_one_ended() -> None:
    record = Record()
    for duration_s in (0.001, 0.003):
        record.answered("exact", duration_s)
    record.failed("a caller", ValueError("x"))
    report = record.taken()
    assert report["statuses"] == {"exact": {"n": 2, "p50_ms": 1.0, "p99_ms": 3.0}}
    assert report["counts"] == {"failed": 1}
    assert report["described"] == ["failed: a caller: ValueError: x ()"]
    assert record.taken() == {"statuses": {}, "counts": {}, "described": []}
