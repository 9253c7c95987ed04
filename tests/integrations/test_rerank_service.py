"""Cohere's own clients against the service that the HTTP rerankers are tested with, and both side by side."""

import asyncio
from collections.abc import Iterator

import cohere
import numpy as np
import pytest

from semcache.rerankers import HttpReranker, adapt
from tests.contracts.reranker import PAIRS, QUERY, TEXTS
from tests.rerank_service import Request, RerankService, relevance

EXPECTED = [np.float32(relevance(*pair)) for pair in PAIRS]


@pytest.fixture(params=["cohere", "cohere-v1"])
def service(request: pytest.FixtureRequest) -> Iterator[RerankService]:
    with RerankService(request.param, key="sk-secret") as service:
        yield service


def client_of(service: RerankService) -> cohere.Client | cohere.ClientV2:
    kind = cohere.ClientV2 if service.dialect == "cohere" else cohere.Client
    return kind("sk-secret", base_url=service.url)


def test_the_client_understands_the_service(service: RerankService) -> None:
    answer = client_of(service).rerank(model="rerank-v3.5", query=QUERY, documents=TEXTS, top_n=2)
    best = sorted(range(len(TEXTS)), key=lambda at: -relevance(QUERY, TEXTS[at]))[:2]
    assert [(result.index, result.relevance_score) for result in answer.results] == [
        (at, relevance(QUERY, TEXTS[at])) for at in best
    ]


def test_the_client_has_its_errors_from_the_service(service: RerankService) -> None:
    with pytest.raises(cohere.errors.BadRequestError, match="at most 1000"):
        client_of(service).rerank(model="m", query=QUERY, documents=["x"] * 1001)
    service.key = "another"
    with pytest.raises(cohere.errors.UnauthorizedError, match="invalid api token"):
        client_of(service).rerank(model="m", query=QUERY, documents=TEXTS)


def sent(request: Request) -> tuple[str, str, object]:
    """A request as the service sees it, without the fields that say what is left out by default."""
    body = {name: value for name, value in request.body.items() if name not in ("top_n", "return_documents")}
    return request.path, request.headers["authorization"], body


def test_ours_asks_as_the_client_does_and_reads_the_same(service: RerankService) -> None:
    with HttpReranker(service.dialect, "rerank-v3.5", url=service.url, api_key="sk-secret") as ours:
        theirs = adapt(client_of(service), model="rerank-v3.5")
        assert ours.score(PAIRS).tolist() == theirs.score(PAIRS).tolist() == EXPECTED
        assert asyncio.run(ours.ascore_pairs(PAIRS)).tolist() == EXPECTED
    first, *others = map(sent, service.requests)
    assert others == [first, first]
