"""Objects that rank the documents of a query: their scores where all have one, and else their order."""

import logging
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from semcache.errors import InvalidInputError, RerankerError
from semcache.protocols import Reranker
from semcache.rerankers import RankingReranker, adapt
from tests.contracts.reranker import PAIRS, QUERY, TEXTS, ListwiseContract, PointwiseContract


def by_length(query: str, documents: list[Any], top_k: int = 5) -> list[Any]:
    """As existing rerankers do: LangChain documents in, the best ``top_k`` out."""
    return sorted(documents, key=lambda document: len(document.page_content))[:top_k]


def service(query: str, documents: list[str], top_n: int) -> dict[str, Any]:
    """As services do: indices with the relevance of each, best first."""
    scores = [1 / (1 + len(document)) for document in documents]
    best = sorted(range(len(documents)), key=lambda at: -scores[at])[:top_n]
    return {"results": [{"index": at, "relevance_score": scores[at]} for at in best]}


class TestListwise(ListwiseContract):
    @pytest.fixture
    def reranker(self) -> Reranker:
        return RankingReranker(by_length, "by-length")

    def test_first_of_n_gets_n(self, reranker: Reranker) -> None:
        assert reranker.score(PAIRS).tolist() == [1.0, 2.0, 3.0]

    def test_refuses_two_queries_in_one_call(self, reranker: Reranker) -> None:
        with pytest.raises(InvalidInputError, match="got 2 queries in one call"):
            reranker.score([*PAIRS, ("another", "text")])


class TestPointwise(PointwiseContract):
    @pytest.fixture
    def reranker(self) -> Reranker:
        return RankingReranker(service, "service")

    def test_gives_the_scores_of_the_service(self, reranker: Reranker) -> None:
        assert reranker.score(PAIRS).tolist() == pytest.approx([1 / (1 + len(text)) for text in TEXTS])

    def test_gives_a_text_that_came_twice_the_score_of_the_one_that_comes_back(self) -> None:
        once = RankingReranker(
            lambda query, docs: [(text, float(len(text))) for text in {*docs}], "once", listwise=False
        )
        assert once.score([(QUERY, "aa"), (QUERY, "b"), (QUERY, "aa")]).tolist() == [2.0, 1.0, 2.0]


def test_what_is_left_out_comes_last_in_retrieval_order() -> None:
    reranker = RankingReranker(lambda query, documents, top_k: [documents[1]], "one")
    assert reranker.score(PAIRS).tolist() == [2.0, 3.0, 1.0]


def test_equal_texts_are_told_apart() -> None:
    reranker = RankingReranker(lambda query, documents, top_k: [str(d) for d in documents][::-1], "reversed")
    assert reranker.score([(QUERY, "b"), (QUERY, "a"), (QUERY, "b")]).tolist() == [3.0, 2.0, 1.0]


class RecordingRanker:
    """Keeps the documents that it was sent."""

    def __init__(self) -> None:
        self.calls = 0

    def rerank(self, query: str, documents: list[Any], top_k: int = 5) -> list[Any]:
        self.calls += 1
        self.sent = documents
        return documents[:top_k]


def test_documents_look_like_those_of_every_library() -> None:
    ranker = RecordingRanker()
    RankingReranker(ranker.rerank, "kept").score(PAIRS)
    first = ranker.sent[0]
    assert first == first.page_content == first.text == first.content == TEXTS[0]
    first.metadata["score"] = 0.5
    assert ranker.sent[1].metadata == {}


def test_asks_for_all_documents() -> None:
    ranker = RecordingRanker()
    pairs = [(QUERY, f"text {at}") for at in range(20)]
    assert RankingReranker(ranker.rerank, "kept").score(pairs).tolist() == list(range(20, 0, -1))


@given(st.permutations(range(6)), st.integers(0, 6))
def test_an_order_becomes_the_same_order_of_scores(order: list[int], answered: int) -> None:
    reranker = RankingReranker(lambda query, documents, top_k: [documents[at] for at in order[:answered]], "any")
    scores = reranker.score([(QUERY, f"text {at}") for at in range(6)])
    best_first = np.argsort(-scores).tolist()
    assert best_first == [*order[:answered], *sorted(order[answered:])]


def results(scores: Callable[[int], Any], order: Callable[[Sequence[int]], Sequence[int]] = lambda at: at) -> Any:
    """A ranker that answers indices in this order, with these scores by position."""
    return lambda query, docs: [{"index": at, "score": scores(at)} for at in order(range(len(docs)))]


LAST_FIRST = reversed


