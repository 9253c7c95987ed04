"""The requests that clients of rerank services send, and the answers that they get.

Of Cohere: https://docs.cohere.com/reference/rerank, of Jina: https://api.jina.ai/docs, of TEI:
https://huggingface.github.io/text-embeddings-inference. Fields that are not named here are taken and left aside, since
each client has some of its own.
"""

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, TypeVar
from uuid import uuid4

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError, WithJsonSchema

from semcache.ranking import Ranking
from semcache.server.refusals import RefusedError

_Object = Annotated[
    dict[str, Any],
    WithJsonSchema({"type": "object", "properties": {"text": {"type": "string"}}}),
]


# 3.0 is a whole number in JSON.
_Count = Annotated[
    int, Field(ge=1), BeforeValidator(lambda sent: int(sent) if isinstance(sent, float) and sent.is_integer() else sent)
]


class Asked(BaseModel):
    """The part that every request has: a query. Numbers are not taken for texts."""

    model_config: ClassVar[ConfigDict] = ConfigDict(strict=True, hide_input_in_errors=True)

    # The flow says in better words what is wrong with a blank one; the pattern is for those who read the schema.
    query: str = Field(description="What is asked.", json_schema_extra={"pattern": r"\S"})

    @property
    def texts(self) -> list[str]:
        """The documents, as the reranker reads them."""
        raise NotImplementedError

    @property
    def best(self) -> int:
        """How many documents are returned."""
        return len(self.texts)


class RerankRequest(Asked):
    """A request as Cohere's and Jina's clients send it, and those of vLLM and Infinity."""

    documents: list[str | _Object] = Field(
        description='Texts, or objects with a "text", or with the fields that rank_fields names.',
        examples=[["Berlin is a city.", "Rome is older."]],
        json_schema_extra={"minItems": 1},
    )
    model: str | None = Field(None, description="Said again in the answer; the settings say what scores.")
    top_n: _Count | None = Field(
        None, description="How many of the best are returned; fewer are cheaper. Default: all."
    )
    return_documents: bool | None = Field(None, description="Whether the answer has the texts. Default: it has not.")
    rank_fields: list[str] | None = Field(
        None, description='Fields of the objects that are scored, in this order. Default: "text".'
    )

    @property
    def texts(self) -> list[str]:
        """The texts of the documents. Raises RefusedError for an object without one."""
        fields = self.rank_fields or ("text",)
        return [_text(at, document, fields) for at, document in enumerate(self.documents)]

    @property
    def best(self) -> int:
        """``top_n``, or all."""
        return len(self.documents) if self.top_n is None else self.top_n

    def returned(self, index: int, text: str) -> dict[str, Any] | None:
        """A document of the answer: an object with all its fields, and with the text that was scored if it has none.

        None where documents are not asked for.
        """
        document = self.documents[index]
        if not self.return_documents:
            return None
        return {"text": text} if isinstance(document, str) else {"text": text, **document}


class TeiRequest(Asked):
    """A request as clients of text-embeddings-inference send it."""

    texts_: list[str] = Field(alias="texts", description="The texts to rank.", json_schema_extra={"minItems": 1})
    raw_scores: bool = Field(False, description="The reranker's own scores, in place of 0..1.")
    return_text: bool = Field(False, description="Whether the answer has the texts.")

    @property
    def texts(self) -> list[str]:
        """The texts."""
        return self.texts_


class Result(BaseModel):
    """A document of the answer: its position in the request, and its score."""

    index: int
    relevance_score: float
    document: dict[str, Any] | None = None


class RerankAnswer(BaseModel):
    """The answer to a RerankRequest, best first."""

    id: str
    model: str
    results: list[Result]
    # Clients of Jina read it without asking whether it is there.
    usage: dict[str, int] = Field(description="For clients that read it; tokens are not counted.")
    meta: dict[str, Any]


class TeiResult(BaseModel):
    """A text of the answer to a TeiRequest."""

    index: int
    score: float
    text: str | None = None


A = TypeVar("A", bound=BaseModel)
_LIST = TypeAdapter(list[TeiResult])


def parsed(kind: type[A], body: bytes) -> A:
    """The request that a body holds. Raises RefusedError, which names what is wrong and shows no text of it."""
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False, include_context=False)
        if details[0]["type"] == "json_invalid":
            # Where in the body, and not what stands there.
            why = details[0]["msg"].removeprefix("Invalid JSON: ")
            raise RefusedError(
                400, f"the body is not JSON ({why}); send an object with query and documents (or texts)"
            ) from None
        wrong = [f"{'.'.join(map(str, detail['loc'][:2])) or 'body'}: {detail['msg']}" for detail in details[:3]]
        # A union tells of each of its kinds.
        raise RefusedError(422, "; ".join(dict.fromkeys(wrong))) from None


def rerank_answer(asked: RerankRequest, version: int, ranking: Ranking[str], scores: list[float]) -> str:
    """The JSON of a ranking for Cohere's and Jina's clients; ``version`` is that of the path."""
    results = [
        Result(index=index, relevance_score=score, document=asked.returned(index, text))
        for index, score, text in zip(ranking.indices, scores, ranking.documents, strict=True)
    ]
    answer = RerankAnswer(
        id=str(uuid4()),
        model=asked.model or ranking.reranker,
        results=results,
        usage={"total_tokens": 0},
        meta={"api_version": {"version": str(version)}},
    )
    return answer.model_dump_json(exclude_none=True)


def tei_answer(asked: TeiRequest, ranking: Ranking[str], scores: list[float]) -> bytes:
    """The JSON of a ranking for clients of TEI."""
    texts = ranking.documents if asked.return_text else [None] * len(ranking)
    results = [
        TeiResult(index=index, score=score, text=text)
        for index, score, text in zip(ranking.indices, scores, texts, strict=True)
    ]
    return _LIST.dump_json(results, exclude_none=True)


def _text(at: int, document: str | dict[str, Any], fields: Sequence[str]) -> str:
    if isinstance(document, str):
        return document
    parts = [document[field] for field in fields if document.get(field) is not None]
    if not parts or not all(isinstance(part, str) for part in parts):
        needed = (
            'a "text" that is a string' if fields == ("text",) else "one of rank_fields, and strings in all of them"
        )
        raise RefusedError(422, f"documents.{at}: an object needs {needed}")
    return "\n".join(parts)
