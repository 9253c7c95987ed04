"""The knobs of the cache: Redis, the embedder, and entries."""

import re
from typing import Literal, Self

from pydantic import SecretStr, field_validator, model_validator

from semcache.entries.codec import MAX_SCORES
from semcache.flow.policy import FlowPolicy
from semcache.flow.requests import MAX_TTL_S, is_ttl
from semcache.settings.knobs import Key, Section, knob
from semcache.settings.passwords import hidden


class Redis(Section):
    """The server, and how long it may keep a request waiting."""

    url: SecretStr = knob(
        SecretStr("redis://localhost:6379"),
        "Where Redis is: redis://, rediss://, redis+sentinel:// or unix://, or embedded to start a private one on this "
        "machine",
        reason="the address of a Redis with its own default settings",
    )
    budget_s: float = knob(
        0.05,
        "How long one request may wait for Redis, all its look-ups and writes together; the rest of it goes on without "
        "the cache. Redis is left alone while it takes longer than a fifth of this to answer",
        unit="s",
        reason="a look-up takes about 1 ms (benchmarks/results/lookup.md), and reranking 100 passages takes seconds "
        "(end_to_end.md): a server that hangs costs a small part of that, and a deadline stays the reranker's",
        gt=0,
        le=60,
    )
    timeout_s: float = knob(
        0.25,
        "How long one command may take where no single request waits for it: at the start, for a list of requests, in "
        "the background",
        unit="s",
        reason="a list of 100 look-ups takes less than 0.1 s, and the breaker opens after the first that hangs",
        gt=0,
        le=60,
    )
    connect_timeout_s: float = knob(
        0.5,
        "How long opening a connection may take; requests wait for it no longer than for anything else",
        unit="s",
        reason="TLS needs a few round trips more than a command",
        gt=0,
        le=60,
    )
    retry_after_s: float = knob(
        0.25,
        "How often a Redis that failed is asked whether it answers again, in the background",
        unit="s",
        reason="used again within a second of its return, and four small commands a second cost a server nothing",
        gt=0,
        le=3600,
    )
    max_retry_after_s: float = knob(
        5.0,
        "The longest time that Redis is not asked. Where it answers that, and fails requests again within 10 s, the "
        "time doubles up to this",
        unit="s",
        reason="at most one moment in five seconds is lost to a server that answers and cannot work",
        gt=0,
        le=3600,
    )

    read_from_replicas: bool = knob(
        False,
        "Whether replicas answer look-ups in turn with their primary, in a Redis Cluster or behind Sentinels. Writes "
        "and forgetting go to the primary",
        reason="a replica is a moment behind, so that what was just stored may be a miss; and as long as a primary has "
        "time to spare, a second server does not answer any sooner",
    )

    @field_validator("url")
    @classmethod
    def _known_scheme(cls, url: SecretStr) -> SecretStr:
        if url.get_secret_value() != "embedded" and not re.match(
            r"(rediss?(\+sentinel)?|unix)://.", url.get_secret_value()
        ):
            raise ValueError(
                "use redis://host:port, rediss://host:port, redis+sentinel://host:port/service, unix:///path/to/socket "
                "or embedded"
            )
        return url

    @model_validator(mode="after")
    def _back_off_grows(self) -> Self:
        if self.max_retry_after_s < self.retry_after_s:
            raise ValueError(
                f"max_retry_after_s {self.max_retry_after_s} is below retry_after_s {self.retry_after_s}; "
                "raise the one or lower the other"
            )
        return self

    def __repr_args__(self) -> list[tuple[str, object]]:
        return [(name, hidden(value) if name == "url" else value) for name, value in self]


class Embedder(Section):
    """The model that turns queries into vectors."""

    model: str = knob(
        "all-MiniLM-L6-v2",
        "A sentence-transformers model: hub name or folder",
        reason="small (384 dims) and fast on a CPU (benchmarks/results/embedding.md), with packaged weights (extra "
        "offline)",
        min_length=1,
    )
    backend: Literal["auto", "torch", "onnx", "onnx-int8"] = knob(
        "auto",
        "The library that runs the model: auto is onnx where the extra onnx is installed and the model has a graph or "
        "one can be made, else torch. Both give the same vectors; those of onnx-int8 are kept apart",
        reason="onnx embeds a query 2.3 times as fast as torch, and the first one of a process 6 times; onnx-int8 10 "
        "times, but its vectors have a cosine of 0.993 to the others (benchmarks/results/embedding.md, startup.md)",
    )


