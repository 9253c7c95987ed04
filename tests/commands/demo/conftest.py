"""The corpus of the demo, and a whole replay with small models that several files look at."""

import pytest

from semcache.commands.demo.corpus import Corpus, load_corpus
from semcache.commands.demo.run import DemoResult, run_demo
from semcache.commands.models import Models
from tests.fakes import CountingReranker, WordEmbedder

REQUESTS = 150
Steps = list[tuple[str, int, int]]


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return load_corpus()


@pytest.fixture(scope="module")
def steps() -> Steps:
    return []


@pytest.fixture(scope="module")
def result(steps: Steps) -> DemoResult:
    models = Models(WordEmbedder(), CountingReranker())
    return run_demo(REQUESTS, 7, models, lambda task, step, of: steps.append((task, step, of)))
