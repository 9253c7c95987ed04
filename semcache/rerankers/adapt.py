"""Makes a reranker of what the caller has: a model name, a model, another library's reranker, a function."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from semcache.errors import InvalidInputError
from semcache.models.names import find_folder
from semcache.protocols import Reranker
from semcache.rerankers.cross_encoder import CrossEncoderReranker
from semcache.rerankers.function import function_reranker
from semcache.rerankers.listwise import ListwiseReranker
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


def adapt(reranker: Any, *, name: str | None = None) -> Reranker:
    """A Reranker for a model name or folder, or for an object, picked by what the object can do.

    Scores for pairs are preferred to an order. ``name`` is for functions without one, and for objects whose class and
    model name do not tell two configurations apart: scores under one name are shared. Raises InvalidInputError that
    says what was looked for.
    """
    if isinstance(reranker, (str, Path)):
        return _of_model(reranker)
    if isinstance(reranker, Reranker):
        return reranker
    for can, make in _WAYS:
        if can(reranker):
            return make(reranker, name)
    raise InvalidInputError(f"{type(reranker).__name__} is no reranker; looked for {_LOOKED_FOR}")


def _of_model(model: str | Path) -> Reranker:
    """A folder with an ONNX graph and no torch weights, as the packaged ones are, runs by onnxruntime."""
    folder = find_folder(model, "onnx-int8")
    if folder is None or any(folder.glob("*.safetensors")) or (folder / "pytorch_model.bin").is_file():
        return CrossEncoderReranker(model)
    return OnnxCrossEncoder(model)


def _has(*methods: str) -> Callable[[Any], bool]:
    return lambda obj: all(callable(getattr(obj, method, None)) for method in methods)


def _is_redisvl(obj: Any) -> bool:
    return _has("rank")(obj) and hasattr(obj, "limit") and hasattr(obj, "return_score")


def _is_compressor_of_scores(obj: Any) -> bool:
    return _has("compress_documents")(obj) and _has("score")(getattr(obj, "model", None))


def _predict(obj: Any, name: str | None) -> Reranker:
    if hasattr(obj, "activation_fn"):
        return CrossEncoderReranker(obj, name=name)
    return PairReranker(obj.predict, name or name_of(obj))


def _compute_score(obj: Any, name: str | None) -> Reranker:
    return PairReranker(obj.compute_score, name or name_of(obj), as_lists=True)


def _score(obj: Any, name: str | None) -> Reranker:
    return PairReranker(obj.score, name or name_of(obj))


def _compress(obj: Any, name: str | None) -> Reranker:
    return ListwiseReranker(_compressing_all(obj), name or name_of(obj))


def _compressing_all(compressor: Any) -> Callable[..., Any]:
    """LangChain's compressors keep ``top_n`` as a field; a copy with another one leaves the caller's alone."""

    def rank(query: str, documents: list[str], top_k: int) -> Any:
        copy = getattr(compressor, "model_copy", None)
        asked = copy(update={"top_n": top_k}) if callable(copy) and hasattr(compressor, "top_n") else compressor
        return asked.compress_documents(documents, query)

    return rank


_WAYS: tuple[tuple[Callable[[Any], bool], Callable[[Any, str | None], Reranker]], ...] = (
    (_has("predict"), _predict),
    (_has("compute_score"), _compute_score),
    (_has("score"), _score),
    (_is_compressor_of_scores, lambda obj, name: _score(obj.model, name)),
    (_is_redisvl, lambda obj, name: RedisVLReranker(obj, name or name_of(obj))),
    (_has("rerank"), lambda obj, name: ListwiseReranker(obj.rerank, name or name_of(obj))),
    (_has("rank"), lambda obj, name: ListwiseReranker(obj.rank, name or name_of(obj))),
    (_has("compress_documents"), _compress),
    (callable, function_reranker),
)
"""What an object can do, and what is made of it; the first that fits is taken."""
