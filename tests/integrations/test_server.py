"""Cohere's own clients against `semcache serve`: only their base url is another one."""

import asyncio
import re
import shlex
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cohere
import pytest
import yaml

from semcache import OptimizedRerankerPipeline
from semcache.server import create_app
from semcache.settings import Settings
from tests.fakes import CountingReranker, WordEmbedder
from tests.server.running import running

DOCS = (Path(__file__).parents[2] / "docs" / "server.md").read_text()
KEY = "sk-0123456789abcdef"
QUERY = "how far is the moon"
TEXTS = [f"text {number} of {'the moon' if number % 3 else 'a car'}" for number in range(40)]


@pytest.fixture
def pipeline(redis_url: str, namespace: str, model: CountingReranker) -> Iterator[OptimizedRerankerPipeline]:
    settings = Settings(
        redis={"url": redis_url, "timeout_s": 5},
        cache={"namespace": namespace},
        reuse={"audit_rate": 0},
        server={"api_keys": KEY},
    )
    with OptimizedRerankerPipeline(model, None, embedding_model=WordEmbedder(), settings=settings) as pipeline:
        yield pipeline


@pytest.fixture
def url(pipeline: OptimizedRerankerPipeline) -> Iterator[str]:
    with running(create_app(pipeline, settings=Settings(server={"api_keys": KEY}))) as url:
        yield url


@pytest.fixture
def best(model: CountingReranker) -> list[int]:
    """The order without a cache."""
    return sorted(range(len(TEXTS)), key=lambda at: -model.score_of(QUERY, TEXTS[at]))


@pytest.mark.parametrize("kind", [cohere.Client, cohere.ClientV2])
def test_the_order_is_that_without_a_cache_and_the_second_call_an_exact_hit(
    kind: type[cohere.Client] | type[cohere.ClientV2], url: str, best: list[int], pipeline: OptimizedRerankerPipeline
) -> None:
    client = kind(KEY, base_url=url)
    answers = [client.rerank(model="rerank-v3.5", query=QUERY, documents=TEXTS, top_n=10) for _ in range(2)]
    for answer in answers:
        assert [result.index for result in answer.results] == best[:10]
        assert all(0 <= result.relevance_score <= 1 for result in answer.results)
    statuses = pipeline.get_stats()["cache"]["by_status"]
    assert (statuses["fresh"], statuses["exact"]) == (1, 1)


def test_headers_can_be_read_by_the_client(url: str) -> None:
    client = cohere.ClientV2(KEY, base_url=url)
    answer = client.with_raw_response.rerank(model="rerank-v3.5", query=QUERY, documents=TEXTS)
    assert answer.headers["x-semcache-status"] == "fresh"


def test_an_asynchronous_client(url: str, best: list[int]) -> None:
    async def main() -> list[int]:
        async with cohere.AsyncClientV2(KEY, base_url=url) as client:
            answer = await client.rerank(model="rerank-v3.5", query=QUERY, documents=TEXTS)
        return [result.index for result in answer.results]

    assert asyncio.run(main()) == best


def test_errors_are_those_that_the_client_knows(url: str) -> None:
    with pytest.raises(cohere.errors.UnauthorizedError, match="API key"):
        cohere.ClientV2("sk-another-0123456", base_url=url).rerank(model="m", query=QUERY, documents=TEXTS)
    with pytest.raises(cohere.errors.UnprocessableEntityError, match="no documents"):
        cohere.ClientV2(KEY, base_url=url).rerank(model="m", query=QUERY, documents=[])


def test_many_clients_at_once_lose_no_request(url: str, best: list[int], model: CountingReranker) -> None:
    clients = [cohere.ClientV2(KEY, base_url=url) for _ in range(10)]

    def ask(number: int) -> list[int]:
        answer = clients[number % 10].rerank(model="m", query=QUERY, documents=TEXTS, top_n=5)
        return [result.index for result in answer.results]

    with ThreadPoolExecutor(10) as threads:
        assert all(order == best[:5] for order in threads.map(ask, range(50)))
    # One flight of equal requests, or the cache: the model was asked once about each pair, and for its probes.
    assert len([pair for pair in model.pairs if pair[0] == QUERY]) == len(TEXTS)


def test_the_examples_of_the_docs_get_the_document_that_answers(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    def shared_words(query: str, texts: list[str]) -> list[float]:
        return [len(set(query.split()) & set(text.lower().split())) for text in texts]

    words = OptimizedRerankerPipeline(shared_words, None, embedding_model=WordEmbedder(), settings=settings)
    blocks = dict(re.findall(r"^```(bash|python)\n(.*?)^```", DOCS[: DOCS.index("| route")], re.M | re.S))
    with words, running(create_app(words, settings=settings)) as url:
        exec(blocks["python"].replace("http://localhost:8080", url), {})
        assert capsys.readouterr().out.startswith("1 0.")
        command = shlex.split(blocks["bash"].replace("\\\n", "").replace("http://localhost:8080", url))
        answer = subprocess.run([*command, "--silent"], capture_output=True, text=True, check=True).stdout
    assert "HTTP/1.1 200 OK" in answer
    assert '"index":1' in answer


def test_the_settings_of_the_docs_can_be_used() -> None:
    [block] = re.findall(r"^```yaml\n(.*?)^```", DOCS, re.M | re.S)
    assert Settings(**yaml.safe_load(block)).server.workers == 2
