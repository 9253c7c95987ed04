"""Reads from a sentence-transformers folder how its model is run: dims, pooling, longest text."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from semcache.errors import ConfigurationError
from semcache.models.names import read_json, required
from semcache.models.texts import max_tokens

_RUNNABLE = ("Transformer", "Pooling", "Normalize")


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """A sentence embedding model on disk. ``transformer`` holds weights and tokenizer; ``max_length`` is in tokens."""

    path: Path
    transformer: Path
    dims: int
    max_length: int
    pooling: str
    modules: tuple[str, ...]

    @property
    def is_plain(self) -> bool:
        """Whether it can be run without torch: a transformer, mean or cls pooling, and perhaps a normalisation."""
        return all(module in _RUNNABLE for module in self.modules) and self.pooling in ("mean", "cls")


def read_folder(path: Path, pooling: str = "mean") -> ModelFolder:
    """Reads the JSON files. ``pooling`` is for folders that do not say theirs; sentence-transformers assumes mean.

    Raises ConfigurationError for a folder that lacks ``config.json``, holds a damaged file, or does not say its dims.
    """
    # Folders that were not written by sentence-transformers hold a bare transformer and no list of modules.
    modules = read_json(path / "modules.json") or [{"path": "", "type": "Transformer"}]
    transformer = path / str(modules[0]["path"])
    config = read_json(required(transformer, "config.json"))
    pooled = (_configs(path, modules, "Pooling") or [{}])[0]
    mode = _pooling(pooled)
    # The last module that changes the length decides: a dense layer, else the pooling, else the transformer itself.
    # Several pooling modes put their vectors side by side.
    dense = (_configs(path, modules, "Dense") or [{}])[-1]
    width = pooled.get("embedding_dimension") or pooled.get("word_embedding_dimension") or 0
    pooled_dims = width * ((mode or "").count("+") + 1)
    dims = dense.get("out_features") or pooled_dims or config.get("hidden_size") or config.get("dim")
    if not dims:
        raise ConfigurationError(
            f"model folder {str(path)!r} does not say how long its vectors are; check its config.json"
        )
    # sentence-transformers may set a shorter limit than the transformer has, and in some folders a longer one.
    limit = read_json(transformer / "sentence_bert_config.json").get("max_seq_length")
    known = max_tokens(config)
    return ModelFolder(
        path=path,
        transformer=transformer,
        dims=int(dims),
        max_length=min(int(limit or known), known),
        pooling=mode or pooling,
        modules=tuple(str(module["type"]).rsplit(".", 1)[-1] for module in modules),
    )


def _configs(path: Path, modules: list[dict[str, Any]], kind: str) -> list[Mapping[str, Any]]:
    """The configurations of the modules of one kind, in the order in which they run."""
    return [read_json(path / module["path"] / "config.json") for module in modules if module["type"].endswith(kind)]


def _pooling(config: Mapping[str, Any]) -> str | None:
    """The mode of a pooling module, or None if it does not say. Several modes are joined with a plus."""
    if "pooling_mode" in config:
        modes = config["pooling_mode"]
        return modes if isinstance(modes, str) else "+".join(modes)
    # sentence-transformers 5 and older write one flag per mode.
    flags = [key for key, value in config.items() if key.startswith("pooling_mode_") and value is True]
    names = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls"}
    return "+".join(names.get(flag, flag) for flag in flags) or None
