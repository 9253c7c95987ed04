"""Finds the real libraries that these tests use. Files whose library is not there are named at the end of the run."""

import os
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from semcache import CachedReranker, RedisSemanticCache
from semcache.settings import Settings
from tests.fakes import CountingReranker, WordEmbedder

_FOLDER = Path(__file__).parents[2] / os.environ.get("INTEGRATIONS_FOLDER", ".integrations")
"""Where `make test` installs them: not into .venv, since the package itself must not come to need them.

`make test-oldest` names the folder with the oldest versions that semcache supports.
"""

# Last, so that nothing in .venv is replaced by what is installed there.
sys.path.append(str(_FOLDER))
# Haystack reports its use over the network unless it is told not to.
os.environ["HAYSTACK_TELEMETRY_ENABLED"] = "False"

_LIBRARIES = {
    "test_answerdotai.py": "rerankers",
    "test_cohere.py": "cohere",
    "test_dspy.py": "dspy",
    "test_examples.py": "langchain_classic",
    "test_flashrank.py": "flashrank",
    "test_haystack.py": "haystack",
    "test_haystack_ranker.py": "haystack",
    "test_langchain.py": "langchain_core",
    "test_langchain_compressor.py": "langchain_core",
    "test_langchain_standard.py": "langchain_tests",
    "test_llama_index.py": "llama_index",
    "test_llama_index_rerank.py": "llama_index",
    "test_rerank_service.py": "cohere",
    "test_server.py": "cohere",
}
_missing = {file: library for file, library in _LIBRARIES.items() if find_spec(library) is None}

collect_ignore = list(_missing)


def pytest_configure(config: pytest.Config) -> None:
    """Name the markers that LangChain's standard tests for chat models use when they are imported."""
    for marker in ("benchmark", "vcr"):
        config.addinivalue_line("markers", f"{marker}: of LangChain's standard tests for chat models, not run here")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _missing:
        terminalreporter.write_line(
            f"NOT RUN in tests/integrations: {', '.join(_missing)}, since {', '.join(_missing.values())} cannot be "
            f"imported. `make test` installs them into {_FOLDER.name} when PyPI can be reached.",
            yellow=True,
        )


@pytest.fixture
def settings(redis_url: str, namespace: str) -> Settings:
    """Settings of a namespace of its own, without chance."""
    return Settings(redis={"url": redis_url}, cache={"namespace": namespace}, reuse={"audit_rate": 0})


@pytest.fixture
def model() -> CountingReranker:
    """The reranker behind the cache, which remembers what it was asked."""
    return CountingReranker()


@pytest.fixture
def cached(model: CountingReranker, settings: Settings) -> Iterator[CachedReranker]:
    """A ready reranker as an application passes it to an integration."""
    with CachedReranker(model, RedisSemanticCache(embedding_model=WordEmbedder(), settings=settings)) as cached:
        yield cached
