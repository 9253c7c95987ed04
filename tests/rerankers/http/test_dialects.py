"""Every dialect, against a service that speaks it."""

from collections.abc import Iterator

import numpy as np
import pytest

from semcache.rerankers import HttpReranker
from semcache.rerankers.http import DIALECTS
from tests.contracts.reranker import PAIRS, PointwiseContract
from tests.rerank_service import RerankService, relevance

DIALECT_NAMES = list(DIALECTS)


@pytest.fixture(params=DIALECT_NAMES)
def service(request: pytest.FixtureRequest) -> Iterator[RerankService]:
    with RerankService(request.param, key="sk-secret") as service:
        yield service


@pytest.fixture
def reranker(service: RerankService) -> Iterator[HttpReranker]:
    name = service.dialect
    model = "a-model" if DIALECTS[name].takes_model else None
    with HttpReranker(name, model, url=service.url, api_key="sk-secret") as reranker:
        yield reranker


class TestDialect(PointwiseContract):
    pass


def test_scores_are_kept_as_given_and_in_order(reranker: HttpReranker) -> None:
    assert reranker.score(PAIRS).tolist() == [np.float32(relevance(*pair)) for pair in PAIRS]


async def test_an_event_loop_gets_the_same(reranker: HttpReranker) -> None:
    assert (await reranker.ascore_pairs(PAIRS)).tolist() == reranker.score(PAIRS).tolist()
    await reranker.aclose()
