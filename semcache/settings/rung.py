"""The knobs of one reranker of the ladder."""

from typing import Any, Literal, Self

from pydantic import SecretStr, model_validator

from semcache.settings.knobs import Key, Section, knob

_HTTP = (
    "dialect", "url", "api_key", "api_key_variable", "options", "listwise", "retries", "concurrency",
    "requests_per_minute", "pairs_per_minute",
)  # fmt: skip


class Rung(Section):
    """One reranker of the ladder."""

    kind: Literal["auto", "onnx", "cross-encoder", "http", "learned", "embedding", "retrieval-order"] = knob(
        "auto",
        "Kind of reranker; auto is onnx when the folder of the model holds a model.onnx, else cross-encoder; http is a "
        "service; learned orders by what earlier scores of the first taught, and like embedding until they suffice",
        reason="the packaged weights are ONNX, hub models are not",
    )
    model: str | None = knob(
        None,
        "Hub name or folder for auto, onnx and cross-encoder; for http the name that requests carry",
        reason="embedding and learned use the embedder of the cache, retrieval-order uses no model",
        min_length=1,
    )
    max_length: int = knob(
        512,
        "Tokens of query and document together; the rest is cut",
        unit="tokens",
        reason="the length that the ms-marco cross-encoders were trained with",
        ge=8,
        le=1_000_000,
    )
    batch_size: int = knob(
        8,
        "Pairs per pass of the model, sorted by length",
        unit="pairs",
        reason="on a CPU small passes waste less on padding; a GPU is used better with 64 or so",
        ge=1,
        le=100_000,
    )
    max_pairs_per_call: int | None = knob(
        None,
        "Most pairs that one call of this reranker takes; a larger request is split. none: any number, and for http "
        "what the dialect allows",
        unit="pairs",
        reason="models that run here take any number, and the limits of services are known",
        ge=1,
        le=1_000_000,
    )

    p95_threshold_s: float | None = knob(
        None,
        "Calls of this reranker are slow above this. none: as monitor.p95_threshold_s says",
        unit="s",
        reason="the threshold is how long callers wait, whichever reranker answers",
        gt=0,
        le=3600,
    )
    timeout_s: float | None = knob(
        None,
        "How long a request waits for this reranker before the next one is asked; a service is given up then. none: "
        "the p95 threshold, longer for requests larger than usual, and fifteen times that for the first call",
        unit="s",
        reason="a reranker that is slower than the threshold is not waited for, but one that is just loading is",
        gt=0,
        le=3600,
    )

    dialect: Literal["cohere", "cohere-v1", "jina", "voyage", "mixedbread", "vllm", "infinity", "tei"] | None = knob(
        None,
        "Which kind of service an http rung asks",
        reason="only an http rung has one",
    )
    url: SecretStr | None = knob(
        None,
        "Where the service is; a url with a path is used as it is, one without gets the path of the dialect. none: the "
        "hosted service of the dialect",
        reason="hosted services have one address, servers of one's own any",
    )
    api_key: Key | None = knob(
        None,
        "The key of the service. none: what api_key_variable names, or for a hosted service its own variable",
        reason="keys belong into the environment, not into files",
        min_length=1,
    )
    api_key_variable: str | None = knob(
        None,
        "Environment variable that holds the key of the service",
        reason="hosted services have one of their own: CO_API_KEY, JINA_API_KEY, VOYAGE_API_KEY, MXBAI_API_KEY",
        min_length=1,
    )
    options: dict[str, Any] | None = knob(
        None,
        "Further fields of every request, such as raw_scores of TEI and Infinity",
        reason="services cut long texts and give scores as their documentation says",
    )
    listwise: bool | None = knob(
        None,
        "Whether the service's scores hold within one request only. none: known of Jina's and Mixedbread's models",
        reason="services score each document by itself, but for these models",
    )
    retries: int = knob(
        2,
        "How often a request is sent again after a failed connection, 429, 502, 503 or 504",
        unit="times",
        reason="a server that was restarted or replaced is back after that; more costs money while it is down",
        ge=0,
        le=100,
    )
    concurrency: int = knob(
        8,
        "How many requests may be under way at once",
        unit="requests",
        reason="Cohere allows 1,000 requests a minute: with half a second each, 8 at once keep that rate",
        ge=1,
        le=10_000,
    )
    requests_per_minute: float | None = knob(
        None,
        "How many requests a minute the service allows; further ones wait. none: any number",
        unit="requests",
        reason="it depends on the contract; a Retry-After is obeyed in any case",
        gt=0,
    )
    pairs_per_minute: float | None = knob(
        None,
        "How many pairs a minute the service allows; further ones wait. none: any number",
        unit="pairs",
        reason="it depends on the contract; a Retry-After is obeyed in any case",
        gt=0,
    )

    @model_validator(mode="after")
    def _model_where_it_belongs(self) -> Self:
        needs_model = self.kind in ("auto", "onnx", "cross-encoder")
        if needs_model and self.model is None:
            raise ValueError(f"a rung of kind {self.kind} needs a model: a hub name or a folder")
        if self.kind in ("learned", "embedding", "retrieval-order") and self.model is not None:
            raise ValueError(f"a rung of kind {self.kind} takes no model, got {self.model!r}; remove it")
        return self

    @model_validator(mode="after")
    def _knobs_of_its_kind(self) -> Self:
        if self.kind == "http" and self.dialect is None:
            raise ValueError("a rung of kind http needs a dialect, such as cohere or tei")
        foreign = ("max_length", "batch_size") if self.kind == "http" else _HTTP
        if given := [name for name in foreign if name in self.model_fields_set]:
            remedy = "a service cuts and batches texts by itself" if self.kind == "http" else "these are for kind http"
            raise ValueError(f"a rung of kind {self.kind} takes no {', '.join(given)}; {remedy}")
        return self
