"""Clients of rerank services get the order of the reranker, and their second call from the cache."""

from math import exp

import pytest

from tests.fakes import CountingReranker
from tests.server.conftest import Serve

QUERY = "how far is the moon"
TEXTS = ["the moon is far", "a car", "how far the sun is", "cheese"]


def best(model: CountingReranker) -> list[int]:
    return sorted(range(len(TEXTS)), key=lambda at: -model.score_of(QUERY, TEXTS[at]))


@pytest.mark.parametrize("path", ["/v1/rerank", "/v2/rerank", "/rerank"])
def test_cohere_and_jina_get_the_rerankers_order_and_then_the_cache(
    serve: Serve, model: CountingReranker, path: str
) -> None:
    client = serve()
    # 3.0 is what some languages make of a whole number.
    asked = {"model": "rerank-v3.5", "query": QUERY, "documents": TEXTS, "top_n": 3.0, "priority": 0}
    first, again = client.post(path, json=asked), client.post(path, json=asked)
    assert (first.status_code, again.status_code) == (200, 200)
    assert [result["index"] for result in first.json()["results"]] == best(model)[:3]
    assert first.json()["results"] == again.json()["results"]
    assert first.json()["model"] == "rerank-v3.5"
    assert first.headers["X-Semcache-Status"] == "fresh"
    assert first.headers["X-Semcache-Asked"] == "4"
    assert (again.headers["X-Semcache-Status"], again.headers["X-Semcache-Asked"]) == ("exact", "0")
    assert again.headers["X-Semcache-Reused"] == "4"


def test_documents_may_be_objects_and_come_back(serve: Serve) -> None:
    answer = serve().post(
        "/v1/rerank", json={"query": QUERY, "documents": [{"text": text} for text in TEXTS], "return_documents": True}
    )
    results = answer.json()["results"]
    assert [result["document"]["text"] for result in results] == [TEXTS[result["index"]] for result in results]
    assert len(results) == len(TEXTS)


def test_fields_of_objects_are_scored_as_cohere_does_and_come_back_with_them(
    serve: Serve, model: CountingReranker
) -> None:
    documents = [{"title": text, "text": "a text", "id": str(at)} for at, text in enumerate(TEXTS)]
    documents[1] = {"title": TEXTS[1], "id": "1"}
    asked = {"query": QUERY, "documents": documents, "rank_fields": ["title", "text"], "return_documents": True}
    results = serve().post("/v1/rerank", json=asked).json()["results"]
    scored = {text for query, text in model.pairs if query == QUERY}
    assert scored == {TEXTS[1], *(f"{text}\na text" for text in (TEXTS[0], *TEXTS[2:]))}
    returned = {result["index"]: result["document"] for result in results}
    # Clients read the text of every document: where it has none, it is the one that was scored.
    assert returned == {**dict(enumerate(documents)), 1: {**documents[1], "text": TEXTS[1]}}


def test_tei_gets_a_list(serve: Serve, model: CountingReranker) -> None:
    answer = serve().post(
        "/rerank", json={"query": QUERY, "texts": TEXTS, "truncate": True, "raw_scores": True, "return_text": True}
    )
    assert answer.json() == [
        {"index": at, "score": pytest.approx(model.score_of(QUERY, TEXTS[at])), "text": TEXTS[at]} for at in best(model)
    ]
    assert answer.headers["X-Semcache-Scores"] == "raw"


def test_documents_are_taken_beside_those_of_tei_also_where_a_text_is_called_like_its_field(serve: Serve) -> None:
    answer = serve().post("/rerank", json={"query": "texts", "documents": ["documents", "texts"]})
    assert answer.status_code == 200
    assert len(answer.json()["results"]) == 2


class TestScores:
    def test_logits_are_shown_as_their_sigmoid(self, serve: Serve, model: CountingReranker) -> None:
        answer = serve().post("/v2/rerank", json={"query": QUERY, "documents": TEXTS})
        assert [result["relevance_score"] for result in answer.json()["results"]] == [
            pytest.approx(1 / (1 + exp(-model.score_of(QUERY, TEXTS[at])))) for at in best(model)
        ]
        assert answer.headers["X-Semcache-Scores"] == "sigmoid"

    def test_scores_between_0_and_1_are_shown_as_they_are(self, serve: Serve) -> None:
        client = serve(lambda query, texts: [1 / len(text) for text in texts])
        answer = client.post("/v2/rerank", json={"query": QUERY, "documents": TEXTS})
        scores = [result["relevance_score"] for result in answer.json()["results"]]
        assert scores == sorted((pytest.approx(1 / len(text)) for text in TEXTS), key=lambda it: -it.expected)

    def test_without_scores_they_fall_with_the_order(self, serve: Serve) -> None:
        client = serve(sections={"breaker": {"state": "open"}})
        answer = client.post("/v2/rerank", json={"query": QUERY, "documents": TEXTS})
        assert [(result["index"], result["relevance_score"]) for result in answer.json()["results"]] == [
            (0, 1.0),
            (1, 0.75),
            (2, 0.5),
            (3, 0.25),
        ]
        assert (answer.headers["X-Semcache-Status"], answer.headers["X-Semcache-Reason"]) == ("degraded", "open")
        assert answer.headers["X-Semcache-Scores"] == "order"
