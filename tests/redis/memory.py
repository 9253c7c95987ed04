"""Entries of any shape, to see what they take of a server's memory."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from semcache.entries.entry import NewScores
from semcache.redis.client.connection import RedisConnection
from semcache.redis.memory import Contents
from semcache.redis.store import RedisStore
from tests.redis.conftest import fingerprint


@contextmanager
def store_of(url: str, contents: Contents) -> Iterator[RedisStore]:
    """A store that writes entries of this shape."""
    with RedisConnection(url, timeout_s=30) as connection:
        yield RedisStore(
            connection,
            namespace=contents.namespace,
            reranker="r",
            embedder="e",
            dims=contents.dims,
            vector_type=contents.vector_type,
            m=contents.m,
            ttl_s=3600 if contents.expires else None,
            signing_key="0123456789abcdef" if contents.is_signed else None,
            store_queries=contents.query_bytes > 0,
        )


def fill(store: RedisStore, contents: Contents) -> None:
    """Write as many entries as the contents have, with random vectors."""
    drawn = (
        np.random.default_rng(contents.entries).standard_normal((contents.entries, contents.dims)).astype(np.float32)
    )
    vectors = drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
    scores = [(fingerprint(number), 1.5) for number in range(contents.scores)]
    walls = max(1, contents.tenants)
    for tenant in range(walls):
        new = [
            NewScores(str(at).rjust(max(8, contents.query_bytes), "q"), vectors[at], scores, b"c" * contents.cue_bytes)
            for at in range(tenant, contents.entries, walls)
        ]
        for first in range(0, len(new), 250):
            assert all(store.remember_many(f"t{tenant}" if contents.tenants else "", new[first : first + 250]))
