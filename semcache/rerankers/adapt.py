"""Makes a reranker of a model name, a model, another library's reranker, or a function."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from semcache.errors import InvalidInputError
from semcache.identity.kinds import identified_by
from semcache.models.foreign import has_members, has_methods
from semcache.models.names import find_folder
from semcache.protocols import Reranker
from semcache.rerankers.awaiting import AwaitedReranker, awaited_if_async, is_async, is_awaited
from semcache.rerankers.calling import CallShape, UncallableError, takes_model, takes_pairs
from semcache.rerankers.cross_encoder import CrossEncoderReranker
from semcache.rerankers.function import QueryFunctionReranker, function_reranker
from semcache.rerankers.kind import declared_concurrency, say_calls
from semcache.rerankers.known import of_component, of_compressor, of_postprocessor
from semcache.rerankers.named import NamedReranker
from semcache.rerankers.naming import name_of
from semcache.rerankers.onnx import OnnxCrossEncoder
from semcache.rerankers.pairs import PairReranker
from semcache.rerankers.ranking import ranking_reranker
from semcache.rerankers.redisvl import RedisVLReranker
from semcache.rerankers.split import split

_LOOKED_FOR = (
    "name + listwise + score(pairs), predict(pairs) (sentence-transformers), compute_score(pairs) (FlagEmbedding), "
    "score(pairs) (LangChain cross-encoders, also as a compressor's model), rerank(query, documents, top_k) or "
    "rank(query, docs) (services, FlashRank, RedisVL, answerdotai), run(query, documents) (Haystack), "
    "postprocess_nodes(nodes, query_str) (LlamaIndex), compress_documents(documents, query) (LangChain), each also "
    "asynchronous, and for a function of pairs or of query and texts"
)


@dataclass(frozen=True, slots=True)
class _Options:
    """A name, if one was given; whether it is listwise, and how many calls may run at once, if that was said; and
    whether it may be asked about probes."""

    name: str | None
    listwise: bool | None
    may_ask: bool
    concurrency: int | None


_Fits = Callable[[Any], bool]
_Make = Callable[[Any, _Options], Reranker]


def adapt(
    reranker: Any,
    *,
    name: str | None = None,
    version: str | None = None,
    probe: bool = True,
    model: str | None = None,
    listwise: bool | None = None,
    max_pairs_per_call: int | None = None,
    concurrency: int | None = None,
) -> Reranker:
    """A Reranker for a model name or folder, or for an object, picked by the methods that it has and their parameters.

    Scores for pairs are preferred to an order. ``name`` replaces the name that is made of class, model or function.
    Functions are also told apart by their code; clients, unknown objects and functions that use them by what they say
    about a few fixed probe pairs.
    ``version`` is a text that changes with everything that changes a score: name and version are then the identity, and
    no probe is asked. ``probe=False`` trusts the name alone. ``model`` is passed to clients of services that want it in
    each call, such as cohere's.

    ``listwise`` is for objects that rank documents: True if they answer an order, or scores that hold within one call
    only; False if every document gets a score of its own. Such scores are merged, and only unknown documents are asked
    about. By default the class decides, or what is said about the probes, or (without probes) they are taken for an
    order. ``max_pairs_per_call`` is how many documents a service takes in one call: larger requests are split. An order
    cannot be put together from parts. ``concurrency`` is how many calls may run at once; an attribute of that name on
    function or object says the same. Without it only what is known to wait for a service is called several times at
    once (``semcache.rerankers.kind``).

    Asynchronous functions and methods are awaited: on the caller's event loop in asynchronous use, else on a loop of
    semcache's own. Raises InvalidInputError for an object that is no reranker, or whose methods need more than a rerank
    has; the message names the parameter, and lists what was looked for. Raises ConfigurationError for options that
    contradict each other.

    Example:
        adapt("cross-encoder/ms-marco-MiniLM-L-12-v2")
        adapt(lambda query, texts: [len(text) for text in texts], name="longest-first")
        adapt(client.rerank, name="our-service", version="2024-06")
        adapt(cohere.ClientV2(), model="rerank-v3.5", max_pairs_per_call=1000)
    """
    if model is not None:
        owner = getattr(reranker, "__self__", reranker)
        name = name or f"{getattr(owner, '__qualname__', type(owner).__name__)}/{model}"
        reranker = _with_model(reranker, model)
    may_ask = probe and version is None
    adapted = _adapted(reranker, _Options(name, listwise, may_ask, concurrency))
    if not may_ask or name not in (None, adapted.name):
        adapted = NamedReranker(adapted, name=name, version=version, probe=probe)
    if concurrency not in (None, declared_concurrency(adapted)):
        # It is the user's own object, which stays as it is.
        adapted = NamedReranker(adapted)
        say_calls(adapted, reranker, concurrency)
    return split(adapted, max_pairs_per_call)


def _adapted(reranker: Any, options: _Options) -> Reranker:
    if isinstance(reranker, (str, Path)):
        # A folder with an ONNX graph and no torch weights, as the packaged ones are, runs by onnxruntime.
        folder = find_folder(reranker, "onnx-int8")
        if folder is None or any(folder.glob("*.safetensors")) or (folder / "pytorch_model.bin").is_file():
            return CrossEncoderReranker(reranker)
        return OnnxCrossEncoder(reranker)
    if isinstance(reranker, type):
        raise InvalidInputError(f"{reranker.__name__} is a class; pass an object of it, as {reranker.__name__}(...)")
    if has_members(reranker, "name", "listwise", "score"):
        return _of_protocol(reranker)
    return _of_methods(reranker, options)


def _of_methods(reranker: Any, options: _Options) -> Reranker:
    """The reranker of an object by the first of its methods that can be called, or of a function."""
    refused: list[str] = []
    for fits, make in _ADAPTERS:
        if fits(reranker):
            try:
                adapted = make(reranker, options)
            except UncallableError as error:  # another of its methods may do
                refused.append(str(error))
            else:
                say_calls(adapted, reranker, options.concurrency)
                return adapted
    # Functions last: many of the objects above can be called as well, and mean something else by it.
    if callable(reranker) and not refused:
        adapted = function_reranker(reranker, options.name, listwise=options.listwise, may_ask=options.may_ask)
        say_calls(adapted, reranker, options.concurrency)
        return adapted
    why = "is no reranker" if not refused else f"cannot be called: {'; '.join(refused)}"
    raise InvalidInputError(f"{type(reranker).__name__} {why}; looked for {_LOOKED_FOR}")


def _with_model(reranker: Any, model: str) -> Any:
    """The method that ranks, or the function itself, with its parameter ``model`` set."""
    method = next((getattr(reranker, name) for name in ("rerank", "rank") if has_methods(reranker, name)), reranker)
    if not callable(method) or not takes_model(method):
        raise InvalidInputError(
            f"{type(reranker).__name__} takes no model in a call; model= is for clients of services whose rerank() has "
            "such a parameter"
        )
    return partial(method, model=model)


def _of_protocol(reranker: Reranker) -> Reranker:
    if is_awaited(reranker) or not is_async(reranker.score):
        return reranker
    awaited = PairReranker(reranker.score, reranker.name, listwise=reranker.listwise)
    # Its author chose the name, as of one that is not awaited.
    awaited.identified_by = identified_by(reranker)
    return AwaitedReranker(awaited)


def _scores_pairs(model: Any) -> bool:
    return has_methods(model, "score") and takes_pairs(model.score)


def _by_pairs(method: str, *, as_lists: bool = False) -> tuple[_Fits, _Make]:
    """Adapts objects with a method that gives one score per pair."""

    def make(obj: Any, options: _Options) -> Reranker:
        function = getattr(obj, method)
        if not takes_pairs(function):
            raise UncallableError(f"{type(obj).__name__}.{method}() does not take a list of pairs alone")
        named = options.name or name_of(obj)
        return awaited_if_async(
            function, PairReranker(function, named, as_lists=as_lists, listwise=bool(options.listwise))
        )

    return lambda obj: has_methods(obj, method), make


def _by_texts(method: str) -> tuple[_Fits, _Make]:
    """Adapts objects with a method that gives scores for a query and its texts, or for a query and one text."""

    def make(obj: Any, options: _Options) -> Reranker:
        function = getattr(obj, method)
        one_by_one = CallShape.of(function).takes_one_document
        return awaited_if_async(
            function, QueryFunctionReranker(function, options.name or name_of(obj), one_by_one=one_by_one)
        )

    return lambda obj: has_methods(obj, method), make


def _by_order(method: str, through: Callable[[Any, str], Callable[..., Any]] = getattr) -> tuple[_Fits, _Make]:
    """Adapts objects with a method that ranks documents; ``through`` passes it the documents of its own library."""

    def make(obj: Any, options: _Options) -> Reranker:
        rank = through(obj, method)
        CallShape.of(rank)
        return ranking_reranker(
            obj,
            rank,
            options.name or name_of(obj),
            listwise=options.listwise,
            may_ask=options.may_ask,
            method=getattr(obj, method),
        )

    return lambda obj: has_methods(obj, method), make


_ADAPTERS: tuple[tuple[_Fits, _Make], ...] = (
    # Only sentence-transformers' CrossEncoder has an activation. Its adapter puts activation, maximum length and
    # precision into the name, which name_of() cannot see.
    (
        lambda obj: has_methods(obj, "predict") and hasattr(obj, "activation_fn"),
        lambda obj, options: CrossEncoderReranker(obj, name=options.name),
    ),
    _by_pairs("predict"),
    # FlagEmbedding wants each pair as a list.
    _by_pairs("compute_score", as_lists=True),
    _by_pairs("score"),
    # LangChain's CrossEncoderReranker drops the scores that its model gives, so the model is asked itself.
    (
        lambda obj: has_methods(obj, "compress_documents") and _scores_pairs(getattr(obj, "model", None)),
        lambda obj, options: PairReranker(obj.model.score, options.name or name_of(obj.model)),
    ),
    # RedisVL's rank() gives scores, too. It must stand before the objects whose rank() may give an order alone.
    (
        lambda obj: has_methods(obj, "rank") and hasattr(obj, "limit") and hasattr(obj, "return_score"),
        lambda obj, options: RedisVLReranker(obj, options.name or name_of(obj)),
    ),
    _by_order("rerank"),
    _by_order("rank"),
    _by_order("run", of_component),
    _by_order("postprocess_nodes", of_postprocessor),
    _by_order("compress_documents", of_compressor),
    _by_texts("predict"),
    _by_texts("score"),
    # Asynchronous twins, for objects that have nothing else: a model that computes would block the event loop in them.
    _by_order("arerank"),
    _by_order("rerank_async"),
    _by_order("arank"),
    _by_order("rank_async"),
    _by_order("run_async", of_component),
    _by_order("apostprocess_nodes", of_postprocessor),
    _by_order("acompress_documents", of_compressor),
)
"""Pairs of a condition and the adapter for objects that fulfil it, in order of preference; the first is used whose
methods can be called.
"""
