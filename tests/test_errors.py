"""Errors and results go through pickle and copy: to worker processes, and back."""

import copy
import pickle
from collections.abc import Callable

import pytest

import semcache
from semcache import errors
from semcache.cached import CachedReranker
from semcache.documents import Document
from semcache.settings import Settings
from tests.fakes import CountingReranker, WordEmbedder

CLASSES = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.SemcacheError)]

Way = Callable[[object], object]
WAYS: list[Way] = [lambda value: pickle.loads(pickle.dumps(value)), copy.copy, copy.deepcopy]


def example(kind: type[errors.SemcacheError]) -> errors.SemcacheError:
    return kind("torch", "all") if kind is errors.MissingExtraError else kind("a message")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", CLASSES)
def test_every_error_comes_back_as_it_went(kind: type[errors.SemcacheError], way: Way) -> None:
    error = example(kind)
    error.add_note("while serving request 7")
    back = way(error)
    assert type(back) is kind
    assert (str(back), back.args, back.__notes__) == (str(error), error.args, error.__notes__)


def test_a_missing_extra_says_what_and_which() -> None:
    error = pickle.loads(pickle.dumps(errors.MissingExtraError("torch", "all")))
    assert (error.what, error.extra) == ("torch", "all")
    assert str(error) == "torch is not installed; run: pip install 'redis-semcache[all]'"


@pytest.mark.parametrize("way", WAYS)
def test_results_come_back_as_they_went(redis_url: str, namespace: str, way: Way) -> None:
    documents = [Document("a moon"), {"text": "a sun"}, "a star"]
    settings = Settings(cache={"namespace": namespace})
    with CachedReranker(
        CountingReranker(), semcache.RedisSemanticCache(redis_url, WordEmbedder(), settings=settings)
    ) as reranker:
        ranking = reranker.rerank("how far is the moon", documents)
        lookup = reranker.cache.lookup("how far is the moon", documents)
        (neighbour,) = reranker.cache.neighbours(WordEmbedder().embed(["how far is the moon"])[0])
    for value in (ranking, lookup, neighbour):
        back = way(value)
        assert type(back) is type(value)
        assert repr(back) == repr(value)
    assert list(way(ranking)) == list(ranking)
    assert way(ranking).status is ranking.status