class Cache(Section):
    """The entries: what they hold, and how long they live."""

    namespace: str = knob(
        "default",
        "Keeps applications that share a Redis apart; part of every key. Letters, digits, dot, dash, underscore",
        reason="one application per Redis is the common case",
        pattern=r"^[A-Za-z0-9._-]{1,64}$",
    )
    ttl_s: float | None = knob(
        3600.0,
        "How long an entry lives after it was written; a hit does not extend it. none: until Redis evicts it",
        unit="s",
        reason="scores do not go stale (a changed text has another fingerprint), so this bounds memory, not error",
    )
    ttl_jitter: float = knob(
        0.1,
        "Share of the TTL by which entries expire earlier or later, at random",
        reason="entries written together must not expire together: to delete a vector takes the server as long as to "
        "insert one (benchmarks/results/recall.md)",
        ge=0,
        lt=1,
    )
    neighbours: int = knob(
        4,
        "How many similar queries one look-up fetches",
        reason="a neighbour that has expired, or that a guard refuses, must not hide the next one",
        ge=1,
        le=64,
    )
    store_queries: bool = knob(
        False,
        "Keep the text of queries in Redis, for calibration from live traffic",
        reason="queries may be personal data; no look-up needs the text",
    )
    max_query_chars: int = knob(
        FlowPolicy(None).max_query_chars,
        "Longer queries are only looked up exactly: an embedder cuts them, and two that differ only behind the cut "
        "would look equal",
        unit="characters",
        reason="MiniLM reads 256 tokens, which are 512 characters or more in most languages",
        ge=1,
        le=1_000_000,
    )
    max_scores: int = knob(
        4096,
        "Most scores one entry holds",
        unit="scores of 20 bytes",
        reason="80 KB, which is room for 40 retrievals of 100 documents and still read in one round trip",
        ge=1,
        le=MAX_SCORES,
    )
    lease_s: float = knob(
        1.0,
        "How long others that are asked the same go on waiting when the process that computes it has died; then one of "
        "them computes it. While it lives it renews its lease: for 30 s at most, or monitor.p95_threshold_s with "
        "fallbacks. Others wait for as long and one lease more, and for half of their deadline. 0: they never wait",
        unit="s",
        reason="half of the time in which rerankers have to answer (monitor.p95_threshold_s), and never more than that "
        "half; costs a miss one command in a round trip that it makes anyway, and exact hits nothing "
        "(benchmarks/results/workers.md)",
        ge=0,
        le=60,
    )
    vector_type: Literal["float16", "float32"] = knob(
        "float16",
        "Type of the vectors in Redis. Entries of another type have a scope of their own; migration.from_vector_type "
        "carries them over",
        reason="half of the memory, and the same recall (benchmarks/results/recall.md)",
    )
    m: int = knob(
        16,
        "Links per vector in the graph of the index. Another number has a scope of its own, as another vector_type",
        unit="links",
        reason="98 % of the entries at similarity 0.90 are found, with 8 95 % (benchmarks/results/recall.md)",
        ge=2,
        le=512,
    )
    ef_construction: int = knob(
        100,
        "Candidates that the server keeps when it inserts a vector into the graph. Another number has a scope of its "
        "own, as another vector_type",
        unit="candidates",
        reason="200 finds little more and takes 1.7 times as long to insert (benchmarks/results/recall.md)",
        ge=1,
        le=4096,
    )
    pin: Literal["none", "tenant"] = knob(
        "none",
        "tenant: in a Redis Cluster all entries of a tenant lie in one slot, so that its look-ups ask one shard alone. "
        "Those of the empty tenant are spread over all. none: all are spread. A change begins a new scope",
        reason="a tenant with most of the traffic would fill one shard; good for many tenants of about the same size",
    )
    signing_key: Key | None = knob(
        None,
        "A secret of 16 characters or more that entries are signed with, for a Redis that others can write to: what is "
        "not signed with it is a miss and an event. All processes need the same one; entries of another are not found",
        reason="without it entries are checked for damage, which is all that a Redis of one's own needs",
        min_length=16,
    )

    @field_validator("ttl_s")
    @classmethod
    def _lives(cls, ttl_s: float | None) -> float | None:
        if not is_ttl(ttl_s):
            raise ValueError(
                f"must be more than 0 seconds and at most {MAX_TTL_S:.0f} (ten years); for entries that never expire "
                "use none (null in YAML)"
            )
        return ttl_s
