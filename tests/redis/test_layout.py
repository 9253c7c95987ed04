"""Vectors come back as they were, lifetimes lie within their jitter, and impossible options are refused."""

import random

import numpy as np
import pytest

from semcache.entries.checks import Damaged
from semcache.errors import ConfigurationError, InvalidInputError
from semcache.redis.client.connection import RedisConnection
from semcache.redis.layout import Layout, Lifetime, VectorFormat, vector_attributes
from semcache.redis.store import RedisStore
from semcache.settings import Cache
from tests.redis.conftest import LAYOUT


@pytest.mark.parametrize("jitter", [-0.1, 1.0, 2.0])
def test_an_impossible_jitter_is_refused(redis_url: str, jitter: float) -> None:
    with (
        RedisConnection(redis_url) as connection,
        pytest.raises(ValueError, match=f"ttl_jitter must be .* {jitter}"),
    ):
        RedisStore(connection, **LAYOUT, ttl_jitter=jitter)


def test_an_entry_must_hold_something(redis_url: str) -> None:
    with RedisConnection(redis_url) as connection, pytest.raises(ConfigurationError, match="must be 1 to 20000, got 0"):
        RedisStore(connection, **LAYOUT, max_scores=0)


def test_the_defaults_are_those_of_the_settings() -> None:
    layout, settings = Layout.of(**LAYOUT), Cache()
    assert layout.lifetime == Lifetime(settings.ttl_s, settings.ttl_jitter)
    assert (layout.max_scores, layout.store_queries) == (settings.max_scores, settings.store_queries)


class TestVectorFormat:
    @pytest.mark.parametrize("blob", [b"", bytes(3), bytes(5)])
    def test_no_vector_is_made_of_bytes_that_are_too_few_or_too_many(self, blob: bytes) -> None:
        with pytest.raises(Damaged, match="layout"):
            VectorFormat(2, "<f2").unpack(blob)

    @pytest.mark.parametrize("numbers", [[0, 0], [1, 1], [np.nan, 1], [np.inf, 0], [6e4, 6e4]])
    def test_what_has_not_length_1_is_neither_packed_nor_unpacked(self, numbers: list[float]) -> None:
        form = VectorFormat(2, "<f2")
        assert form.pack(np.array(numbers, dtype=np.float32)) is None
        with pytest.raises(Damaged, match="number"):
            form.unpack(np.array(numbers, dtype="<f2").tobytes())

    def test_the_example_is_a_vector(self) -> None:
        form = VectorFormat(2, "<f2")
        assert form.pack(form.unpack(form.example())) == form.example()

    def test_a_rounded_vector_has_length_1_again(self) -> None:
        form = VectorFormat(3, "<f2")
        unit = np.array([1, 2, 3], dtype=np.float32) / np.float32(14**0.5)
        packed = form.pack(unit)
        assert packed is not None
        unpacked = form.unpack(packed)
        assert np.linalg.norm(unpacked) == pytest.approx(1, abs=1e-6)

    def test_another_shape_is_refused(self) -> None:
        with pytest.raises(InvalidInputError, match=r"shape \(3,\) does not fit this index of 2 dims"):
            VectorFormat(2, "<f2").pack(np.ones(3, dtype=np.float32))


class TestLifetime:
    def test_lives_lie_within_the_jitter(self) -> None:
        rng = random.Random(1)
        lives = [Lifetime(100.0, 0.1).draw_ms(None, rng) for _ in range(100)]
        assert 90_000 <= min(lives) < 95_000 < 105_000 < max(lives) <= 110_000

    def test_one_entry_may_have_a_life_of_its_own(self) -> None:
        assert Lifetime(None, 0.0).draw_ms(None, random.Random()) == 0
        assert Lifetime(None, 0.0).draw_ms(2.5, random.Random()) == 2500
        assert Lifetime(100.0, 0.0).draw_ms(0.0001, random.Random()) == 1


class TestVectorAttributes:
    def test_the_file_counts_where_nothing_else_is_given(self) -> None:
        attributes = vector_attributes(dims=384, m=None)
        assert (attributes["datatype"], attributes["m"], attributes["ef_construction"]) == ("float16", 16, 100)

    def test_a_type_that_cannot_be_written_is_refused(self) -> None:
        with pytest.raises(ConfigurationError, match="vector type 'bfloat16' cannot be written; take one of float16"):
            vector_attributes(datatype="bfloat16", dims=384)
