"""The cached cross-encoder beside sentence-transformers' own."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sentence_transformers import CrossEncoder

from semcache import RedisSemanticCache
from semcache.errors import ConfigurationError
from semcache.integrations.sentence_transformers import CachedCrossEncoder
from semcache.settings import Settings
from tests.contracts.reranker import PAIRS, QUERY, TEXTS
from tests.fakes import WordEmbedder


@pytest.fixture(scope="module")
def model(tiny_cross_encoder: Path) -> CrossEncoder:
    return CrossEncoder(str(tiny_cross_encoder), device="cpu")


@pytest.fixture
def cache(settings: Settings) -> Iterator[RedisSemanticCache]:
    with RedisSemanticCache(embedding_model=WordEmbedder(), settings=settings) as cache:
        yield cache


@pytest.fixture
def cached(model: CrossEncoder, cache: RedisSemanticCache) -> Iterator[CachedCrossEncoder]:
    with CachedCrossEncoder(model, cache) as cached:
        yield cached


def hits(cached: CachedCrossEncoder) -> tuple[int, int]:
    """Requests that the cache answered, and requests that it saw."""
    stats = cached.get_stats()
    return stats["cache_hits"], stats["requests"]


MANY: list[Any] = [
    PAIRS,
    [list(pair) for pair in PAIRS],
    tuple(PAIRS),
    [*PAIRS, ("where is paris ?", TEXTS[1]), PAIRS[0]],
]


@pytest.mark.parametrize("inputs", [*MANY, PAIRS[0], list(PAIRS[1])])
@pytest.mark.parametrize(
    "keywords",
    [{}, {"convert_to_tensor": True}, {"convert_to_numpy": False}, {"batch_size": 2, "show_progress_bar": False}],
)
def test_predicts_what_the_model_does_fresh_and_from_the_cache(
    model: CrossEncoder, cached: CachedCrossEncoder, inputs: Any, keywords: dict[str, Any]
) -> None:
    expected = model.predict(inputs, **keywords)
    for answer in (cached.predict(inputs, **keywords), cached.predict(inputs, **keywords)):
        assert type(answer) is type(expected)
        if isinstance(expected, list):
            assert [(one.dtype, one.shape) for one in answer] == [(one.dtype, one.shape) for one in expected]
            assert torch.stack(answer).tolist() == pytest.approx(torch.stack(expected).tolist(), abs=1e-4)
        else:
            assert (answer.dtype, answer.shape) == (expected.dtype, expected.shape)
            assert answer.tolist() == pytest.approx(expected.tolist(), abs=1e-4)
    found, requests = hits(cached)
    assert found == requests / 2 > 0


@pytest.mark.parametrize("top_k", [None, 1, 2, 10])
@pytest.mark.parametrize("return_documents", [False, True])
async def test_ranks_as_the_model_does(
    model: CrossEncoder, cached: CachedCrossEncoder, top_k: int | None, return_documents: bool
) -> None:
    expected = model.rank(QUERY, TEXTS, top_k, return_documents)
    for answer in (
        cached.rank(QUERY, TEXTS, top_k, return_documents),
        cached.rank(query=QUERY, documents=np.array(TEXTS), top_k=top_k, return_documents=return_documents),
        await cached.arank(QUERY, TEXTS, top_k, return_documents),
    ):
        assert [{**one, "score": None} for one in answer] == [{**one, "score": None} for one in expected]
        assert [one["score"] for one in answer] == pytest.approx([one["score"] for one in expected], abs=1e-4)
        assert all(type(one["score"]) is float for one in answer)
    assert hits(cached) == (2, 3)


def test_keywords_that_change_scores_go_to_the_model(model: CrossEncoder, cached: CachedCrossEncoder) -> None:
    bare = torch.nn.Identity()
    assert cached.predict(PAIRS, activation_fn=bare) == pytest.approx(model.predict(PAIRS, activation_fn=bare))
    assert cached.rank(QUERY, TEXTS, activation_fn=bare) == model.rank(QUERY, TEXTS, activation_fn=bare)
    with pytest.raises(ValueError, match="prompt"):
        cached.predict(PAIRS, prompt_name="absent")
    assert hits(cached) == (0, 0)


async def test_what_is_no_text_goes_to_the_model(model: CrossEncoder, cached: CachedCrossEncoder) -> None:
    assert cached.predict([("", TEXTS[0])]) == pytest.approx(model.predict([("", TEXTS[0])]))
    assert cached.predict([]).shape == model.predict([]).shape
    assert cached.rank(QUERY, []) == await cached.arank(QUERY, []) == []
    assert cached.rank(QUERY, TEXTS, 0) == model.rank(QUERY, TEXTS, 0)
    assert hits(cached) == (0, 0)


@pytest.mark.filterwarnings("ignore:.*(sentences|num_workers)")
async def test_arguments_of_all_versions_are_taken(model: CrossEncoder, cached: CachedCrossEncoder) -> None:
    assert cached.predict(sentences=PAIRS, num_workers=2) == pytest.approx(model.predict(PAIRS), abs=1e-4)
    assert hits(cached)[1] > 0, "with keywords that change no score it goes by the cache"
    before = hits(cached)
    # Behind return_documents come arguments whose places differ between versions: the model takes them.
    expected = model.rank(QUERY, TEXTS, 2, True, None, None)
    assert cached.rank(QUERY, TEXTS, 2, True, None, None) == expected
    assert await cached.arank(QUERY, TEXTS, 2, True, None, None) == expected
    assert hits(cached) == before


def test_unknown_keywords_are_passed_on(cache: RedisSemanticCache) -> None:
    class Model:
        def __init__(self) -> None:
            self.keywords: dict[str, Any] = {}

        def predict(self, pairs: Any, **keywords: Any) -> Any:
            self.keywords = keywords
            return np.zeros(len(pairs), dtype=np.float32)

    model = Model()
    CachedCrossEncoder(model, cache).predict(PAIRS, processing_kwargs={"text": {"max_length": 4}}, batch_size=7)
    assert model.keywords == {"processing_kwargs": {"text": {"max_length": 4}}, "batch_size": 7}


def test_everything_else_is_the_models(model: CrossEncoder, cached: CachedCrossEncoder) -> None:
    assert cached.tokenizer is model.tokenizer
    assert cached.num_labels == 1
    with pytest.raises(AttributeError, match="no_such"):
        cached.no_such  # noqa: B018


def test_a_folder_is_loaded_with_the_options_of_a_cross_encoder(
    tiny_cross_encoder: Path, settings: Settings, tmp_path: Path
) -> None:
    with CachedCrossEncoder(tiny_cross_encoder, settings=settings, max_length=16, device="cpu") as cached:
        assert cached.tokenizer.model_max_length == 16
        assert len(cached.rank(QUERY, TEXTS)) == len(TEXTS)


def test_tenants_are_kept_apart(model: CrossEncoder, cache: RedisSemanticCache) -> None:
    for tenant in ("a", "b"):
        cached = CachedCrossEncoder(model, cache, tenant=tenant)
        cached.predict(PAIRS)
        assert hits(cached) == (0, 1)


def test_models_with_several_labels_and_two_caches_are_refused(
    model: CrossEncoder, cache: RedisSemanticCache, settings: Settings
) -> None:
    class Labels:
        num_labels = 3

    with pytest.raises(ConfigurationError, match="3 numbers per pair"):
        CachedCrossEncoder(Labels(), cache)
    with pytest.raises(ConfigurationError, match="pass one"):
        CachedCrossEncoder(model, cache, settings=settings)
