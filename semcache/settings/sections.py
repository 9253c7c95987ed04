"""The sections of the settings and every knob in them."""

import re
from typing import Literal, Self

from pydantic import SecretStr, field_validator, model_validator

from semcache.flow.requests import is_ttl
from semcache.settings.knobs import Section, hidden, knob


class Redis(Section):
    """The server, and how long it may keep a request waiting."""

    url: SecretStr = knob(
        SecretStr("redis://localhost:6379"),
        "Where Redis is: redis://, rediss:// or unix://, or embedded to start a private one on this machine",
        reason="where a Redis listens unless told otherwise",
    )
    timeout_s: float = knob(
        0.25,
        "How long one command may take before the cache step counts as failed",
        unit="s",
        reason="a look-up takes about 1 ms, reranking about 1 s: a frozen server then costs a quarter of that",
        gt=0,
        le=60,
    )
    connect_timeout_s: float = knob(
        0.5,
        "How long opening a connection may take",
        unit="s",
        reason="TLS needs a few round trips more than a command",
        gt=0,
        le=60,
    )
    retry_after_s: float = knob(
        1.0,
        "How long Redis is left alone after it failed; doubles with every further failure",
        unit="s",
        reason="at most one request per second waits for a dead server",
        gt=0,
        le=3600,
    )
    max_retry_after_s: float = knob(
        30.0,
        "The longest time Redis is left alone",
        unit="s",
        reason="a restarted server is used again within half a minute",
        gt=0,
        le=3600,
    )

    @field_validator("url")
    @classmethod
    def _known_scheme(cls, url: SecretStr) -> SecretStr:
        if url.get_secret_value() != "embedded" and not re.match(r"(rediss?|unix)://.", url.get_secret_value()):
            raise ValueError("use redis://host:port, rediss://host:port, unix:///path/to/socket, or embedded")
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
    """What turns queries into vectors."""

    model: str = knob(
        "all-MiniLM-L6-v2",
        "A sentence-transformers model: hub name or folder",
        reason="384 dims, 4-15 ms per query on a CPU, and packaged weights exist (extra offline)",
        min_length=1,
    )
    backend: Literal["torch", "onnx", "onnx-int8"] = knob(
        "torch",
        "What runs the model. Vectors of different backends never meet",
        reason="needs no extra; onnx is about 3 times faster, onnx-int8 about 8 times (cosine to torch 0.993)",
    )


class Cache(Section):
    """What is remembered, and for how long."""

    namespace: str = knob(
        "default",
        "Keeps applications apart that share a Redis; part of every key. Letters, digits, dot, dash, underscore",
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
        reason="deleting vectors costs the server more than inserting them: spread it",
        ge=0,
        lt=1,
    )
    neighbours: int = knob(
        4,
        "How many similar queries one look-up fetches",
        reason="expired or vetoed ones must not hide the next; under heavy expiry 18 % were expired",
        ge=1,
        le=64,
    )
    store_queries: bool = knob(
        False,
        "Keep the text of queries in Redis, for calibration from live traffic",
        reason="queries may be personal data; no look-up needs the text",
    )
    max_query_chars: int = knob(
        512,
        "Longer queries are only looked up exactly: an embedder cuts them, and two that differ in the rest look equal",
        unit="characters",
        reason="MiniLM reads 256 tokens; 2 characters per token is on the safe side for most languages",
        ge=1,
        le=1_000_000,
    )
    max_scores: int = knob(
        4096,
        "Most scores one entry holds",
        unit="scores of 20 bytes",
        reason="80 KB: room for 40 retrievals of 100 documents, still read in one round trip",
        ge=1,
        le=1_000_000,
    )

    @field_validator("ttl_s")
    @classmethod
    def _lives(cls, ttl_s: float | None) -> float | None:
        if not is_ttl(ttl_s):
            raise ValueError("must be more than 0 seconds; for entries that never expire use none (null in YAML)")
        return ttl_s


class Reuse(Section):
    """When scores of a similar query are used, and how they are verified."""

    trust_threshold: float = knob(
        0.97,
        "Cosine similarity from which a similar query's scores are served without asking the reranker",
        reason="unasked reuse loses 0.05 nDCG@10 on its worst 5 % of requests from 0.97 on, 0.09 below that",
        ge=-1,
        le=1,
    )
    reuse_threshold: float = knob(
        0.60,
        "Cosine similarity from which a similar query's scores decide which documents need not be asked about",
        reason="verified from 0.60 on (TREC DL 2019): nDCG@10 +0.009, worst 5 % -0.022, 65 % of the pairs avoided",
        ge=-1,
        le=1,
    )
    confidence: float = knob(
        1.0,
        "z: a document is asked about while cached score + median drift + z x spread could reach the top k",
        unit="spreads",
        reason="z 0 loses 0.059 nDCG@10 on the worst 5 % of requests and avoids 74 % of the pairs; z 1 0.022 and 65 %, "
        "z 1.5 nothing and 59 %",
        ge=0,
        le=10,
    )
    max_rounds: int = knob(
        3,
        "Most times one verification asks the reranker; after that it stops, and the ranking says so",
        unit="rounds",
        reason="a first, a few promising ones, and all that could still reach the top k: two on average",
        ge=1,
        le=100,
    )
    max_pairs_share: float = knob(
        1.0,
        "Share of the candidates a verification may ask about although a neighbour knows them; then it stops, and the "
        "ranking says so",
        reason="quality first: below 1 a top k may hold scores made for another query",
        formerly="max_pairs",
        gt=0,
        le=1,
    )
    drift_limit: float | None = knob(
        None,
        "Drift (median or spread) above which everything is asked about; none: no limit",
        unit="standard deviations of the candidates' cached scores",
        reason="the bound grows with the spread by itself, so a limit asks for more and improves nothing",
        gt=0,
    )
    audit_rate: float = knob(
        0.01,
        "Share of hits scored afresh in the background to measure what trust costs; 0 turns the whole watch off",
        reason="one model call in a hundred hits is not felt and notices a changed reranker within hours",
        ge=0,
        le=1,
    )
    quality_budget: float = knob(
        0.01,
        "Mean loss (1 - nDCG against the fresh order) trusted hits may cost before the trust threshold tightens",
        reason="smaller than the differences between rerankers, larger than the noise of a few hundred audits",
        gt=0,
        le=1,
    )

    @model_validator(mode="after")
    def _trust_is_stricter(self) -> Self:
        if self.trust_threshold < self.reuse_threshold:
            raise ValueError(
                f"trust_threshold {self.trust_threshold} is below reuse_threshold {self.reuse_threshold}; what is "
                "served unasked must be at least as similar as what is verified: raise the one or lower the other"
            )
        return self