class TestKind:
    @pytest.mark.parametrize(
        ("rank", "listwise"),
        [
            (results(float, LAST_FIRST), False),  # best first
            (results(float), False),  # in the order of the documents, best last
            (results(np.float32, LAST_FIRST), False),
            (results(lambda at: np.array(float(at)), LAST_FIRST), False),
            (lambda query, docs: [float(len(doc)) for doc in docs], False),  # scores alone, as fastembed gives them
            (lambda query, docs: np.array([float(len(doc)) for doc in docs]), False),
            (results(lambda at: None), True),
            (results(lambda at: float(at) if at else None, LAST_FIRST), True),  # one has no score
            (results(lambda at: -float(at), LAST_FIRST), True),  # the order is not that of the scores: diversity
            (results(lambda at: 0.5, LAST_FIRST), True),  # a score that was not computed
            (lambda query, docs: [1, 0, 2, 3], True),
            (lambda query, docs: np.array([1, 0, 2, 3]), True),
            (lambda query, docs: docs[:2], True),
        ],
    )
    def test_is_found_out_by_one_call_before_anything_is_remembered(self, rank: Any, listwise: bool) -> None:
        reranker = RankingReranker(rank, "any")
        assert reranker.listwise is listwise

    def test_is_asked_once(self) -> None:
        ranker = RecordingRanker()
        reranker = RankingReranker(ranker.rerank, "once")
        assert [reranker.listwise for _ in range(3)] == [True] * 3
        assert ranker.calls == 1

    def test_is_asked_once_of_a_ranker_that_is_wrapped_for_every_request(self) -> None:
        ranker = RecordingRanker()
        assert [adapt(wrapped, name="once").listwise for wrapped in (ranker, ranker, ranker.rerank)] == [True] * 3
        assert ranker.calls == 1
        assert adapt(RecordingRanker(), name="once").listwise

    def test_is_not_asked_where_an_answer_has_told_it(self) -> None:
        ranker = RecordingRanker()
        reranker = RankingReranker(ranker.rerank, "once")
        reranker.score(PAIRS)
        assert reranker.listwise
        assert ranker.calls == 1

    def test_is_not_told_by_an_answer_about_a_single_document(self) -> None:
        reranker = RankingReranker(service, "service")
        assert reranker.score(PAIRS[:1]).tolist() == pytest.approx([1 / (1 + len(TEXTS[0]))])
        assert repr(reranker) == "<RankingReranker service, of unknown kind>"

    @pytest.mark.parametrize("options", [{"probe": False}, {"version": "2"}, {"listwise": True}, {"listwise": False}])
    def test_is_not_asked_where_it_is_said_or_probes_are_not_wanted(self, options: Any) -> None:
        ranker = RecordingRanker()
        reranker = adapt(ranker, name="kept", **options)
        assert reranker.listwise is options.get("listwise", True)
        assert ranker.calls == 0

    @pytest.mark.parametrize(
        ("attributes", "listwise"),
        [
            ({"ranking_type": "pointwise"}, False),
            ({"__module__": "cohere.v2"}, False),
            ({"__module__": "voyageai"}, False),
        ],
    )
    def test_of_known_libraries_needs_no_call(self, attributes: dict[str, Any], listwise: bool) -> None:
        ranker = type("Client", (RecordingRanker,), attributes)()
        assert adapt(ranker, name="client").listwise is listwise
        assert adapt(ranker.rerank, name="client").listwise is listwise
        assert ranker.calls == 0

    def test_of_language_models_that_write_an_order_is_known(self) -> None:
        ranker = type("RankGPTRanker", (RecordingRanker,), {})()
        assert adapt(ranker, name="gpt").listwise
        assert ranker.calls == 0


class Unreachable:
    """Fails until it is told not to."""

    is_down = True

    def rerank(self, query: str, documents: list[str], top_n: int) -> Any:
        if self.is_down:
            raise ConnectionError("no route to host")
        return service(query, documents, top_n)


class TestUnknownKind:
    def test_counts_as_listwise_and_is_reported(self, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.WARNING, "semcache"):
            reranker = RankingReranker(Unreachable().rerank, "far")
            assert reranker.listwise
        assert "far could not be asked whether it scores or orders (ConnectionError: no route to host)" in caplog.text

    def test_keeps_the_scores_of_the_service(self) -> None:
        far = Unreachable()
        reranker = RankingReranker(far.rerank, "far")
        assert reranker.listwise
        far.is_down = False
        assert reranker.score(PAIRS).tolist() == pytest.approx([1 / (1 + len(text)) for text in TEXTS])
        assert reranker.listwise

    def test_gives_places_for_ever_once_an_answer_lacks_a_score(self) -> None:
        answers = iter([[(0, 0.9), (1, 0.1)], [0], [(0, 0.9), (1, 0.1)]])
        reranker = RankingReranker(lambda query, docs: next(answers), "moody", may_ask=False)
        assert reranker.listwise
        pairs = PAIRS[:2]
        assert reranker.score(pairs).tolist() == pytest.approx([0.9, 0.1])
        assert reranker.score(pairs).tolist() == [2.0, 1.0]
        assert reranker.score(pairs).tolist() == [2.0, 1.0]


def test_a_ranker_that_scores_must_go_on_scoring() -> None:
    reranker = RankingReranker(lambda query, docs: [(0, 0.5)], "truncating", listwise=False)
    with pytest.raises(RerankerError, match=r"gave 1 documents with a score for 3 documents, .*listwise=True"):
        reranker.score(PAIRS)


def test_scores_that_are_not_finite_are_refused() -> None:
    reranker = RankingReranker(results(lambda at: float("nan")), "nan", listwise=False)
    with pytest.raises(RerankerError, match="not finite"):
        reranker.score(PAIRS)
