"""What a folder of sentence-transformers says about its model: dims, pooling, longest text."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from semcache.errors import ConfigurationError
from semcache.models.names import read_json, required

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
        """Whether it is a transformer, a pooling and perhaps a normalisation: what can be run without torch."""
        return all(module in _RUNNABLE for module in self.modules) and self.pooling in ("mean", "cls")


def read_folder(path: Path, pooling: str = "mean") -> ModelFolder:
    """Reads the JSON files. ``pooling`` is for folders that do not say, as sentence-transformers assumes mean."""
    modules = read_json(path / "modules.json") or [{"path": "", "type": "Transformer"}]
    kinds = tuple(str(module["type"]).rsplit(".", 1)[-1] for module in modules)
    transformer = path / str(modules[0]["path"])
    config = read_json(required(transformer, "config.json"))
    pooled = _pooling_config(path, modules)
    return ModelFolder(
        path=path,
        transformer=transformer,
        dims=_dims(path, modules, pooled, config),
        max_length=_max_length(transformer, config),
        pooling=_pooling(pooled) or pooling,
        modules=kinds,
    )


def _pooling_config(path: Path, modules: list[dict[str, Any]]) -> dict[str, Any]:
    found = [
        read_json(path / module["path"] / "config.json") for module in modules if module["type"].endswith("Pooling")
    ]
    return dict(found[0]) if found else {}


def _pooling(config: dict[str, Any]) -> str | None:
    """The mode; sentence-transformers 5 and older write one flag per mode. Several modes are joined with a plus."""
    if "pooling_mode" in config:
        modes = config["pooling_mode"]
        return modes if isinstance(modes, str) else "+".join(modes)
    flags = [key for key, value in config.items() if key.startswith("pooling_mode_") and value is True]
    names = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls"}
    return "+".join(names.get(flag, flag) for flag in flags) or None


def _dims(path: Path, modules: list[dict[str, Any]], pooled: dict[str, Any], config: dict[str, Any]) -> int:
    dense = [read_json(path / module["path"] / "config.json") for module in modules if module["type"].endswith("Dense")]
    width = pooled.get("embedding_dimension") or pooled.get("word_embedding_dimension") or 0
    pooled_width = {"dims": width * ((_pooling(pooled) or "").count("+") + 1)}  # several modes lie side by side
    for source, key in (
        (dense[-1] if dense else {}, "out_features"),
        (pooled_width, "dims"),
        (config, "hidden_size"),
        (config, "dim"),
    ):
        if source.get(key):
            return int(source[key])
    raise ConfigurationError(f"model folder {str(path)!r} does not say how long its vectors are; check its config.json")


def _max_length(transformer: Path, config: dict[str, Any]) -> int:
    said = read_json(transformer / "sentence_bert_config.json").get("max_seq_length")
    positions = int(config.get("max_position_embeddings", 512))
    # RoBERTa and its kin keep the first two positions for padding.
    known = positions - 2 if "roberta" in str(config.get("model_type", "")) else positions
    return min(int(said or known), known)
