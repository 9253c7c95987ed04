"""Names rerankers that have no name of our form, by class and model or by function."""

from functools import partial
from pathlib import Path
from typing import Any

from semcache.models.names import GRAPHS, content_hint

_WEIGHTS = ("model.safetensors", "pytorch_model.bin", *GRAPHS)
_MODEL_NAMES = ("model_name_or_path", "model_name", "model_id", "name", "model", "name_or_path", "_name_or_path")


def name_of(reranker: Any) -> str:
    """Class and model name of an object, or module and name of a function.

    The model's name is the first string under a usual attribute of the object, its model, the model's configuration,
    or its client. An object without one is named by module and class, a partial by its function. Such a name says
    little; what tells two of them apart is what they say about the probes.
    """
    if isinstance(reranker, partial):
        return name_of(reranker.func)
    # Functions, methods and classes have a qualified name; instances do not.
    if hasattr(reranker, "__qualname__"):
        return f"{reranker.__module__}.{reranker.__qualname__}"
    kind = type(reranker)
    model = getattr(reranker, "model", None)
    for holder in (reranker, model, getattr(model, "config", None), getattr(reranker, "client", None)):
        for attribute in _MODEL_NAMES:
            value = getattr(holder, attribute, None)
            if isinstance(value, str) and value:
                return f"{kind.__name__}/{with_content(value)}"
    return f"{kind.__module__}.{kind.__qualname__}"


def with_content(model: str) -> str:
    """A folder's name with a hint of its weights; a hub name as it is."""
    folder = Path(model)
    weights = [folder / file for file in _WEIGHTS if (folder / file).is_file()]
    # The name alone, not the path: the same weights in another folder of another machine share their scores.
    return f"{folder.name}@{content_hint(weights[0])}" if weights else model
