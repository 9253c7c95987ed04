"""What lies in Redis: every key and value of a busy cache, searched for the texts of callers."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import redis

from semcache.identity.kinds import IdentifiedBy
from semcache.pipeline import OptimizedRerankerPipeline
from semcache.protocols import FloatArray, Pair
from semcache.ranking import Status
from semcache.redis.server.embedded import EmbeddedRedis
from semcache.settings import Settings
from tests.fakes import CountingReranker, WordEmbedder
from tests.scripted import PATIENCE_S

WORDS = ("quetzal", "jalapeno", "obsidian", "marimba")
"""Of queries. No name of a key, a field or a model has any of them."""
DOCUMENT_WORDS = ("xylophone", "kumquat")
TENANT = "walrus-industries"
DOCUMENTS = [f"{DOCUMENT_WORDS[0]} number {n} with {DOCUMENT_WORDS[1]} {n * n}" for n in range(20)]
KINDS = {"v", "s", "e", "tv", "ts", "te", "d", "td", "n", "q", "l", "z", "probes"}
"""Of keys: entries, vectors of documents, and what is learned from requests and known of models."""


class Failing(CountingReranker):
    """Fails when it is told to, so that requests are repaired."""

    is_failing = False

    def score(self, pairs: Sequence[Pair]) -> FloatArray:
        if self.is_failing:
            raise RuntimeError("scripted")
        return super().score(pairs)


class Probed(WordEmbedder):
    """Told apart from others of its name by its answer to a probe, which is stored."""

    identified_by = IdentifiedBy.PROBE


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedRedis]:
    """A server of its own, so that keys under every name can be looked at."""
    with EmbeddedRedis() as server:
        yield server


@pytest.mark.parametrize(
    ("guard", "signing_key", "store_queries"),
    [("facts", None, False), ("strict", "a secret of our own", False), ("facts", "a secret of our own", True)],
)
def test_no_text_but_queries_that_are_asked_for(
    server: EmbeddedRedis, guard: str, signing_key: str | None, store_queries: bool
) -> None:
    settings = Settings(
        cache={"namespace": "rest", "store_queries": store_queries, "signing_key": signing_key},
        reuse={"audit_rate": 1, "reuse_threshold": 0.85, "guard": guard},
        prune={"mode": "on", "document_vectors": "embed"},
    )
    with redis.Redis.from_url(server.url, protocol=2) as client:
        client.flushall()
        with OptimizedRerankerPipeline(
            Failing(), None, server.url, embedding_model=Probed(), settings=settings
        ) as pipeline:
            _use(pipeline)
        stored = dict(_everything(client))
    assert {_kind(key) for key in stored} == KINDS
    for key, values in stored.items():
        texts = [key, *(value for name, value in values if name != b"query")]
        assert not [word for word in (*WORDS, *DOCUMENT_WORDS, TENANT) for text in texts if word.encode() in text]
        queries = [value for name, value in values if name == b"query"]
        assert bool(queries) == (store_queries and _kind(key) in ("v", "tv"))
        assert not [word for word in (*DOCUMENT_WORDS, TENANT) for query in queries if word.encode() in query]


def _use(pipeline: OptimizedRerankerPipeline) -> None:
    """Requests of every kind, and all that happens in the background after them."""
    pipeline.audit.pruning.share_of_time = math.inf
    first = " ".join(WORDS)
    statuses = {
        pipeline.rerank(query, documents, 5, tenant=tenant).status
        for tenant in ("", TENANT)
        for query, documents in (
            (first, DOCUMENTS[:15]),
            (first, DOCUMENTS),
            (first, DOCUMENTS),
            *((f"{first} {n}", DOCUMENTS) for n in range(10)),
            (f"{WORDS[0]} {WORDS[1]} {WORDS[2]} once", DOCUMENTS),
        )
    }
    assert {Status.FRESH, Status.PARTIAL, Status.EXACT, Status.VERIFIED} <= statuses
    for n in range(60):  # from which pruning learns
        pipeline.rerank(f"{WORDS[n % 4]} {7**n}", DOCUMENTS, 5, tenant=("", TENANT)[n % 2])
    primary: Any = pipeline.reranker.primary_reranker.reranker
    primary.is_failing = True
    assert pipeline.rerank(f"degraded {first}", DOCUMENTS, tenant=TENANT).status is Status.DEGRADED
    primary.is_failing = False
    # Repairs wait until the primary has answered again.
    assert pipeline.rerank("unlike all others before", DOCUMENTS, tenant=TENANT).status is Status.FRESH
    pipeline.cache.set(f"{first} as a list", DOCUMENTS, DOCUMENTS[:3])
    pipeline.cache.forget(document=DOCUMENTS[3])
    assert pipeline.audit.drain(PATIENCE_S)
    assert pipeline.repairs.drain(PATIENCE_S)


def _everything(client: redis.Redis) -> Iterator[tuple[bytes, list[tuple[bytes, bytes]]]]:
    """Every key of the server with its fields; a string is one field without a name."""
    for key in client.scan_iter():
        kind = client.type(key)
        assert kind in (b"hash", b"string")
        yield key, list(client.hgetall(key).items()) if kind == b"hash" else [(b"", client.get(key))]


def _kind(key: bytes) -> str:
    parts = key.decode().split(":")
    return parts[2] if parts[2] == "probes" else parts[3]
