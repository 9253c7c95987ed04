"""Reads from a sentence-transformers folder how its model is run: dims, pooling, longest text, prompt."""

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
    """A sentence embedding model on disk.

    ``transformer`` holds weights and tokenizer. ``max_length`` is in tokens. ``prompt`` stands in front of every text,
    and ``is_prompt_pooled`` says whether its tokens count for the vector. ``is_lowered`` means that texts are put in
    lower case, whatever the tokenizer does. Vectors are cut to ``dims`` numbers.
    """

    path: Path
    transformer: Path
    dims: int
    max_length: int
    pooling: str
    modules: tuple[str, ...]
    prompt: str = ""
    is_prompt_pooled: bool = True
    is_lowered: bool = False

    @property
    def is_plain(self) -> bool:
        """Whether it can be run without torch: a transformer, mean or cls pooling, and perhaps a normalisation."""
        return (
            all(module in _RUNNABLE for module in self.modules)
            and self.pooling in ("mean", "cls")
            and (self.is_prompt_pooled or not self.prompt)
        )


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
    texts = read_json(transformer / "sentence_bert_config.json")
    whole = read_json(path / "config_sentence_transformers.json")
    dims = _dims(config, pooled, mode, (_configs(path, modules, "Dense") or [{}])[-1])
    if not dims:
        raise ConfigurationError(
            f"model folder {str(path)!r} does not say how long its vectors are; check its config.json"
        )
    return ModelFolder(
        path=path,
        transformer=transformer,
        dims=min(dims, whole.get("truncate_dim") or dims),
        max_length=_max_length(transformer, config, texts),
        pooling=mode or pooling,
        modules=tuple(str(module["type"]).rsplit(".", 1)[-1] for module in modules),
        prompt=(whole.get("prompts") or {}).get(whole.get("default_prompt_name")) or "",
        is_prompt_pooled=bool(pooled.get("include_prompt", True)),
        is_lowered=bool(texts.get("do_lower_case")),
    )


def _configs(path: Path, modules: list[dict[str, Any]], kind: str) -> list[Mapping[str, Any]]:
    """The configurations of the modules of one kind, in the order in which they run."""
    return [read_json(path / module["path"] / "config.json") for module in modules if module["type"].endswith(kind)]


def _dims(config: Mapping[str, Any], pooled: Mapping[str, Any], mode: str | None, dense: Mapping[str, Any]) -> int:
    # The last module that changes the length decides: a dense layer, else the pooling, else the transformer itself.
    # Several pooling modes put their vectors side by side.
    width = pooled.get("embedding_dimension") or pooled.get("word_embedding_dimension") or 0
    pooled_dims = width * ((mode or "").count("+") + 1)
    return int(dense.get("out_features") or pooled_dims or config.get("hidden_size") or config.get("dim") or 0)


def _max_length(transformer: Path, config: Mapping[str, Any], texts: Mapping[str, Any]) -> int:
    # sentence-transformers may set a shorter limit than the transformer has, and in some folders a longer one. Where it
    # sets none, the tokenizer's holds, which is an enormous number where there is none.
    tokenizer = read_json(transformer / "tokenizer_config.json")
    known = max_tokens(config)
    return min(int(texts.get("max_seq_length") or tokenizer.get("model_max_length") or known), known)


def _pooling(config: Mapping[str, Any]) -> str | None:
    """The mode of a pooling module, or None if it does not say. Several modes are joined with a plus."""
    if "pooling_mode" in config:
        modes = config["pooling_mode"]
        return modes if isinstance(modes, str) else "+".join(modes)
    # sentence-transformers 5 and older write one flag per mode.
    flags = [key for key, value in config.items() if key.startswith("pooling_mode_") and value is True]
    names = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls"}
    return "+".join(names.get(flag, flag) for flag in flags) or None
