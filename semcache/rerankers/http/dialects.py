"""How each kind of rerank service is asked over HTTP, and how it answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from semcache.errors import ConfigurationError
from semcache.flow.requests import check_count


@dataclass(frozen=True, slots=True)
class Dialect:
    """The names of fields in the requests and answers of one kind of service, and its limits.

    A request is a POST of ``{"model": ..., "query": ..., documents: [text, ...], **fields}`` to ``path``. An answer is
    ``{results: [{"index": 0, score: 0.98}, ...]}`` in any order, or the list alone where ``results`` is empty.

    ``count`` is the field for the number of results, of services that leave documents out unless they are asked for
    all. ``max_pairs_per_call`` is how many documents one request may hold, ``max_chars`` how many characters one text;
    None is no limit. ``url`` is the address of the hosted service, ``key_variable`` the environment variable in which
    its own clients look for the key, ``takes_model`` whether requests name a model.

    Raises ConfigurationError for a name or field that is empty, a path that does not begin with "/", and a limit below
    1.

    Example:
        Dialect("ours", "/v3/relevance", documents="passages", results="scores", score="value")
    """

    name: str
    path: str
    documents: str = "documents"
    results: str = "results"
    score: str = "relevance_score"
    count: str = ""
    fields: Mapping[str, Any] = field(default_factory=dict)
    max_pairs_per_call: int | None = None
    max_chars: int | None = None
    url: str = ""
    key_variable: str = ""
    takes_model: bool = True

    def __post_init__(self) -> None:
        for name in ("name", "documents", "score"):
            if not getattr(self, name):
                raise ConfigurationError(f"{name} of a dialect must not be empty")
        if not self.path.startswith("/"):
            raise ConfigurationError(f"path of dialect {self.name} must begin with /, got {self.path!r}")
        for name in ("max_pairs_per_call", "max_chars"):
            if getattr(self, name) is not None:
                check_count(f"{name} of dialect {self.name}", getattr(self, name))

    @property
    def own_fields(self) -> set[str]:
        """The fields of a request that the dialect fills in itself."""
        return {"model", "query", self.documents, self.count} - {""}

    def request(
        self, model: str | None, query: str, texts: Sequence[str], options: Mapping[str, Any]
    ) -> dict[str, Any]:
        """The request about one query and its texts, ready for JSON. ``options`` are further fields."""
        asked: dict[str, Any] = {**self.fields, **options}
        if model is not None:
            asked["model"] = model
        if self.count:
            asked[self.count] = len(texts)
        return {**asked, "query": self._sent(query), self.documents: [self._sent(text) for text in texts]}

    def _sent(self, text: str) -> str:
        # Several services refuse an empty text, and with it the whole request.
        return text[: self.max_chars] or " "


_HOSTED_MOST = 1000
"""Documents in one request to a hosted service. Cohere recommends no more (v1 refuses more, with its default of ten
chunks per document), Voyage and Mixedbread refuse more; Jina says nothing."""

DIALECTS: Mapping[str, Dialect] = {
    dialect.name: dialect
    for dialect in (
        # https://docs.cohere.com/reference/rerank: all documents are scored and cut to 4,096 tokens by default.
        Dialect(
            "cohere",
            "/v2/rerank",
            max_pairs_per_call=_HOSTED_MOST,
            url="https://api.cohere.com",
            key_variable="CO_API_KEY",
        ),
        # https://docs.cohere.com/v1/reference/rerank
        Dialect(
            "cohere-v1",
            "/v1/rerank",
            fields={"return_documents": False},
            max_pairs_per_call=_HOSTED_MOST,
            url="https://api.cohere.com",
            key_variable="CO_API_KEY",
        ),
        # https://api.jina.ai/docs: returns the documents unless it is told not to.
        Dialect(
            "jina",
            "/v1/rerank",
            fields={"return_documents": False},
            max_pairs_per_call=_HOSTED_MOST,
            url="https://api.jina.ai",
            key_variable="JINA_API_KEY",
        ),
        # https://docs.voyageai.com/reference/reranker-api: cuts texts that are too long by default.
        Dialect(
            "voyage",
            "/v1/rerank",
            results="data",
            fields={"return_documents": False},
            max_pairs_per_call=_HOSTED_MOST,
            url="https://api.voyageai.com",
            key_variable="VOYAGE_API_KEY",
        ),
        # https://www.mixedbread.com/api-reference/endpoints/reranking/rerank-documents
        Dialect(
            "mixedbread",
            "/v1/reranking",
            documents="input",
            results="data",
            score="score",
            fields={"return_input": False},
            max_pairs_per_call=_HOSTED_MOST,
            url="https://api.mixedbread.com",
            key_variable="MXBAI_API_KEY",
        ),
        # https://docs.vllm.ai, "Re-rank API"; it has no field for return_documents, and always returns them. A text
        # beyond the model's length is an error unless options={"truncate_prompt_tokens": ...} is sent.
        Dialect("vllm", "/v1/rerank"),
        # infinity_emb/fastapi_schemas/pydantic_v2.py: at most 2,048 documents of 8,192 * 15 characters.
        Dialect(
            "infinity",
            "/rerank",
            fields={"return_documents": False},
            max_pairs_per_call=2048,
            max_chars=8192 * 15,
        ),
        # https://huggingface.github.io/text-embeddings-inference: --max-client-batch-size is 32 by default. A server
        # has one model, which requests do not name; without truncate a text beyond its length may be an error.
        Dialect(
            "tei",
            "/rerank",
            documents="texts",
            results="",
            score="score",
            fields={"truncate": True},
            max_pairs_per_call=32,
            takes_model=False,
        ),
    )
}
"""The dialects that are known by name."""
