"""A rerank service as a rung of the ladder: from the settings to answers, failures and the end of its connections."""

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from semcache import OptimizedRerankerPipeline
from semcache.events import Event
from semcache.rerankers.build import build
from semcache.rerankers.http import DIALECTS
from semcache.settings import Settings
from tests.fakes import WordEmbedder
from tests.rerank_service import RerankService, Response, relevance

QUERY = "how far is the moon"
PASSAGES = [f"passage {number} about {'the moon' if number % 3 else 'a car'}" for number in range(40)]
BEST = sorted((relevance(QUERY, text) for text in PASSAGES), reverse=True)[:3]
DOCS = (Path(__file__).parent.parent / "docs" / "services.md").read_text()


@pytest.fixture
def service() -> Iterator[RerankService]:
    with RerankService("tei", key="sk-geheim-1") as service:
        yield service


@pytest.fixture
def knobs(service: RerankService, namespace: str, redis_url: str) -> Settings:
    rung = {"kind": "http", "dialect": "tei", "url": service.url, "api_key": "sk-geheim-1"}
    return Settings(
        redis={"url": redis_url},
        cache={"namespace": namespace},
        reuse={"audit_rate": 0},
        rerankers=[rung, {"kind": "retrieval-order"}],
    )


def asked(service: RerankService) -> int:
    """How many documents of the request were sent; the probes are not counted."""
    return sum(len(request.body["texts"]) for request in service.requests if request.body["query"] == QUERY)


def test_a_service_is_asked_once_by_threads(knobs: Settings, service: RerankService) -> None:
    with OptimizedRerankerPipeline.from_settings(knobs, embedder=WordEmbedder()) as pipeline:
        first = pipeline.rerank(QUERY, PASSAGES, 3)
        assert (first.status, list(first.scores or ()), first.reranker) == ("fresh", BEST, f"tei@{service.url[7:]}")
        assert pipeline.rerank(QUERY, PASSAGES, 3).status == "exact"
        assert asked(service) == len(PASSAGES)
    assert service.all_closed()


def test_a_service_is_asked_once_by_event_loops(knobs: Settings, service: RerankService) -> None:
    async def main() -> list[str]:
        async with OptimizedRerankerPipeline.from_settings(knobs, embedder=WordEmbedder()) as pipeline:
            return [(await pipeline.arerank(QUERY, PASSAGES, 3)).status for _ in range(2)]

    assert asyncio.run(main()) == ["fresh", "exact"]
    assert asked(service) == len(PASSAGES)
    assert service.all_closed()


def test_other_options_are_another_scorer(knobs: Settings, service: RerankService) -> None:
    for options, status in ((None, "fresh"), ({"raw_scores": True}, "fresh"), (None, "exact")):
        rung = knobs.rerankers[0].model_copy(update={"options": options})
        settings = knobs.model_copy(update={"rerankers": (rung, knobs.rerankers[1])})
        with OptimizedRerankerPipeline.from_settings(settings, embedder=WordEmbedder()) as pipeline:
            assert pipeline.rerank(QUERY, PASSAGES, 3).status == status


def test_a_service_that_fails_is_told_without_its_key(knobs: Settings, service: RerankService) -> None:
    heard: list[Event] = []
    with OptimizedRerankerPipeline.from_settings(knobs, embedder=WordEmbedder(), observers=[heard.append]) as pipeline:
        service.always = lambda handler, request: Response(
            {"message": f"bad key {request.headers['authorization']} for {request.body['query']}"}, 401
        )
        ranking = pipeline.rerank(QUERY, PASSAGES, 3)
        assert (ranking.status, ranking.reason, list(ranking)) == ("degraded", "error", PASSAGES[:3])
        said = repr((heard, pipeline.get_stats(), pipeline.reranker))
    assert "401 Unauthorized" in said
    assert "geheim" not in said
    assert QUERY not in said


def test_the_settings_of_the_docs_can_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    blocks: list[Any] = [yaml.safe_load(text) for text in re.findall(r"^```yaml\n(.*?)^```", DOCS, re.M | re.S)]
    assert len(blocks) == 2
    for variable in ("CO_API_KEY", "RERANK_KEY"):
        monkeypatch.setenv(variable, "key")
    names = [build(rung, WordEmbedder()).name for block in blocks for rung in Settings(**block).rerankers]
    assert names[0] == "cohere/rerank-v3.5@api.cohere.com"
    assert names[2] == "tei@rerank.internal"


def test_the_docs_list_every_dialect_as_it_is() -> None:
    rows = {
        row[0]: row[1:]
        for row in re.findall(r"^\| `([\w-]+)` \| (.+?) \| `(.+?)` \| `(.+?)` \| (.+?) \| (.+?) \|$", DOCS, re.M)
    }
    assert rows.keys() == DIALECTS.keys()
    for name, (url, sent, answered, most, variable) in rows.items():
        dialect = DIALECTS[name]
        assert url.replace("`", "") == (dialect.url + dialect.path if dialect.url else f"your server, {dialect.path}")
        assert sent == dialect.documents
        assert answered == (f"{dialect.results}[].{dialect.score}" if dialect.results else f"[].{dialect.score}")
        assert most.replace(",", "") == str(dialect.max_pairs_per_call or "any")
        assert variable.replace("`", "") == (dialect.key_variable or "none")
