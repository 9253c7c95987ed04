"""Rankers of answerdotai's ``rerankers``: their scores where they score, their order where they only order."""

import json
from pathlib import Path
from typing import Any

import pytest
import requests
import rerankers
from rerankers.models.api_rankers import APIRanker
from rerankers.models.ranker import BaseRanker
from rerankers.results import RankedResults, Result
from rerankers.utils import prep_docs

from semcache.protocols import Reranker
from semcache.rerankers import CrossEncoderReranker, adapt
from tests.contracts.reranker import PAIRS, QUERY, TEXTS, ListwiseContract, PointwiseContract


class Longest(BaseRanker):
    """A ranker of one's own, with scores or without."""

    def __init__(self, *, has_scores: bool) -> None:
        self.model_name = "longest"
        self.has_scores = has_scores

    def score(self, query: str, doc: str) -> float:
        return float(len(doc))

    def rank(self, query: str, docs: Any, doc_ids: Any = None, metadata: Any = None) -> RankedResults:
        ranked = sorted(prep_docs(docs, doc_ids, metadata), key=lambda doc: -len(doc.text))
        results = [
            Result(document=doc, score=float(len(doc.text)) if self.has_scores else None, rank=place)
            for place, doc in enumerate(ranked, 1)
        ]
        return RankedResults(results=results, query=query, has_scores=self.has_scores)


class TestRankerWithScores(PointwiseContract):
    @pytest.fixture
    def reranker(self) -> Reranker:
        return adapt(Longest(has_scores=True))

    def test_gives_them(self, reranker: Reranker) -> None:
        assert reranker.score(PAIRS).tolist() == [float(len(text)) for text in TEXTS]


class TestRankerWithoutScores(ListwiseContract):
    @pytest.fixture
    def reranker(self) -> Reranker:
        return adapt(Longest(has_scores=False))

    def test_gives_places(self, reranker: Reranker) -> None:
        assert reranker.score(PAIRS).tolist() == [3.0, 2.0, 1.0]


def test_a_ranker_of_a_cross_encoder_gives_its_logits(tiny_cross_encoder: Path) -> None:
    from sentence_transformers import CrossEncoder
    from torch.nn import Identity

    ranker = rerankers.Reranker(
        str(tiny_cross_encoder), model_type="cross-encoder", verbose=0, dtype="float32", device="cpu"
    )
    model = CrossEncoder(str(tiny_cross_encoder), device="cpu", activation_fn=Identity())
    reranker = adapt(ranker, name="tiny")
    assert not reranker.listwise
    assert reranker.score(PAIRS) == pytest.approx(CrossEncoderReranker(model).score(PAIRS), abs=1e-4)
    # Of a single document the library gives no list.
    assert reranker.score(PAIRS[:1]) == pytest.approx(reranker.score(PAIRS)[:1], abs=1e-4)


class Answer:
    """The answer to ``requests.post`` of a service that scores by length."""

    def __init__(self, sent: dict[str, Any]) -> None:
        lengths = list(enumerate(map(len, sent["documents"])))
        best = sorted(lengths, key=lambda at: -at[1])[: sent["top_n"]]
        self._results = [{"index": at, "relevance_score": length / 100} for at, length in best]

    def json(self) -> dict[str, Any]:
        return {"results": self._results}


def test_an_api_ranker_is_asked_only_when_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[dict[str, Any]] = []

    def post(url: str, headers: dict[str, str], data: str) -> Answer:
        sent.append(json.loads(data))
        return Answer(sent[-1])

    monkeypatch.setattr(requests, "post", post)
    reranker = adapt(APIRanker("rerank-english-v3.0", "key", "cohere", verbose=0))
    # Its class says that it scores, so that no call is needed to find out.
    assert not reranker.listwise
    assert not sent
    assert reranker.score(PAIRS).tolist() == pytest.approx([len(text) / 100 for text in TEXTS])
    assert [request["documents"] for request in sent] == [TEXTS]
    assert sent[0]["query"] == QUERY
