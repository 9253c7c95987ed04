"""Names for rerankers that have none of ours: class, model, and what else changes a score."""

from functools import partial
from pathlib import Path
from typing import Any

from semcache.errors import InvalidInputError
from semcache.models.names import content_hint

_WEIGHTS = ("model.safetensors", "pytorch_model.bin", "model.onnx", "onnx/model.onnx")
_MODEL_NAMES = ("model_name_or_path", "model_name", "model_id", "name", "model", "name_or_path", "_name_or_path")


def name_of(reranker: Any) -> str:
    """Class and model name of an object; class alone when it names no model. Functions are named by their place.

    Raises InvalidInputError for a lambda or partial: two of them under one name would share scores.
    """
    if isinstance(reranker, partial) or "<lambda>" in getattr(reranker, "__qualname__", ""):
        raise InvalidInputError(f"{reranker!r} has no name that tells rerankers apart; pass name='...'")
    if not hasattr(reranker, "__qualname__"):
        kind = type(reranker)
        model = _model_name(reranker)
        return f"{kind.__name__}/{model}" if model else f"{kind.__module__}.{kind.__qualname__}"
    return f"{reranker.__module__}.{reranker.__qualname__}"


def with_content(model: str) -> str:
    """A folder's name with a hint of its weights; a hub name as it is."""
    folder = Path(model)
    weights = [folder / file for file in _WEIGHTS if (folder / file).is_file()]
    return f"{folder.name}@{content_hint(weights[0])}" if weights else model


def _model_name(reranker: Any) -> str | None:
    """The first string under a usual attribute, of the object, its model, or its model's configuration."""
    model = getattr(reranker, "model", None)
    for holder in (reranker, model, getattr(model, "config", None), getattr(reranker, "client", None)):
        for attribute in _MODEL_NAMES:
            value = getattr(holder, attribute, None)
            if isinstance(value, str) and value:
                return with_content(value)
    return None
