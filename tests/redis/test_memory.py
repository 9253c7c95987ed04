"""The memory formula against what a real server says."""

from typing import Any

import numpy as np
import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from semcache.errors import ConfigurationError, InvalidInputError
from semcache.redis.earlier import Taught
from semcache.redis.memory import Contents, footprint, grown_scores_bytes, scores_bytes, size_class
from semcache.redis.memory_advice import advise
from semcache.redis.server.embedded import EmbeddedRedis
from tests.redis.conftest import fingerprint
from tests.redis.memory import fill, store_of

_DOCUMENT = b"\x01" * 16


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"vector_type": "float32"},
        {"dims": 64},
        {"dims": 1536, "vector_type": "float32"},
        {"scores": 3},
        {"scores": 400},
        {"tenants": 1},
        {"expires": False},
        {"is_signed": True},
        {"cue_bytes": 0},
        {"query_bytes": 90},
        {"listpack_value": 64},
        {"listpack_value": 64, "tenants": 1, "query_bytes": 300},
        {"namespace": "a-namespace-with-a-much-longer-name"},
    ],
    ids=str,
)
def test_both_keys_of_an_entry_take_what_the_formula_says(own_server: EmbeddedRedis, changed: dict[str, Any]) -> None:
    contents = Contents(**{"entries": 1, "dims": 384, "namespace": "memory", **changed})
    with redis.Redis.from_url(own_server.url) as client, store_of(own_server.url, contents) as store:
        client.config_set("hash-max-listpack-value", contents.listpack_value)
        fill(store, contents)
        keys = list(client.scan_iter(f"semcache:{contents.namespace}:*"))
        used = {client.type(key): client.memory_usage(key, samples=0) for key in keys}
    said = footprint(contents)
    assert used == {b"hash": said.hashes, b"string": said.strings}


@pytest.mark.parametrize(
    "contents",
    [
        Contents(entries=3000, dims=384),
        Contents(entries=2500, dims=64, scores=10, vector_type="float32"),
        Contents(entries=2000, dims=64, scores=100, m=32, is_signed=True, expires=False),
        Contents(entries=2000, dims=64, tenants=500),
    ],
    ids=lambda contents: f"{contents.entries} of {contents.dims} {contents.vector_type}",
)
def test_a_server_uses_what_the_formula_says_within_three_percent(
    own_server: EmbeddedRedis, contents: Contents
) -> None:
    with redis.Redis.from_url(own_server.url) as client, store_of(own_server.url, contents) as store:
        fill(store, contents)
        used = client.info("memory")["used_memory"]
    assert footprint(contents).total == pytest.approx(used, rel=0.03)


def test_an_entry_that_grew_takes_up_to_twice_the_bytes(own_server: EmbeddedRedis) -> None:
    contents = Contents(entries=1, dims=16, namespace="memory", scores=51)
    with redis.Redis.from_url(own_server.url) as client, store_of(own_server.url, contents) as store:
        for scores in ([(fingerprint(number), 1.5) for number in range(50)], [(_DOCUMENT, 1.5)]):
            store.remember("", "qqqqqqqq", None, scores)
        (key,) = client.scan_iter("semcache:memory:*")
        used = client.memory_usage(key, samples=0)
    key_bytes = footprint(contents).strings - scores_bytes(contents)
    assert used - key_bytes == pytest.approx(grown_scores_bytes(contents), rel=0.03)


@pytest.mark.parametrize(
    ("size", "set_aside"),
    [(1, 8), (24, 24), (41, 48), (65, 80), (128, 128), (129, 160), (786_440, 917_504), (2**20 + 8, 1_310_720)],
)
def test_size_classes_are_those_of_jemalloc(size: int, set_aside: int) -> None:
    assert size_class(size) == set_aside


@given(st.integers(1, 2**40))
def test_a_size_class_wastes_a_fifth_at_most(size: int) -> None:
    assert size <= size_class(size) <= max(8, 1.25 * size + 16)
    assert size_class(size_class(size)) == size_class(size)


@given(st.integers(1, 10**8), st.integers(1, 4000), st.integers(1, 20_000), st.sampled_from(["float16", "float32"]))
def test_more_of_anything_never_takes_less(entries: int, dims: int, scores: int, vector_type: str) -> None:
    less = footprint(Contents(entries=entries, dims=dims, scores=scores, vector_type=vector_type))
    more = footprint(
        Contents(entries=2 * entries, dims=dims + 8, scores=min(20_000, 2 * scores), vector_type="float32", tenants=3)
    )
    assert more.total > less.total


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"entries": 0}, "entries is 0"),
        ({"dims": -1}, "dims is -1"),
        ({"scores": 20_001}, "scores"),
        ({"m": 1}, "m is"),
    ],
)
def test_numbers_that_cannot_be_are_refused(wrong: dict[str, int], named: str) -> None:
    with pytest.raises(InvalidInputError, match=named):
        Contents(**{"entries": 1, "dims": 8, **wrong})  # type: ignore[arg-type]


def test_a_type_that_semcache_cannot_write_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="bfloat16"):
        Contents(entries=1, dims=8, vector_type="bfloat16")


def test_advice_leaves_room_and_shares_out() -> None:
    contents = Contents(entries=1_000_000, dims=384, documents=50_000, has_document_vectors=True)
    one, three = advise(contents), advise(contents, 3)
    assert 1.15 * one.expected < one.maxmemory < one.machine < one.machine_saving
    # The fullest shard has a little more than its third.
    assert one.maxmemory / 3 < three.maxmemory < 1.05 * one.maxmemory / 3
    with pytest.raises(InvalidInputError, match="shards is 0"):
        advise(contents, 0)


def test_what_is_kept_of_documents_takes_what_the_formula_says(own_server: EmbeddedRedis) -> None:
    documents = 2000
    contents = Contents(entries=1, dims=384, namespace="memory", documents=documents, has_document_vectors=True)
    fingerprints = [fingerprint(number) for number in range(documents)]
    vectors = np.ones((documents, contents.dims), dtype=np.float32) / contents.dims**0.5
    with redis.Redis.from_url(own_server.url) as client, store_of(own_server.url, contents) as store:
        fill(store, contents)
        before = client.info("memory")["used_memory"]
        for first in range(0, documents, 100):
            some = slice(first, first + 100)
            store.keep_document_vectors("", fingerprints[some], vectors[some], 10 * documents)
            store.add_earlier("", [Taught(f"q{first}", fingerprints[some], np.ones(100))], 10 * documents)
        grown = client.info("memory")["used_memory"] - before
    assert footprint(contents).documents == pytest.approx(grown, rel=0.1)