class Monitor(Section):
    """What counts as a slow reranker."""

    window_size: int = knob(
        100,
        "How many of the primary reranker's latest calls are judged",
        unit="calls",
        reason="p95 of 100 is decided by 5 calls: one slow call alone never trips it",
        ge=1,
        le=100_000,
    )
    p95_threshold_s: float = knob(
        2.0,
        "The primary is left alone when more than 5 % of its calls take longer",
        unit="s",
        reason="about the p99 of 100 passages on a CPU; at the healthy p95 itself a breaker trips constantly",
        gt=0,
        le=3600,
    )
    min_samples: int = knob(
        20,
        "Calls needed before anything is judged",
        unit="calls",
        reason="below 20 the nearest-rank p95 is the maximum",
        ge=1,
        le=100_000,
    )

    @model_validator(mode="after")
    def _window_holds_the_minimum(self) -> Self:
        if self.min_samples > self.window_size:
            raise ValueError(
                f"min_samples {self.min_samples} is above window_size {self.window_size}, so the window could never "
                "be judged; lower the one or raise the other"
            )
        return self


class Breaker(Section):
    """When the primary reranker is tried again."""

    open_s: float = knob(
        5.0,
        "How long the primary is left alone at first",
        unit="s",
        reason="a garbage collection or a noisy neighbour is over by then",
        gt=0,
        le=3600,
    )
    max_open_s: float = knob(
        60.0,
        "How long the primary is left alone at most; the time doubles with every failed probe",
        unit="s",
        reason="a mended primary serves again within a minute",
        gt=0,
        le=3600,
    )
    probes: int = knob(
        3,
        "Probes in a row that must be fast before the primary serves again",
        unit="calls",
        reason="one lucky call is not health; three cost little",
        ge=1,
        le=1000,
    )
    probe_factor: float = knob(
        0.8,
        "A probe is fast below this share of the p95 threshold",
        reason="hysteresis: a primary just at the threshold would flap",
        gt=0,
        le=1,
    )
    errors: int = knob(
        5,
        "Errors of the primary in a row that open the breaker at once",
        unit="calls",
        reason="errors are quick, so no latency would show them; five in a row are no accident",
        ge=1,
        le=1000,
    )

    @model_validator(mode="after")
    def _back_off_grows(self) -> Self:
        if self.max_open_s < self.open_s:
            raise ValueError(
                f"max_open_s {self.max_open_s} is below open_s {self.open_s}; raise the one or lower the other"
            )
        return self


class Batching(Section):
    """How requests that arrive together share the model."""

    max_pairs: int = knob(
        128,
        "Most pairs merged into one batch of several requests; a larger single request goes alone",
        unit="pairs",
        reason="about one second on two CPU cores, well under the p95 threshold",
        ge=1,
        le=1_000_000,
    )
    max_queue_pairs: int = knob(
        1024,
        "Most pairs that wait; a request beyond that is answered by the next rung",
        unit="pairs",
        reason="about ten seconds of work on two CPU cores: whoever waits longer is answered too late anyway",
        ge=1,
        le=10_000_000,
    )
    admission_factor: float = knob(
        0.8,
        "While the worker is busy, a request goes to the next rung when wait + estimate exceed this share of the p95 "
        "threshold",
        reason="in overload 60 % were answered by the primary and 0.24 % late; without it 99.95 % were late",
        gt=0,
        le=1,
    )


class Rung(Section):
    """One reranker of the ladder."""

    kind: Literal["auto", "onnx", "cross-encoder", "embedding", "retrieval-order"] = knob(
        "auto",
        "What scores. auto is onnx when the folder of the model holds a model.onnx, else cross-encoder",
        reason="the packaged weights are ONNX, hub models are not",
    )
    model: str | None = knob(
        None,
        "Hub name or folder; only for auto, onnx and cross-encoder",
        reason="embedding uses the embedder of the cache, retrieval-order uses no model",
        min_length=1,
    )
    max_length: int = knob(
        512,
        "Tokens of query and document together; the rest is cut",
        unit="tokens",
        reason="what the ms-marco cross-encoders were trained with",
        ge=8,
        le=1_000_000,
    )
    batch_size: int = knob(
        8,
        "Pairs per pass of the model, sorted by length",
        unit="pairs",
        reason="4-8 were fastest on a CPU; a GPU likes 64",
        ge=1,
        le=100_000,
    )

    @model_validator(mode="after")
    def _model_where_it_belongs(self) -> Self:
        needs_model = self.kind in ("auto", "onnx", "cross-encoder")
        if needs_model and self.model is None:
            raise ValueError(f"a rung of kind {self.kind} needs a model: a hub name or a folder")
        if not needs_model and self.model is not None:
            raise ValueError(f"a rung of kind {self.kind} takes no model, got {self.model!r}; remove it")
        return self
