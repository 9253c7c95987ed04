"""Makes a reranker of a model name, a model, another library's reranker, or a function."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from semcache.errors import InvalidInputError
from semcache.models.foreign import has_methods
from semcache.models.names import find_folder
from semcache.protocols import Reranker
from semcache.rerankers.cross_encoder import CrossEncoderReranker
from semcache.rerankers.function import function_reranker
from semcache.rerankers.listwise import ListwiseReranker
from semcache.rerankers.named import NamedReranker
from semcache.rerankers.naming import name_of
from semcache.rerankers.onnx import OnnxCrossEncoder
from semcache.rerankers.pairs import PairReranker
from semcache.rerankers.redisvl import RedisVLReranker

_LOOKED_FOR = (
    "name + listwise + score(pairs), predict(pairs) (sentence-transformers), compute_score(pairs) (FlagEmbedding), "
    "score(pairs) (LangChain cross-encoders, also as a compressor's model), rank(query, docs) (RedisVL and others), "
    "rerank(query, documents, top_k), compress_documents(documents, query) (LangChain), and for a function of pairs "
    "or of query and texts"
)


def adapt(reranker: Any, *, name: str | None = None, version: str | None = None, probe: bool = True) -> Reranker:
    """A Reranker for a model name or folder, or for an object, picked by the methods that the object has.

    Scores for pairs are preferred to an order. ``name`` replaces the name that is made of class, model or function.
    Functions, clients and unknown objects are also told apart by what they say about a few fixed probe pairs.
    ``version`` is a text that changes with everything that changes a score: name and version are then the identity, and
    no probe is asked. ``probe=False`` trusts the name alone. Raises InvalidInputError for an object that is no
    reranker, and the message lists the methods that were looked for.

    Example:
        adapt("cross-encoder/ms-marco-MiniLM-L-12-v2")
        adapt(lambda query, texts: [len(text) for text in texts], name="longest-first")
        adapt(client.rerank, name="our-service", version="2024-06")
    """
    adapted = _adapted(reranker, name)
    if name in (None, adapted.name) and version is None and probe:
        return adapted
    return NamedReranker(adapted, name=name, version=version, probe=probe)


def _adapted(reranker: Any, name: str | None) -> Reranker:
    if isinstance(reranker, (str, Path)):
        # A folder with an ONNX graph and no torch weights, as the packaged ones are, runs by onnxruntime.
        folder = find_folder(reranker, "onnx-int8")
        if folder is None or any(folder.glob("*.safetensors")) or (folder / "pytorch_model.bin").is_file():
            return CrossEncoderReranker(reranker)
        return OnnxCrossEncoder(reranker)
    if isinstance(reranker, Reranker):
        return reranker
    for fits, make in _ADAPTERS:
        if fits(reranker):
            return make(reranker, name)
    raise InvalidInputError(f"{type(reranker).__name__} is no reranker; looked for {_LOOKED_FOR}")


_Fits = Callable[[Any], bool]
_Make = Callable[[Any, str | None], Reranker]


def _by_scores(method: str, *, as_lists: bool = False) -> tuple[_Fits, _Make]:
    """Adapts objects with a method that gives one score per pair."""
    return (
        lambda obj: has_methods(obj, method),
        lambda obj, name: PairReranker(getattr(obj, method), name or name_of(obj), as_lists=as_lists),
    )


def _by_order(method: str) -> tuple[_Fits, _Make]:
    """Adapts objects with a method that puts documents in order."""
    return (
        lambda obj: has_methods(obj, method),
        lambda obj, name: ListwiseReranker(getattr(obj, method), name or name_of(obj)),
    )


def _compressing_all(compressor: Any) -> Callable[..., Any]:
    """A LangChain compressor as a function of query, documents and ``top_k``."""

    def rank(query: str, documents: list[str], top_k: int) -> Any:
        # Compressors keep top_n as a field. A copy with another one leaves the caller's compressor as it is.
        copy = getattr(compressor, "model_copy", None)
        asked = copy(update={"top_n": top_k}) if callable(copy) and hasattr(compressor, "top_n") else compressor
        return asked.compress_documents(documents, query)

    return rank


_ADAPTERS: tuple[tuple[_Fits, _Make], ...] = (
    # Only sentence-transformers' CrossEncoder has an activation. Its adapter puts activation, maximum length and
    # precision into the name, which name_of() cannot see.
    (
        lambda obj: has_methods(obj, "predict") and hasattr(obj, "activation_fn"),
        lambda obj, name: CrossEncoderReranker(obj, name=name),
    ),
    _by_scores("predict"),
    # FlagEmbedding wants each pair as a list.
    _by_scores("compute_score", as_lists=True),
    _by_scores("score"),
    # LangChain's CrossEncoderReranker drops the scores that its model gives, so the model is asked itself.
    (
        lambda obj: has_methods(obj, "compress_documents") and has_methods(getattr(obj, "model", None), "score"),
        lambda obj, name: PairReranker(obj.model.score, name or name_of(obj.model)),
    ),
    # RedisVL's rank() gives scores, too. It must stand before the objects whose rank() gives an order alone.
    (
        lambda obj: has_methods(obj, "rank") and hasattr(obj, "limit") and hasattr(obj, "return_score"),
        lambda obj, name: RedisVLReranker(obj, name or name_of(obj)),
    ),
    _by_order("rerank"),
    _by_order("rank"),
    (
        lambda obj: has_methods(obj, "compress_documents"),
        lambda obj, name: ListwiseReranker(_compressing_all(obj), name or name_of(obj)),
    ),
    # Functions last: many of the objects above can be called as well.
    (callable, function_reranker),
)
"""Pairs of a condition and the adapter for objects that fulfil it, in order of preference; the first that fits is
used.
"""
