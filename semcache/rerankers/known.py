"""Rankers of other libraries that are known by their class: whether they score, and how they want documents."""

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

from semcache.models.foreign import has_methods, is_from
from semcache.rerankers.calling import COUNTS, CallShape, UncallableError, asking_for_all

# Clients of services that answer a relevance score for every document.
_SCORING_LIBRARIES = ("cohere", "voyageai", "pinecone", "mixedbread", "fastembed")
# Language models that write an order. To try them costs seconds and money.
_ORDERING_CLASSES = (
    "RankGPTRanker", "RankLLMRanker",  # answerdotai
    "RankGPTRerank", "RankLLMRerank", "LLMRerank", "StructuredLLMRerank",  # LlamaIndex, LangChain
    "LLMListwiseRerank",  # LangChain
    "LLMRanker",  # Haystack
)  # fmt: skip


def known_listwise(ranker: Any) -> bool | None:
    """Whether a ranker, or the object of a bound method or partial, gives an order alone; None where that is unknown.

    Nothing is called, and no library is imported.
    """
    function = getattr(ranker, "func", ranker)  # of a partial
    owner = getattr(function, "__self__", function)  # of a bound method
    if type(owner).__name__ in _ORDERING_CLASSES:
        return True
    if is_from(owner, *_SCORING_LIBRARIES) or getattr(owner, "ranking_type", None) == "pointwise":  # answerdotai
        return False
    if is_from(owner, "flashrank"):
        return getattr(owner, "llm_model", None) is not None
    return None


def of_compressor(compressor: Any, method: str) -> Callable[..., Any]:
    """A LangChain compressor as a function of query and passages, which it gets as LangChain's documents."""
    return _through(compressor, method, _langchain_documents if is_from(compressor, "langchain_core") else list)


def of_postprocessor(postprocessor: Any, method: str) -> Callable[..., Any]:
    """A LlamaIndex postprocessor as a function of query and passages, which it gets as nodes without a score."""
    return _through(postprocessor, method, _llama_index_nodes if is_from(postprocessor, "llama_index") else list)


def of_component(component: Any, method: str) -> Callable[..., Any]:
    """A Haystack ranker as a function of query and passages, which it gets as Haystack's documents.

    Raises UncallableError for a ``run`` that has no parameters of the names ``query`` and ``documents``, since many
    things have such a method.
    """
    shape = CallShape.of(getattr(component, method))
    if not {"query", "documents"} <= shape.by_name.keys():
        raise UncallableError(f"{type(component).__name__}.{method}() has no parameters query and documents")
    is_haystack = is_from(component, "haystack", "haystack_integrations") or hasattr(component, "__haystack_input__")
    ask = asking_for_all(getattr(component, method))
    is_warm = not has_methods(component, "warm_up")

    def rank(query: str, passages: Sequence[Any]) -> Any:
        nonlocal is_warm
        if not is_warm:  # it loads the model, and Haystack's pipelines call it before the first run
            component.warm_up()
            is_warm = True
        return ask(query, _haystack_documents(passages) if is_haystack else list(passages))

    return rank


def _through(ranker: Any, method: str, documents_of: Callable[[Sequence[Any]], list[Any]]) -> Callable[..., Any]:
    """A method as a function of query and passages; the ranker is asked for all, and gets documents of its library."""
    CallShape.of(getattr(ranker, method))

    def rank(query: str, passages: Sequence[Any]) -> Any:
        asked = _for_all(ranker, len(passages))
        return asking_for_all(getattr(asked, method))(query, documents_of(passages))

    return rank


# The libraries are imported by name: they are there when one of their objects is, and never needed otherwise.


def _langchain_documents(passages: Sequence[Any]) -> list[Any]:
    document = import_module("langchain_core.documents").Document
    return [document(page_content=str(passage)) for passage in passages]


def _llama_index_nodes(passages: Sequence[Any]) -> list[Any]:
    schema = import_module("llama_index.core.schema")
    return [schema.NodeWithScore(node=schema.TextNode(text=str(passage))) for passage in passages]


def _haystack_documents(passages: Sequence[Any]) -> list[Any]:
    document = import_module("haystack.dataclasses").Document
    # Haystack drops documents of the same id, which it makes of the text unless it is given.
    return [document(id=str(position), content=str(passage)) for position, passage in enumerate(passages)]


def _for_all(ranker: Any, count: int) -> Any:
    """A ranker that keeps the number of results as a field, asked for all documents; the caller's stays as it is."""
    field = next((name for name in COUNTS if hasattr(ranker, name)), None)
    copy = getattr(ranker, "model_copy", None)  # of pydantic, which both libraries use
    return ranker if field is None or not callable(copy) else copy(update={field: count})
